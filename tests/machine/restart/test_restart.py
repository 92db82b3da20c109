# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts that nobody notices: while requests and jobs go on, none fails, is lost or is done twice."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from load import MEGABYTE, ROWS, Load
from support import START, Dataset, Galaxy, Machine, Student, wait_for

PROJECT = Path(__file__).parents[3]
FILES = Path(__file__).parent / "files"
BASELINE = 20.0
# Nobody waits longer than this for a restart.
LONGER = 1.0


def play(playbook: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook as an administrator does. The inventory is that of the scenario."""
    given = {"tool_files": str(FILES), **variables}
    return subprocess.run(
        [
            *("ansible-playbook", "-i", "molecule/shared/inventory", "-i", "molecule/restart/inventory"),
            *("-e", json.dumps(given), playbook),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
    )


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


@pytest.fixture(scope="session")
def history(student: Student) -> str:
    return student.history("Restarts")


@pytest.fixture(scope="session")
def large(student: Student, history: str) -> Dataset:
    dataset = student.upload("0123456789abcde\n" * (40 * MEGABYTE // 16), history, "large.txt")
    assert dataset.state == "ok"
    return dataset


@pytest.fixture(scope="session")
def baseline(student: Student, history: str, large: Dataset) -> dict[str, float]:
    """The longest that each kind of request takes when nothing is restarted."""
    with Load(student, history, large) as load:
        time.sleep(BASELINE)
    assert load.faults == []
    ROWS.append("  ".join(["(no restart)    ", *load.row()]))
    return load.longest()


@pytest.fixture
def unnoticed(student: Student, history: str, large: Dataset, baseline: dict[str, float]) -> Callable[[str], Any]:
    """Make requests while something happens, and check that nobody could have noticed it."""

    @contextmanager
    def watch(what: str) -> Iterator[Load]:
        begun = time.monotonic()
        with Load(student, history, large) as load:
            yield load
            # It may be the end of the old processes that is noticed.
            time.sleep(5)
        ROWS.append("  ".join([f"{what:16}", *load.row(), f"{time.monotonic() - begun:6.0f}"]))
        assert load.faults == []
        slowest = max(baseline.values())
        assert {kind: seconds for kind, seconds in load.longest().items() if seconds > slowest + LONGER} == {}
        # Each upload is a job.
        assert {student.finished(dataset).state for dataset in load.uploads} == {"ok"}

    return watch


def in_jobs(machine: Machine, tool: str) -> list[str]:
    """Return how often each job of a tool has been in the state "running"."""
    return machine.sql(
        "SELECT count(h.id) FROM job j LEFT JOIN job_state_history h ON h.job_id = j.id AND h.state = 'running'"
        f" WHERE j.tool_id = '{tool}' GROUP BY j.id"
    )


def test_sighup(machine: Machine, unnoticed: Callable[[str], Any]) -> None:
    old = set(machine.workers())
    program = machine.run("supervisorctl pid gx:galaxy")
    with unnoticed("HUP"):
        machine.run("supervisorctl signal HUP gx:galaxy")
        wait_for("the old workers end", lambda: not any(map(machine.is_process, old)), START)
    assert not old & set(machine.workers())
    assert machine.run("supervisorctl pid gx:galaxy") == program


def test_changed_option(machine: Machine, galaxy: Galaxy, unnoticed: Callable[[str], Any]) -> None:
    """The run takes the new option to all processes."""
    old = set(machine.workers())
    program = machine.run("supervisorctl pid gx:galaxy")
    with unnoticed("changed option"):
        succeeded(play("site.yml", brand="Changed"))
        assert galaxy.get("/api/configuration").json()["brand"] == "Changed"
    assert not old & set(machine.workers())
    assert machine.run("supervisorctl pid gx:galaxy") == program


def test_broken_configuration(machine: Machine, galaxy: Galaxy, unnoticed: Callable[[str], Any]) -> None:
    """The run fails and says why, and what served goes on. The next one mends it."""
    old = set(machine.workers())
    handlers = [machine.run(f"supervisorctl pid gx:handler{number}") for number in (0, 1)]
    with unnoticed("broken"):
        run = play("site.yml", brand="Broken", object_store="broken.xml")
        assert run.returncode == 2
        assert "was not replaced, and the old one goes on: it ended with status 22" in run.stdout
        assert "XMLSyntaxError" in run.stdout, run.stdout[-3000:]
        assert set(machine.workers()) == old
        assert galaxy.get("/api/configuration").json()["brand"] == "Changed"
        assert [machine.run(f"supervisorctl pid gx:handler{number}") for number in (0, 1)] == handlers
    with unnoticed("mended"):
        succeeded(play("site.yml", brand="Mended"))
        assert galaxy.get("/api/configuration").json()["brand"] == "Mended"


def test_restart_with_jobs(machine: Machine, student: Student, history: str, unnoticed: Callable[[str], Any]) -> None:
    """The playbook restarts the handlers, too. Jobs that run end, those that wait are done, each of them once."""
    outputs = []
    for number in range(12):
        body = {"history_id": history, "tool_id": "sleep", "inputs": {"seconds": 12, "text": f"job {number}"}}
        outputs.append(student.api("POST", "tools", json=body)["outputs"][0]["id"])
    wait_for(
        "some run and some wait",
        lambda: len(machine.sql("SELECT DISTINCT state FROM job WHERE tool_id = 'sleep'")) > 1,
        60,
    )
    old = {program: machine.run(f"supervisorctl pid gx:{program}") for program in ("handler0", "handler1")}
    workers = set(machine.workers())
    with unnoticed("restart.yml"):
        succeeded(play("playbooks/restart.yml", brand="Mended"))
    assert not workers & set(machine.workers())
    for program, pid in old.items():
        assert machine.run(f"supervisorctl pid gx:{program}") != pid
    assert [student.finished(output).state for output in outputs] == ["ok"] * 12
    texts = [student.download(Dataset(output, "ok", 0)).text for output in outputs]
    assert texts == [f"job {number}\n" for number in range(12)]
    assert in_jobs(machine, "sleep") == ["1"] * 12


def pids(machine: Machine) -> dict[str, str]:
    return {program: machine.run(f"supervisorctl pid gx:{program}") for program in machine.programs()}


@pytest.mark.parametrize(
    "what, variables, restarted",
    [
        # The web processes have to know that there is another: others take over from them.
        ("a handler more", {"galaxy_handlers": 3}, {"handler0", "handler1", "handler2", "web"}),
        ("one less", {"galaxy_handlers": 2}, {"handler0", "handler1", "handler2", "web"}),
        ("job setting", {"galaxy_local_runner_workers": 3}, {"handler0", "handler1"}),
        ("nginx", {"galaxy_local_runner_workers": 3, "nginx_static_expires": 7200}, set()),
    ],
)
def test_only_what_a_change_is_about_is_restarted(
    machine: Machine, unnoticed: Callable[[str], Any], what: str, variables: dict[str, Any], restarted: set[str]
) -> None:
    def running() -> dict[str, str]:
        return {**pids(machine), "web": str(sorted(machine.workers()))}

    before = running()
    with unnoticed(what):
        succeeded(play("site.yml", brand="Mended", **variables))
    after = running()
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == restarted


def test_no_job_was_done_twice_or_lost(machine: Machine, student: Student, history: str) -> None:
    assert set(in_jobs(machine, "__DATA_FETCH__")) == {"1"}
    assert machine.sql("SELECT DISTINCT state FROM job") == ["ok"]
