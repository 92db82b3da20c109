# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a release, for each way to install uWSGI: from the role's own variables, filled in by Ansible."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "roles/galaxy/files/releases/26.1.2/requirements.txt"

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars_files: [{root}/roles/galaxy/vars/main.yml]
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    role_path: {root}/roles/galaxy
    galaxy_release: "{release}"
    galaxy_requirements_file: ""
    galaxy_additional_venv_packages: []
    galaxy_uwsgi_package: pyuwsgi==2.0.30.post1
    __galaxy_python_answer: {{stdout: 3.11.2}}
    __galaxy_is_classic: "{{{{ galaxy_release is version('22.5', '<') }}}}"
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ {{'requirements': __galaxy_requirements, 'digest': __galaxy_release_digest}} | to_json }}}}"
        dest: "{directory}/{{{{ uwsgi_install_method }}}}.json"
        mode: "0600"
      loop: [wheel, source, apt]
      loop_control: {{loop_var: uwsgi_install_method}}
"""


@pytest.mark.parametrize("release", ["26.1.2", "26.1.1", "20.5.0"], ids=["locked", "unlocked", "classic"])
def test_requirements(tmp_path: Path, release: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK.format(root=ROOT, directory=tmp_path, release=release))
    # A lookup of a file looks beside the playbook, where a role looks below itself.
    (tmp_path / "files").symlink_to(ROOT / "roles/galaxy/files")
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    assert not done.returncode, done.stdout + done.stderr
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    lists = {
        method: [line for line in result["requirements"].splitlines() if re.match("[A-Za-z]", line)]
        for method, result in results.items()
    }
    if release == "26.1.2":
        assert results["wheel"]["requirements"].strip() == LOCK.read_text().strip()
    others = [line for line in lists["wheel"] if not line.startswith("pyuwsgi==2.0.30.post1")]
    assert len(others) == len(lists["wheel"]) - 1
    assert lists["apt"] == others
    assert lists["source"] == [*others, "uwsgi==2.0.31 \\"]
    # Each requirement has kept its hashes, and the line before the new one is a whole one.
    hashes = {method: result["requirements"].count("--hash=sha256:") for method, result in results.items()}
    assert hashes["source"] == hashes["apt"] + 1
    assert re.search(r"\n# uWSGI for [^\n]*\nuwsgi==2.0.31 \\\n    --hash=", results["source"]["requirements"])
    assert len({result["digest"] for result in results.values()}) == 3
