# SPDX-License-Identifier: GPL-3.0-or-later
"""Two Galaxies of one Git repository, side by side: a modern branch and a classic tag."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import Galaxy, Machine, Student

PROJECT = Path(__file__).parents[3]
REPOSITORY = "/opt/galaxy.git"


@dataclass
class Instance:
    """One of them, as molecule/checkout/inventory has it."""

    host: str
    name: str
    group: str
    prefix: str
    release: str
    version: str
    ref: str

    @property
    def root(self) -> str:
        return f"/srv/{self.name}"

    def galaxy(self, machine: Machine) -> Galaxy:
        galaxy = Galaxy(machine.url() + self.prefix)
        galaxy.wait()
        return galaxy

    def directory(self, machine: Machine) -> str:
        return machine.run("readlink -f %s", f"{self.root}/venv")


MODERN = Instance("galaxy-checkout", "galaxy", "gx", "", "26.1.2", "26.1", "release_26.1")
CLASSIC = Instance("classic", "classic", "gx-classic", "/classic", "20.5.0", "20.05", "v20.05")
BOTH = pytest.mark.parametrize("instance", [MODERN, CLASSIC], ids=lambda instance: instance.name)


def commit(machine: Machine, ref: str) -> str:
    return machine.run(f"git -c safe.directory=* -C {REPOSITORY} rev-parse %s", f"{ref}^{{commit}}")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the collection against the machine."""
    inventories = [f"--inventory={PROJECT / 'molecule' / name / 'inventory'}" for name in ("shared", "checkout")]
    command = ["ansible-playbook", *inventories, *arguments, str(PROJECT / "site.yml")]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@BOTH
def test_it_is_that_commit(machine: Machine, instance: Instance) -> None:
    assert instance.galaxy(machine).get("/api/version").json()["version_major"] == instance.version
    release = instance.directory(machine)
    assert release.startswith(f"{instance.root}/releases/{instance.release}-")
    mark = json.loads(machine.run(f"cat {release}/release.json"))
    assert mark["galaxy"] == instance.release
    assert mark["checkout"]["commit"] == commit(machine, instance.ref)
    # The code is the commit's, and not that of a package.
    code = machine.run(f"cd / && {release}/bin/python -c 'import galaxy.app; print(galaxy.app.__file__)'")
    assert code.startswith(f"{release}/galaxy/lib/galaxy/app")
    packages = {name.lower().replace("_", "-") for name in mark["packages"]}
    assert not packages & {"galaxy-app", "galaxy-util", "galaxy-web-apps"}


@BOTH
def test_a_job_goes_through_a_handler(machine: Machine, instance: Instance) -> None:
    student = Student(instance.galaxy(machine), "student@example.org", "a-Password-0f-the-tests")
    text = "".join(f"{number}\tline {number}\n" for number in range(100))
    history = student.history("Checkout")
    dataset = student.upload(text, history, "checkout.tabular", "tabular")
    assert dataset.state == "ok"
    # A tool of the commit's own.
    inputs = {
        "input1": {"src": "hda", "id": dataset.id},
        "groupcol": "2",
        "operations_0|optype": "length",
        "operations_0|opcol": "1",
        "operations_0|opround": "no",
    }
    body = {"history_id": history, "tool_id": "Grouping1", "inputs": inputs}
    grouped = student.finished(student.api("POST", "tools", json=body)["outputs"][0]["id"])
    assert grouped.state == "ok"
    rows = machine.sql("SELECT handler, state FROM job WHERE tool_id = 'Grouping1'", instance.name)
    assert rows == ["handler0|ok"]


@BOTH
def test_nobody_but_root_may_write_the_code(machine: Machine, instance: Instance) -> None:
    release = instance.directory(machine)
    assert machine.may(instance.name, "r", f"{release}/galaxy/lib/galaxy/version.py") or machine.may(
        instance.name, "r", f"{release}/galaxy/lib/galaxy/version/__init__.py"
    )
    assert machine.run(f"find {release}/galaxy -not -type l '(' -not -user root -o -perm /022 ')' | head -3") == ""
    assert not machine.succeeds(f"test -e {release}/galaxy/.git")


def test_the_client_of_the_same_release_is_served(machine: Machine) -> None:
    galaxy = MODERN.galaxy(machine)
    assert galaxy.get("/static/dist/analysis.bundled.js").status_code == 200
    assert galaxy.get("/static/favicon.svg").status_code == 200
    mark = json.loads(machine.run(f"cat {MODERN.directory(machine)}/release.json"))
    assert mark["checkout"]["client"] == {"package": "galaxy-web-client==26.1.2"}


def test_the_classic_one_works_in_its_files(machine: Machine) -> None:
    release = CLASSIC.directory(machine)
    pids = machine.run("supervisorctl pid gx-classic:galaxy gx-classic:handler0").split()
    assert len(pids) == 2
    for pid in pids:
        # Not even root of a container may look at the processes of others.
        assert machine.run(f"runuser -u classic -- readlink /proc/{pid}/cwd") == f"{release}/galaxy"
    assert machine.run(f"readlink -f {release}/bin/galaxy-main") == f"{release}/galaxy/scripts/galaxy-main"


def test_a_branch_that_has_moved_is_another_release(machine: Machine) -> None:
    before = commit(machine, MODERN.ref)
    tree = f"git -c safe.directory=* -c user.name=A -c user.email=a@b -C {REPOSITORY}"
    after = machine.run(f"{tree} commit-tree -p {before} -m moved {before}^{{tree}}")
    machine.run(f"{tree} update-ref refs/heads/{MODERN.ref} {after}")
    try:
        done = run("--check", "--limit", MODERN.host)
    finally:
        machine.run(f"{tree} update-ref refs/heads/{MODERN.ref} {before}")
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"from commit {after} and the packages that it names" in " ".join(done.stdout.split())
    assert "Building release 26.1.2-" in done.stdout
    assert MODERN.directory(machine).rpartition("/")[2] not in done.stdout.split("Building release ")[1].split()[0]


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"galaxy_commit_id": "release_99.9"}, 'galaxy_commit_id: "release_99.9": is no branch and no tag'),
        ({"galaxy_commit_id": "f" * 40}, f'galaxy_commit_id: "{"f" * 40}": it cannot be had from'),
        ({"galaxy_repo": "/opt/nothing"}, 'galaxy_repo: "/opt/nothing": it cannot be read'),
        ({"galaxy_release": "20.5.0"}, 'galaxy_release: "20.5.0": galaxy_commit_id is of Galaxy 26.1.2'),
        ({"galaxy_repo": ""}, 'galaxy_repo: "": galaxy_install_method is git'),
    ],
    ids=["branch", "commit", "repository", "release", "nothing"],
)
def test_wrong_input_changes_nothing(machine: Machine, variables: dict[str, str], words: str) -> None:
    done = run("--limit", MODERN.host, "--extra-vars", json.dumps(variables))
    assert done.returncode != 0
    assert words in " ".join(done.stdout.split()), done.stdout[-4000:]
    assert "changed=0" in done.stdout
