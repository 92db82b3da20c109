# SPDX-License-Identifier: GPL-3.0-or-later
"""The exercises' own text (tests/exercises) passes the check of the input, as it stands beside its playbook."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXERCISES = ROOT / "tests/exercises"
COLLECTIONS = ROOT / "collections"

# Only the check: it looks at no machine.
PROBE = """
- hosts: galaxyservers
  gather_facts: false
  tasks:
    - name: Check
      dagobah.galaxy.check_input:
"""


def check(directory: Path) -> tuple[int, str]:
    """Check the input of a copy of the directory; the inventory is elsewhere, as Molecule's is."""
    (directory / "probe.yml").write_text(PROBE)
    inventory = directory.parent / "elsewhere"
    inventory.mkdir()
    (inventory / "hosts").write_text("[galaxyservers]\nhere ansible_host=127.0.0.1 ansible_port=1\n")
    done = subprocess.run(
        [*(sys.executable, "-m", "ansible", "playbook"), "-i", str(inventory / "hosts"), str(directory / "probe.yml")],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_HOME": str(directory.parent / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "2000",
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # Warnings may be broken into lines.
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXERCISES, tmp_path / "exercises"))


def test_it_passes_and_says_what_is_called_otherwise(directory: Path) -> None:
    code, output = check(directory)
    assert code == 0, output
    # Its variables are read (a run without them would pass, too), and each of these is told.
    for words in (
        "galaxy_root_dir: this collection calls it galaxy_root",
        "galaxy_changeset_id: this collection calls it galaxy_commit_id",
        'galaxy_commit_id: "release_26.1": is taken for the release 26.1.2 from PyPI',
        "nginx_flavor: has no effect",
        "nginx_upload_store",
        "galaxy_mutable_config_dir",
    ):
        assert words in output, words


@pytest.mark.parametrize(
    "missing",
    [
        "templates/nginx/galaxy.j2",
        "templates/supervisor/galaxy.j2",
        "files/galaxy/job_conf.xml",
        "files/galaxy/auth_conf.xml",
    ],
)
def test_a_missing_file_of_it_is_named(directory: Path, missing: str) -> None:
    (directory / missing).unlink()
    code, output = check(directory)
    assert code != 0
    assert "there is no such file on the controller" in output
    assert Path(missing).name in output


def test_handlers_of_the_copied_job_configuration_have_to_have_programs(directory: Path) -> None:
    path = directory / "files/galaxy/job_conf.xml"
    path.write_text(path.read_text().replace("handler1", "handler7"))
    code, output = check(directory)
    assert code != 0
    assert "handler7" in output


def test_mercurial_is_refused_with_a_reason(directory: Path) -> None:
    path = directory / "group_vars/galaxyservers.yml"
    path.write_text(path.read_text().replace("galaxy_vcs: git", "galaxy_vcs: hg"))
    code, output = check(directory)
    assert code != 0
    assert 'galaxy_vcs: "hg": has to be git' in output


def test_a_release_for_python_2_is_refused_with_a_reason(directory: Path) -> None:
    path = directory / "group_vars/galaxyservers.yml"
    path.write_text(path.read_text().replace("release_26.1", "release_16.10"))
    code, output = check(directory)
    assert code != 0
    assert "Python 2" in output


def test_the_playbook_reads_what_is_beside_it() -> None:
    """Ansible looks for group_vars, files and templates beside an imported playbook, not beside that which imports."""
    plays = yaml.safe_load((EXERCISES / "playbook.yml").read_text())
    assert [play["hosts"] for play in plays] == ["galaxyservers"] * len(plays)
    roles = [role["role"].removeprefix("dagobah.galaxy.") for play in plays for role in play.get("roles", [])]
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/provision.yml").read_text())
    steps = [task["ansible.builtin.import_role"] for task in tasks if "ansible.builtin.import_role" in task]
    assert roles == [step["name"].removeprefix("dagobah.galaxy.") for step in steps if "tasks_from" not in step]
