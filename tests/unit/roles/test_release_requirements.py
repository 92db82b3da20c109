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

# With real processes, which take their time.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "roles/galaxy/files/releases/26.1.2/requirements.txt"
# As a checkout has them; Galaxy's classic releases named uWSGI themselves.
PINNED = r"--extra-index-url https://wheels.galaxyproject.org/simple\n\nmako==1.3.10\npyuwsgi==2.0.19.1.post0\nwebob==1.8.9\n"

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
    __galaxy_is_checkout: {checkout}
    __common_checkout: {{commit: "{commit}", requirements: "{pinned}", client: {{package: galaxy-web-client==26.1.2}}}}
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ {{'requirements': __galaxy_requirements, 'digest': __galaxy_release_digest}} | to_json }}}}"
        dest: "{directory}/{{{{ uwsgi_install_method }}}}.json"
        mode: "0600"
      loop: [wheel, source, apt]
      loop_control: {{loop_var: uwsgi_install_method}}
"""


def fill_in(tmp_path: Path, release: str, commit: str = "") -> dict[str, dict[str, str]]:
    """Return requirements and digest for each way to install uWSGI."""
    playbook = tmp_path / "playbook.yml"
    values = {"release": release, "checkout": str(bool(commit)).lower(), "commit": commit}
    playbook.write_text(PLAYBOOK.format(root=ROOT, directory=tmp_path, pinned=PINNED, **values))
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
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}


def entries(result: dict[str, str]) -> list[str]:
    return [line for line in result["requirements"].splitlines() if re.match("[A-Za-z]", line)]


@pytest.mark.parametrize("release", ["26.1.2", "26.1.1", "20.5.0"], ids=["locked", "unlocked", "classic"])
def test_requirements(tmp_path: Path, release: str) -> None:
    results = fill_in(tmp_path, release)
    lists = {method: entries(result) for method, result in results.items()}
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


def test_a_modern_checkout_has_what_it_names_itself(tmp_path: Path) -> None:
    results = fill_in(tmp_path, "26.1.2", "a" * 40)
    ours = ["galaxy-web-client==26.1.2", "psycopg2-binary", "PasteDeploy"]
    theirs = ["mako==1.3.10", "webob==1.8.9"]
    assert entries(results["wheel"]) == [*theirs, *ours, "pyuwsgi==2.0.30.post1"]
    assert entries(results["apt"]) == [*theirs, *ours]
    assert results["wheel"]["requirements"].startswith("--extra-index-url https://wheels.galaxyproject.org/simple\n")
    (tmp_path / "other").mkdir()
    assert fill_in(tmp_path / "other", "26.1.2", "b" * 40)["wheel"]["digest"] != results["wheel"]["digest"]


def test_a_classic_checkout_has_the_lock_file_without_galaxys_own_packages(tmp_path: Path) -> None:
    results = fill_in(tmp_path, "20.5.1", "a" * 40)
    packages = {entry.split("==")[0] for entry in entries(results["wheel"])}
    assert {"galaxy-sequence-utils", "pulsar-galaxy-lib", "pyuwsgi", "webob", "sqlalchemy-migrate"} <= packages
    assert not {name for name in packages if name.startswith("galaxy-")} - {"galaxy-sequence-utils"}
    assert "galaxy-web-client" not in packages
