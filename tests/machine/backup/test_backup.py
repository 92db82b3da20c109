# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is backed up while people use it, put back in its own place, and onto a bare machine.

The tests build upon each other, in their order. What each run has taken is printed as a table at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from load import MEGABYTE, ROWS, Load
from support import KEPT_TEXT, Dataset, Galaxy, Machine, Student

PROJECT = Path(__file__).parents[3]
INVENTORIES = ("-i", "molecule/shared/inventory", "-i", "molecule/backup/inventory")
BACKUPS = "/var/backups/galaxy"
EMAIL, PASSWORD = "student@example.org", "a-Password-0f-the-tests"
LARGE = "0123456789abcde\n" * (20 * MEGABYTE // 16)


# Else the name of a task is told when it has ended, and not when it begins.
ENVIRONMENT = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}


def play(what: str, playbook: str, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook as an administrator does."""
    began = time.monotonic()
    run = subprocess.run(
        ["ansible-playbook", *INVENTORIES, "-e", json.dumps(variables), *options, playbook],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    end = "ok" if run.returncode == 0 else "failed"
    ROWS.append(f"{what:40} {end:6} {time.monotonic() - began:5.0f} s  ")
    return run


def killed(playbook: str, task: str) -> None:
    """Kill a run when it comes to a task."""
    process = subprocess.Popen(
        ["ansible-playbook", *INVENTORIES, playbook],
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("TASK [") and task in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL, "".join(said)[-6000:]


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


def refused(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert run.returncode != 0
    for word in words:
        assert word in run.stdout, run.stdout[-6000:]


def seen(what: str) -> None:
    """Say in the table what the last run has shown."""
    ROWS[-1] += what


def backups(machine: Machine) -> list[str]:
    return machine.run(f"ls {BACKUPS}").split()


def manifest(machine: Machine) -> Any:
    """What the latest backup says of itself."""
    return json.loads(machine.run(f"cat {BACKUPS}/{backups(machine)[-1]}/backup.json"))


@dataclass
class People:
    """What someone had on the server when it was backed up."""

    key: str
    history: str
    datasets: dict[str, tuple[Dataset, str]]

    def find_it_all(self, galaxy: Galaxy) -> Student:
        """Log in with the same password, and find the same things under the same addresses."""
        galaxy.wait()
        student = Student(galaxy, EMAIL, PASSWORD)
        assert student.session.headers["x-api-key"] == self.key
        assert student.history("Backed up") == self.history
        for dataset, digest in self.datasets.values():
            answer = student.download(dataset)
            assert hashlib.sha256(answer.content).hexdigest() == digest
        assert student.upload("one more\n", self.history, "later.txt").state == "ok"
        return student


@pytest.fixture(scope="module")
def people(machine: Machine, galaxy: Galaxy) -> People:
    student = Student(galaxy, EMAIL, PASSWORD)
    history = student.history("Backed up")
    datasets = {}
    for name, text in (("kept.txt", KEPT_TEXT), ("second.txt", "1\t2\n"), ("large.txt", LARGE)):
        dataset = student.upload(text, history, name)
        assert dataset.state == "ok"
        datasets[name] = (dataset, hashlib.sha256(text.encode()).hexdigest())
    return People(str(student.session.headers["x-api-key"]), history, datasets)


def secrets_of(machine: Machine) -> list[str]:
    return list(json.loads(machine.run("cat /srv/galaxy/config/secrets.json")).values())


@pytest.fixture(scope="module")
def secrets(machine: Machine) -> list[str]:
    return secrets_of(machine)


@pytest.fixture(scope="module")
def first(machine: Machine, galaxy: Galaxy, people: People, secrets: list[str]) -> str:
    """The backup that is made while people read, upload and download."""
    student = Student(galaxy, EMAIL, PASSWORD)
    with Load(student, student.history("Busy"), people.datasets["large.txt"][0]) as load:
        time.sleep(5)
        run = play("backup, while people use it", "playbooks/backup.yml", "-vvv", "--diff")
        time.sleep(5)
    seen(f"{len(load.requests)} requests, {len(load.faults)} failed, longest {max(load.longest().values()):.1f} s")
    output = succeeded(run)
    assert load.faults == []
    assert load.uploads
    assert {student.finished(dataset).state for dataset in load.uploads} == {"ok"}
    assert [secret for secret in secrets if secret in output + run.stderr] == []
    return backups(machine)[-1]


def test_a_backup_is_for_root_alone(machine: Machine, first: str) -> None:
    assert machine.run(f"stat -c '%a %U' {BACKUPS} {BACKUPS}/{first}").split() == ["700", "root"] * 2
    for user in ("galaxy", "www-data", "nobody"):
        assert not machine.may(user, "x", BACKUPS)


def test_a_backup_is_whole(machine: Machine, first: str, people: People) -> None:
    machine.run(f"cd {BACKUPS}/{first} && sha256sum --check --strict --quiet SHA256SUMS")
    said = json.loads(machine.run(f"cat {BACKUPS}/{first}/backup.json"))
    assert (said["instance"], said["galaxy"]) == ("galaxy", "26.1.2")
    assert said["revisions"] == sorted(machine.sql("SELECT version_num FROM alembic_version"))
    assert said["trees"][0]["path"] == "/srv/galaxy/data"
    assert said["purged"] == []
    tables = machine.run(f"runuser -u postgres -- pg_restore --list <{BACKUPS}/{first}/galaxy.dump")
    assert "TABLE DATA public history_dataset_association" in tables


def test_a_backup_of_nothing_new_takes_no_room(machine: Machine, first: str) -> None:
    size = int(machine.run(f"du -s --block-size=1M {BACKUPS}").split()[0])
    succeeded(play("backup, again", "playbooks/backup.yml"))
    assert len(backups(machine)) == 2
    more = int(machine.run(f"du -s --block-size=1M {BACKUPS}").split()[0]) - size
    seen(f"{size} MB, and {more} MB more")
    # The database, once more.
    assert more < 20
    datasets = machine.run(f"find {BACKUPS}/{first}/trees -name '*.dat' -size +1M -links -2")
    assert datasets == ""


def test_pruned(machine: Machine, first: str) -> None:
    machine.run(f"mkdir -p {BACKUPS}/.new-1/trees")  # as a run leaves it that was killed
    succeeded(
        play(
            "backup, without datasets, 2 kept",
            "playbooks/backup.yml",
            galaxy_keep_backups=2,
            galaxy_backup_datasets=False,
        )
    )
    kept = backups(machine)
    assert len(kept) == 2
    assert first not in kept
    assert machine.run(f"ls -A {BACKUPS} | grep -c new- || true") == "0"
    assert not machine.succeeds(f"test -e {BACKUPS}/{kept[-1]}/trees/srv/galaxy/data/objects")
    assert machine.succeeds(f"test -e {BACKUPS}/{kept[0]}/trees/srv/galaxy/data/objects")
    for backup in kept:
        machine.run(f"cd {BACKUPS}/{backup} && sha256sum --check --strict --quiet SHA256SUMS")
    # The tests go on with the one that has all.
    machine.run(f"rm -r {BACKUPS}/{kept[-1]}")


DAMAGED = "20200101T000000Z"


def damage(machine: Machine, backup: str) -> None:
    """Make a damaged copy of a backup: one bit of one dataset."""
    machine.run(f"rm -rf {BACKUPS}/{DAMAGED} && cp -a {BACKUPS}/{backup} {BACKUPS}/{DAMAGED}")
    machine.python(
        """
import json, pathlib, sys
path = max(pathlib.Path(sys.argv[1]).rglob("*.dat"), key=lambda path: path.stat().st_size)
content = bytearray(path.read_bytes())
content[len(content) // 2] ^= 1
path.write_bytes(content)
print(json.dumps(str(path)))
""",
        f"{BACKUPS}/{DAMAGED}",
    )


def state(machine: Machine) -> str:
    """Everything that a refused restore could have changed."""
    return machine.run(
        "find /srv /etc /home /var/lib/dpkg/info ! -name '*.log' ! -path '/srv/galaxy/data/*'"
        " -printf '%p %s %m %u %g %T@\\n' | sort | sha256sum"
    )


class TestInItsPlace:
    def test_refused(self, machine: Machine, people: People) -> None:
        whole = backups(machine)[-1]
        damage(machine, whole)
        before, workers = state(machine), set(machine.workers())
        restore = "playbooks/restore.yml"
        refused(play("restore, there is a Galaxy", restore), "there is a Galaxy here", "galaxy_restore_replace: true")
        refused(
            play("restore, no such backup", restore, galaxy_restore="nothing"), "has no whole backup nothing", whole
        )
        allowed = {"galaxy_restore_replace": True}
        run = play("restore, damaged", restore, **allowed, galaxy_restore=DAMAGED)
        refused(run, "nothing has been changed", f"{DAMAGED} is damaged: trees/srv/galaxy/data/objects/")
        run = play("restore, of another release", restore, **allowed, galaxy_restore=whole, galaxy_release="25.1.3")
        refused(run, "it is of Galaxy 26.1.2, and galaxy_release is 25.1.3")
        assert (state(machine), set(machine.workers())) == (before, workers)

    def test_undone_if_the_proof_fails(self, machine: Machine, galaxy: Galaxy, people: People) -> None:
        student = Student(galaxy, EMAIL, PASSWORD)
        late = student.upload("after the backup\n", people.history, "late.txt")
        urls = [{"path": "/api/version", "contains": "nobody says this"}]
        run = play(
            "restore, the proof fails",
            "playbooks/restore.yml",
            galaxy_restore_replace=True,
            galaxy_restore=backups(machine)[-1],
            __common_modern_urls=urls,
        )
        refused(run, "nobody says this", "The restore has been undone: what was there before serves again.")
        student = people.find_it_all(galaxy)
        assert student.download(late).text == "after the backup\n"
        assert machine.run("ls -A /srv/galaxy/data | grep -c restore || true") == "0"

    def test_replaced(self, machine: Machine, galaxy: Galaxy, people: People, secrets: list[str]) -> None:
        student = Student(galaxy, EMAIL, PASSWORD)
        late = student.upload("after the backup\n", people.history, "late.txt")
        lost = people.datasets["kept.txt"][0]
        student.api("DELETE", f"histories/{people.history}/contents/{lost.id}?purge=true")
        whole = backups(machine)[-1]
        options = {"galaxy_restore_replace": True, "galaxy_restore": whole}
        run = play("restore, in the place of a Galaxy", "playbooks/restore.yml", "-vvv", "--diff", **options)
        output = succeeded(run)
        assert [secret for secret in secrets if secret in output + run.stderr] == []
        student = people.find_it_all(galaxy)
        answer = student.session.get(f"{galaxy.url}/api/datasets/{late.id}", timeout=60)
        assert answer.status_code in (400, 404), answer.text
        assert machine.run("ls -A /srv/galaxy/data /srv/galaxy/releases | grep -c restore || true") == "0"


@pytest.fixture(scope="module")
def bare(machine: Machine, people: People, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine after a disaster: nothing on it but the backups, which were copied away before."""
    archive = tmp_path_factory.mktemp("elsewhere") / "backups.tar"
    with archive.open("wb") as stream:
        command = ["docker", "exec", machine.name, "tar", "-C", "/var/backups", "-c", "galaxy"]
        subprocess.run(command, stdout=stream, check=True)
    for step in ("destroy", "create", "prepare"):
        succeeded(play(f"the machine: {step}", f"molecule/shared/{step}.yml"))
    with archive.open("rb") as stream:
        command = ["docker", "exec", "-i", machine.name, "tar", "-C", "/var/backups", "-x", "--numeric-owner", "-p"]
        subprocess.run(command, stdin=stream, check=True)
    archive.unlink()
    # Galaxy's user and group get other numbers than they had.
    user, group = manifest(machine)["trees"][0]["owner"]
    machine.run(f"groupadd --gid {group} somebody && useradd --uid {user} --gid {group} somebody")
    return machine


class TestOntoABareMachine:
    def test_a_damaged_one_is_refused(self, bare: Machine) -> None:
        before = state(bare)
        run = play("restore, damaged, onto a bare machine", "playbooks/restore.yml", galaxy_restore=DAMAGED)
        refused(run, "nothing has been changed", f"{DAMAGED} is damaged")
        assert state(bare) == before

    def test_check_mode(self, bare: Machine) -> None:
        before = state(bare)
        succeeded(play("restore, check mode", "playbooks/restore.yml", "--check"))
        assert state(bare) == before

    def test_killed(self, bare: Machine) -> None:
        killed("playbooks/restore.yml", "release | Look which releases there are")
        refused(play("site, after a restore was killed", "site.yml"), "was cut off; playbooks/restore.yml finishes it")

    def test_all_is_there_again(self, bare: Machine, people: People, secrets: list[str]) -> None:
        before = manifest(bare)["trees"][0]["owner"]
        succeeded(play("restore, onto a bare machine", "playbooks/restore.yml"))
        assert secrets_of(bare) == secrets
        assert int(bare.run("id -u galaxy")) != before[0]
        assert int(bare.run("id -g galaxy")) != before[1]
        assert bare.run("find /srv/galaxy/data ! -user galaxy -o ! -group galaxy") == ""
        people.find_it_all(Galaxy(bare.url()))

    def test_the_next_run_changes_nothing(self, bare: Machine) -> None:
        assert " changed=0 " in succeeded(play("site, afterwards", "site.yml"))

    def test_the_next_backup(self, bare: Machine) -> None:
        number = len(backups(bare))
        succeeded(play("backup, of what was restored", "playbooks/backup.yml"))
        assert len(backups(bare)) == number + 1
