# SPDX-License-Identifier: GPL-3.0-or-later
"""From Galaxy 25.1 to 26.1 and back: when something fails, when the run is killed, and when all is well.

The tests build upon each other, in their order. What happened to whom is printed as a table at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from support import KEPT_TEXT, Dataset, Galaxy, Machine, Student, wait_for

HERE = Path(__file__).parents[3]
OLD, NEW = "25.1.3", "26.1.2"
UPGRADE = {"galaxy_release": NEW}


def command(playbook: str, variables: dict[str, Any]) -> list[str]:
    return [
        *("ansible-playbook", "-i", "molecule/shared/inventory", "-i", "molecule/upgrade/inventory"),
        *("-e", json.dumps(variables), playbook),
    ]


# Modules are read from standard input, and have no other arguments.
KILL = """
import contextlib, json, os, signal
killed = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
        if stream.read() == b"/usr/bin/python3\\0":
            os.kill(int(pid), signal.SIGKILL)
            killed.append(pid)
print(json.dumps(killed))
"""


class Asking:
    """Someone who asks Galaxy for its version all the time."""

    def __init__(self, galaxy: Galaxy) -> None:
        self.url = f"{galaxy.url}/api/version"
        self.answers: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.wait(0.25):
                began = time.monotonic()
                try:
                    status = session.get(self.url, timeout=300).status_code
                except requests.RequestException:
                    status = 0
                self.answers.append((time.monotonic() - began, status))

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def failed(self) -> int:
        return sum(status != 200 for _seconds, status in self.answers)

    def __str__(self) -> str:
        longest = max((seconds for seconds, _status in self.answers), default=0)
        return f"{len(self.answers)} requests, {self.failed} failed, longest {longest:.1f} s"


class Runs:
    """Runs of playbooks against the machine, while someone asks."""

    def __init__(self, machine: Machine, galaxy: Galaxy, table: list[tuple[str, str, str, str]]) -> None:
        self.machine, self.galaxy, self.table = machine, galaxy, table

    def release(self) -> str:
        """The release that answers."""
        answer = wait_for("Galaxy answers", lambda: self.galaxy.answers() and self.galaxy.get("/api/version"), 400)
        version = answer.json()
        return f"{version['version_major']}.{version['version_minor']}"

    def note(self, what: str, end: str, asking: Asking) -> None:
        self.table.append((what, end, self.release(), str(asking)))

    def __call__(self, what: str, playbook: str = "site.yml", **variables: Any) -> tuple[int, str, Asking]:
        with Asking(self.galaxy) as asking:
            run = subprocess.run(command(playbook, variables), cwd=HERE, capture_output=True, text=True, check=False)
        self.note(what, "ok" if run.returncode == 0 else "failed", asking)
        return run.returncode, run.stdout + run.stderr, asking

    def killed(self, at: str, after: float = 0, **variables: Any) -> Asking:
        """Kill a run in the middle of a task: the playbook, and what it has started on the machine."""
        with Asking(self.galaxy) as asking:
            process = subprocess.Popen(
                command("site.yml", variables),
                cwd=HERE,
                # Else the name of a task is told when it has ended, and not when it begins.
                env={**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            assert process.stdout
            seen = []
            for line in process.stdout:
                seen.append(line)
                if line.startswith("TASK [") and at in line:
                    time.sleep(after)
                    workers = subprocess.run(
                        ["pgrep", "--parent", str(process.pid)], capture_output=True, text=True, check=False
                    ).stdout.split()
                    for pid in (process.pid, *map(int, workers)):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    break
            process.wait()
            assert process.returncode == -signal.SIGKILL, "".join(seen)[-4000:]
            self.machine.python(KILL)
        self.note(f"killed at: {at}", "killed", asking)
        return asking


@pytest.fixture(scope="module")
def runs(machine: Machine, galaxy: Galaxy, table: list[tuple[str, str, str, str]]) -> Runs:
    return Runs(machine, galaxy, table)


def left_by_a_trial(machine: Machine) -> list[str]:
    databases = machine.sql("SELECT datname FROM pg_database WHERE datname LIKE '%trial%'", "postgres")
    files = machine.run("ls -A /srv/galaxy/releases").split()
    return databases + [name for name in files if name.startswith(".trial")]


def data_are_there(student: Student, kept: Dataset) -> None:
    assert student.download(kept).text == KEPT_TEXT
    assert student.upload("one more\n", student.history("Later"), "later.txt").state == "ok"


def test_the_release_before(runs: Runs, student: Student, kept: Dataset) -> None:
    assert runs.release() == OLD
    assert kept.state == "ok"
    data_are_there(student, kept)


class TestFailing:
    def test_a_rollback_has_nothing_to_go_back_to(self, runs: Runs) -> None:
        code, output, asking = runs("rollback without an upgrade", "playbooks/rollback.yml")
        assert code != 0
        assert "There is no release to go back to" in output
        assert asking.failed == 0

    def test_a_release_that_does_not_load(self, runs: Runs, machine: Machine) -> None:
        config = {"app:main": {"datatypes_config_file": "/no/such/datatypes.xml"}}
        code, output, asking = runs("upgrade, Galaxy does not load", **UPGRADE, galaxy_config=config)
        assert code != 0
        assert f"Galaxy {NEW} has failed its trial: the web process has ended" in output
        assert "/no/such/datatypes.xml" in output
        assert f"Galaxy {OLD} " in output
        assert runs.table[-1][2] == OLD
        assert asking.failed == 0
        assert left_by_a_trial(machine) == []

    def test_a_migration_that_fails_on_the_copy(self, runs: Runs, machine: Machine) -> None:
        machine.sql(
            "CREATE TABLE IF NOT EXISTS dataset_storage_operation_run (id integer);"
            " ALTER TABLE dataset_storage_operation_run OWNER TO galaxy"
        )
        code, output, asking = runs("upgrade, the migration fails in the trial", **UPGRADE)
        assert code != 0
        assert "has failed its trial" in output
        assert "dataset_storage_operation_run" in output
        assert (runs.table[-1][2], asking.failed) == (OLD, 0)

    def test_a_migration_that_fails(self, runs: Runs, machine: Machine) -> None:
        before = machine.sql("SELECT version_num FROM alembic_version ORDER BY 1")
        code, output, asking = runs(
            "upgrade without a trial, the migration fails", **UPGRADE, galaxy_upgrade_trial=False
        )
        assert code != 0
        assert "dataset_storage_operation_run" in output
        assert f"Galaxy {OLD} serves" in output
        assert (runs.table[-1][2], asking.failed) == (OLD, 0)
        assert machine.sql("SELECT version_num FROM alembic_version ORDER BY 1") == before
        machine.sql("DROP TABLE dataset_storage_operation_run")

    def test_a_proof_that_fails_after_the_switch(
        self, runs: Runs, machine: Machine, student: Student, kept: Dataset
    ) -> None:
        before = machine.sql("SELECT version_num FROM alembic_version ORDER BY 1")
        urls = [{"path": "/api/version", "contains": "nobody says this"}]
        code, output, _asking = runs(
            "upgrade, the proof fails", **UPGRADE, galaxy_upgrade_trial=False, __common_modern_urls=urls
        )
        assert code != 0
        assert "nobody says this" in output
        assert f"The upgrade to Galaxy {NEW} has been undone: Galaxy {OLD} serves again" in output
        assert runs.table[-1][2] == OLD
        assert machine.sql("SELECT version_num FROM alembic_version ORDER BY 1") == before
        data_are_there(student, kept)


# Tasks in the middle of which a run is killed, one run after the other, and the seconds until then.
MOMENTS = [
    ("change | Dump the database", 0.3),
    ("change | Try the release", 40),
    ("config | Ensure the configuration", 0.3),
    ("database | Create or migrate", 2),
    ("activate | Switch", 0.3),
    ("programs | Run Galaxy as configured", 5),
]


class TestKilled:
    @pytest.mark.parametrize("moment, after", MOMENTS, ids=[f"{task} {after} s" for task, after in MOMENTS])
    def test_galaxy_is_there(self, runs: Runs, moment: str, after: float) -> None:
        runs.killed(moment, after, **UPGRADE)
        assert runs.table[-1][2] in (OLD, NEW)

    def test_the_next_run_finishes(self, runs: Runs, machine: Machine, student: Student, kept: Dataset) -> None:
        code, output, _asking = runs("upgrade, after all that", **UPGRADE)
        assert code == 0, output[-6000:]
        assert runs.table[-1][2] == NEW
        assert left_by_a_trial(machine) == []
        data_are_there(student, kept)
        assert machine.run("stat -c '%a %U' /srv/galaxy/backups").split() == ["700", "root"]

    def test_a_second_run_changes_nothing(self, runs: Runs) -> None:
        code, output, asking = runs("the same again", **UPGRADE)
        assert code == 0, output[-6000:]
        assert " changed=0 " in output
        assert asking.failed == 0


class TestRollback:
    def test_it_goes_back_with_its_data(self, runs: Runs, machine: Machine, student: Student, kept: Dataset) -> None:
        code, output, _asking = runs("rollback", "playbooks/rollback.yml", **UPGRADE)
        assert code == 0, output[-6000:]
        assert f"Set galaxy_release: {OLD}" in output
        assert runs.table[-1][2] == OLD
        data_are_there(student, kept)

    def test_the_next_run_finds_it_in_order(self, runs: Runs) -> None:
        code, output, _asking = runs("the release before, again")
        assert code == 0, output[-6000:]
        assert runs.table[-1][2] == OLD
