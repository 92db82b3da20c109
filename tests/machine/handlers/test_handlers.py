# SPDX-License-Identifier: GPL-3.0-or-later
"""Handlers of each kind get their work, and what a handler leaves behind is done by another."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import Galaxy, Machine, Student, wait_for

ROOT = Path(__file__).parents[3]

WITHOUT_POOL = {
    "galaxy_handlers": ["handler0", {"name": "scheduler0", "jobs": False}],
    "galaxy_config": {"app:main": {"brand": "Fewer handlers"}},
}


def provision(*arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *("ansible-playbook", "-i", "molecule/shared/inventory", "-i", "molecule/handlers/inventory"),
            *("-e", json.dumps(variables), *arguments, "site.yml"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


def run_tool(student: Student, history: str, tool: str, inputs: dict[str, Any]) -> str:
    answer = student.api("POST", "tools", json={"history_id": history, "tool_id": tool, "inputs": inputs})
    return str(answer["outputs"][0]["id"])


def handler_of(student: Student, machine: Machine, dataset: str) -> str:
    """Return who has run the job that made a dataset."""
    made_by = student.api("GET", f"datasets/{dataset}")["creating_job"]
    number = machine.python(
        """
import json, sys
from galaxy.security.idencoding import IdEncodingHelper
from galaxy.util.properties import load_app_properties
options = load_app_properties(config_file="/srv/galaxy/config/galaxy.ini", config_section="app:main")
print(json.dumps(IdEncodingHelper(id_secret=options["id_secret"]).decode_id(sys.argv[1])))
""",
        made_by,
        interpreter="/srv/galaxy/venv/bin/python",
    )
    return machine.sql(f"SELECT handler FROM job WHERE id = {number}")[0]


@pytest.fixture(scope="module")
def source(student: Student) -> tuple[str, str]:
    """A history, and a dataset in it."""
    history = student.history("Handlers")
    dataset = student.upload("".join(f"line {number}\n" for number in range(100)), history, "source.txt")
    assert dataset.state == "ok"
    return history, dataset.id


def test_each_process_is_what_it_is_called(machine: Machine) -> None:
    assert set(machine.programs()) == {"galaxy", "handler0", "pool0", "scheduler0"}
    text = machine.run("cat /srv/galaxy/config/job_conf.yml")
    assert "handler0" in text
    # It joins its pool when it starts, and nobody else has to know of it.
    assert "pool0" not in text
    assert "--attach-to-pool=job-handlers.pooled" in machine.run("cat /etc/supervisor/conf.d/galaxy.conf")


def test_a_tool_runs_where_it_is_sent(machine: Machine, student: Student, source: tuple[str, str]) -> None:
    history, dataset = source
    assert handler_of(student, machine, dataset) == "handler0"
    output = run_tool(student, history, "cat1", {"input1": {"src": "hda", "id": dataset}})
    assert student.finished(output).state == "ok"
    assert handler_of(student, machine, output) == "pool0"


def test_workflows_are_scheduled_by_their_scheduler(
    machine: Machine, student: Student, source: tuple[str, str]
) -> None:
    history, dataset = source
    step: dict[str, Any] = {"annotation": "", "label": None, "position": {"left": 0, "top": 0}, "workflow_outputs": []}
    workflow = {
        "a_galaxy_workflow": "true",
        "format-version": "0.1",
        "name": "Twice",
        "annotation": "",
        "steps": {
            "0": {
                **step,
                "id": 0,
                "type": "data_input",
                "name": "Input dataset",
                "tool_id": None,
                "tool_state": "{}",
                "inputs": [],
                "input_connections": {},
                "outputs": [],
            },
            "1": {
                **step,
                "id": 1,
                "type": "tool",
                "name": "Concatenate",
                "tool_id": "cat1",
                "tool_version": "1.0.0",
                "tool_state": '{"queries": []}',
                "inputs": [],
                "outputs": [],
                "input_connections": {"input1": {"id": 0, "output_name": "output"}},
            },
        },
    }
    made = student.api("POST", "workflows", json={"workflow": workflow})
    invocation = student.api(
        "POST",
        f"workflows/{made['id']}/invocations",
        json={"history_id": history, "inputs": {"0": {"src": "hda", "id": dataset}}, "inputs_by": "step_index"},
    )
    path = f"invocations/{invocation['id']}"
    wait_for(
        "the workflow is scheduled",
        lambda: student.api("GET", path)["state"] in ("scheduled", "completed"),
        300,
    )
    assert machine.sql("SELECT DISTINCT handler FROM workflow_invocation") == ["scheduler0"]
    outputs = [
        step["jobs"][0]["id"] for step in student.api("GET", f"{path}?step_details=true")["steps"] if step["jobs"]
    ]
    assert len(outputs) == 1


def test_the_removal_of_a_handler_with_work_is_refused(
    machine: Machine, student: Student, source: tuple[str, str]
) -> None:
    history, dataset = source
    for _number in range(8):
        run_tool(student, history, "cat1", {"input1": {"src": "hda", "id": dataset}})
    wait_for(
        "the pool's handler has taken them",
        lambda: (
            machine.sql("SELECT count(*) FROM job WHERE handler = 'pool0' AND state IN ('queued', 'running')")[0] >= "5"
        ),
        120,
    )
    before = machine.run("supervisorctl pid gx:galaxy")
    run = provision(galaxy_removed_handlers="refuse", **WITHOUT_POOL)
    assert run.returncode == 2
    assert "galaxy_handlers: pool0: it is to be no longer there, and has work to do: " in run.stdout
    assert "changed=0" in run.stdout
    assert machine.run("supervisorctl pid gx:galaxy") == before


def test_what_a_removed_handler_had_to_do_is_done_once_by_another(machine: Machine, student: Student) -> None:
    waiting = machine.sql("SELECT id FROM job WHERE handler = 'pool0' AND state = 'queued' ORDER BY id DESC")
    assert waiting, "nothing is left to hand over"
    succeeded(provision(**WITHOUT_POOL))
    assert "pool0" not in machine.programs()
    ended = "state IN ('ok', 'error', 'deleted')"
    wait_for(
        "no job is left",
        lambda: machine.sql(f"SELECT count(*) FROM job WHERE NOT {ended}") == ["0"],
        600,
    )
    # The last one waited until pool0 had stopped.
    last = waiting[0]
    assert machine.sql(f"SELECT state, handler FROM job WHERE id = {last}") == ["ok|handler0"]
    for job in waiting:
        times = machine.sql(f"SELECT count(*) FROM job_state_history WHERE job_id = {job} AND state = 'running'")
        assert times == ["1"], job
    # What pool0 was at when it stopped has failed, as when it is restarted; nobody did it again.
    failed = machine.sql("SELECT id FROM job WHERE state = 'error'")
    assert len(failed) <= 1
    for job in failed:
        times = machine.sql(f"SELECT count(*) FROM job_state_history WHERE job_id = {job} AND state = 'running'")
        assert times == ["1"], job


@pytest.mark.parametrize(
    "method, handlers, runs",
    [
        ("db-transaction-isolation", 1, {"handler0"}),
        ("db-preassign", 2, {"handler0", "handler1"}),
        ("db-self", 1, {"main.1"}),
        ("mem-self", 0, {"main.1", ""}),
    ],
)
def test_methods(
    machine: Machine, galaxy: Galaxy, student: Student, method: str, handlers: int, runs: set[str]
) -> None:
    """Each run of the playbook ends with a job by one of those that are to take jobs."""
    job_config = {"handling": {"assign": [method]}}
    succeeded(
        provision(
            galaxy_handlers=handlers,
            galaxy_workflow_schedulers=[],
            galaxy_job_config=job_config,
            galaxy_config={},
        )
    )
    galaxy.wait()
    assert student.upload("one more\n", student.history(method), "one.txt").state == "ok"
    found = machine.sql("SELECT coalesce(handler, '') FROM job WHERE state = 'ok' ORDER BY id DESC LIMIT 2")
    assert set(found) <= runs
