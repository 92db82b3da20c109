# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing over the work of handlers that are gone: a real database (SQLite) with the columns it reads."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# With real processes, which take their time.
pytestmark = pytest.mark.slow

sa = pytest.importorskip("sqlalchemy")

SCRIPT = Path(__file__).parents[3] / "roles" / "_common" / "files" / "galaxy_jobs.py"

TABLES = """
CREATE TABLE job (id INTEGER PRIMARY KEY, tool_id VARCHAR(255), state VARCHAR(64), handler VARCHAR(255));
CREATE TABLE workflow_invocation (id INTEGER PRIMARY KEY, state VARCHAR(64), handler VARCHAR(255));
CREATE TABLE worker_process (id INTEGER PRIMARY KEY, server_name VARCHAR(255), hostname VARCHAR(255), pid INTEGER,
    update_time TIMESTAMP);
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("galaxy_jobs", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Server:
    """A Galaxy's configuration and database."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "galaxy.ini"
        self.engine = sa.create_engine(f"sqlite:///{directory}/x.sqlite")
        self.run_sql(*TABLES.split(";"))
        self.configure({"handling": {"assign": ["db-skip-locked"], "default": "handlers"}})

    def configure(self, job_config: Any, name: str = "job_conf.yml", schedulers: str = "") -> None:
        text = job_config if isinstance(job_config, str) else json.dumps(job_config)
        (self.directory / name).write_text(text)
        lines = ["[uwsgi]", "[app:main]", f"database_connection = {self.engine.url}", f"job_config_file = {name}"]
        if schedulers:
            (self.directory / "schedulers.xml").write_text(schedulers)
            lines.append(f"workflow_schedulers_config_file = {self.directory}/schedulers.xml")
        self.config.write_text("\n".join(lines) + "\n")

    def run_sql(self, *statements: str) -> list[Any]:
        rows: list[Any] = []
        with self.engine.begin() as connection:
            for statement in statements:
                if statement.strip():
                    result = connection.execute(sa.text(statement))
                    rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows

    def job(self, number: int, state: str, handler: str, tool: str = "cat1") -> None:
        self.run_sql(f"INSERT INTO job VALUES ({number}, '{tool}', '{state}', '{handler}')")

    def jobs(self) -> dict[int, str]:
        return dict(self.run_sql("SELECT id, handler FROM job ORDER BY id"))

    def invocation(self, number: int, state: str, handler: str) -> None:
        self.run_sql(f"INSERT INTO workflow_invocation VALUES ({number}, '{state}', '{handler}')")

    def invocations(self) -> dict[int, str]:
        return dict(self.run_sql("SELECT id, handler FROM workflow_invocation ORDER BY id"))

    def process(self, name: str, hostname: str, pid: int, minutes: float = 0) -> None:
        time = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(minutes=minutes)
        self.run_sql(
            "INSERT INTO worker_process (server_name, hostname, pid, update_time)"
            f" VALUES ('{name}', '{hostname}', {pid}, '{time}')"
        )

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--config-file", str(self.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        self.said = done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


TWO = ("--process=handler0=handlers", "--process=handler1=handlers")


def test_nothing_is_stranded(server: Server) -> None:
    server.job(1, "new", "handlers")
    server.job(2, "running", "handler1")
    server.job(3, "ok", "gone")
    server.run_sql("INSERT INTO job VALUES (4, 'cat1', 'new', NULL)")
    assert server.run("reassign", *TWO) == {"stranded": {}, "moved": {}, "recover": []}


def test_what_waits_goes_to_the_tag_and_what_was_begun_to_a_handler(server: Server) -> None:
    states = ["new", "paused", "queued", "running", "stop", "resubmitted", "deleting", "ok", "error", "deleted"]
    for number, state in enumerate(states):
        server.job(number, state, "gone")
    report = server.run("reassign", *TWO)
    assert server.jobs() == {
        0: "handlers",
        1: "handlers",
        2: "handler0",
        3: "handler1",
        4: "handler0",
        5: "handler1",
        6: "handler0",
        7: "gone",
        8: "gone",
        9: "gone",
    }
    assert report == {
        "stranded": {"gone": {"jobs": 7, "invocations": 0}},
        "moved": {"handlers": 2, "handler0": 3, "handler1": 2},
        # Galaxy finds what is queued or running when the handler starts, and the others at any time.
        "recover": ["handler0", "handler1"],
    }
    assert server.run("reassign", *TWO)["stranded"] == {}


def test_looking_changes_nothing(server: Server) -> None:
    server.job(1, "new", "gone")
    report = server.run("look", *TWO)
    assert report["stranded"] == {"gone": {"jobs": 1, "invocations": 0}}
    assert server.jobs() == {1: "gone"}


def test_refusing_says_what_waits_for_whom(server: Server) -> None:
    server.job(1, "new", "gone")
    server.job(2, "running", "gone")
    server.invocation(1, "ready", "gone")
    server.run("refuse", *TWO, code=3)
    assert server.said.startswith(
        "galaxy_handlers: gone: it is to be no longer there, and has work to do: 2 jobs and 1 invocations. Wait until"
    )
    assert "galaxy_removed_handlers: reassign" in server.said
    assert server.jobs() == {1: "gone", 2: "gone"}


def test_a_tool_goes_where_it_is_sent(server: Server) -> None:
    tools = [{"id": "Big_Tool", "handler": "big"}, {"id": "toolshed.org/repos/a/b/bwa", "handler": "handler1"}]
    server.configure({"handling": {"assign": ["db-skip-locked"], "default": "handlers"}, "tools": tools})
    server.job(2, "new", "gone", "big_tool")
    server.job(3, "queued", "gone", "big_tool")
    server.job(4, "new", "gone", "toolshed.org/repos/a/b/bwa/1.0+galaxy0")
    server.run("reassign", *TWO, "--process=big0=big")
    assert server.jobs() == {2: "big", 3: "big0", 4: "handler1"}


def test_jobs_that_wait_for_a_tag_that_nobody_has(server: Server) -> None:
    server.job(1, "new", "old-tag")
    server.run("reassign", *TWO)
    assert server.jobs() == {1: "handlers"}


@pytest.mark.parametrize("method", ["db-preassign", "db-self"])
def test_without_grabbing_each_job_gets_a_handler(server: Server, method: str) -> None:
    server.configure({"handling": {"assign": [method], "default": "handlers"}})
    for number in range(4):
        server.job(number, "new", "handlers" if number else "gone")
    server.run("reassign", *TWO)
    assert server.jobs() == {0: "handler0", 1: "handler1", 2: "handler0", 3: "handler1"}


def test_the_web_process_takes_over(server: Server) -> None:
    server.configure({"runners": {}})
    server.job(1, "new", "handler0")
    server.job(2, "queued", "handler0")
    report = server.run("reassign", "--process=main.1=_default_")
    assert server.jobs() == {1: "_default_", 2: "main.1"}
    assert report["recover"] == ["main.1"]


def test_the_web_process_gives_up(server: Server) -> None:
    server.job(1, "new", "_default_")
    server.job(2, "new", "main.1")
    server.run("reassign", *TWO)
    assert set(server.jobs().values()) == {"handlers"}


def test_a_pool_takes_over(server: Server) -> None:
    server.configure({"handling": {"assign": ["db-skip-locked"]}})
    server.job(1, "new", "handler0")
    server.job(2, "running", "handler0")
    server.run("reassign", "--process=pool0=_default_")
    assert server.jobs() == {1: "_default_", 2: "pool0"}


def test_xml(server: Server) -> None:
    text = """<job_conf><handlers assign_with="db-skip-locked" default="all"><handler id="a" tags="all"/></handlers>
    <tools><tool id="cat1" handler="big"/><tool id="x"/></tools></job_conf>"""
    server.configure(text, "job_conf.xml")
    server.job(1, "new", "gone", "x")
    server.job(2, "new", "gone", "cat1")
    server.run("reassign", "--process=a=all", "--process=b=big")
    assert server.jobs() == {1: "all", 2: "big"}


def test_invocations_go_with_jobs(server: Server) -> None:
    for number, state in enumerate(["new", "ready", "requires_materialization", "cancelling", "scheduled", "failed"]):
        server.invocation(number, state, "gone")
    report = server.run("reassign", *TWO)
    assert server.invocations() == {
        0: "handlers",
        1: "handler1",
        2: "handlers",
        3: "handlers",
        4: "gone",
        5: "gone",
    }
    # A scheduler asks for what is its own again and again.
    assert report["recover"] == []


def test_invocations_go_to_their_schedulers(server: Server) -> None:
    text = """<workflow_schedulers><core id="default"/><handlers assign_with="db-skip-locked" default="w">
    <handler id="s0" tags="w"/></handlers></workflow_schedulers>"""
    server.configure({"handling": {"assign": ["db-skip-locked"], "default": "handlers"}}, schedulers=text)
    server.invocation(1, "new", "handlers")
    server.invocation(2, "ready", "handler0")
    server.invocation(3, "ready", "s1")
    server.run("reassign", *TWO, "--scheduler=s1")
    assert server.invocations() == {1: "w", 2: "s0", 3: "s1"}


def test_handlers_elsewhere_are_left_alone_while_they_live(server: Server) -> None:
    server.process("there", "another.example.org", 1, minutes=1)
    server.process("silent", "another.example.org", 1, minutes=60)
    server.job(1, "running", "there")
    server.job(2, "new", "silent")
    assert server.run("refuse", *TWO, code=3)["stranded"] == {"silent": {"jobs": 1, "invocations": 0}}
    server.run("reassign", *TWO)
    assert server.jobs() == {1: "there", 2: "handlers"}


def test_handlers_here_are_left_alone_until_they_have_stopped(server: Server) -> None:
    with subprocess.Popen(["galaxy-main --server-name=other", "60"], executable="/bin/sleep") as other:
        server.process("reused", socket.gethostname(), other.pid)
        server.job(1, "new", "reused")
        server.run("reassign", *TWO)
        assert server.jobs() == {1: "handlers"}
        other.kill()
    with subprocess.Popen(["galaxy-main --server-name=living", "60"], executable="/bin/sleep") as living:
        server.process("living", socket.gethostname(), living.pid)
        server.job(2, "new", "living")
        server.run("reassign", *TWO)
        assert server.jobs()[2] == "living"
        # It is about to be removed.
        server.run("refuse", *TWO, code=3)
        living.kill()
    server.run("reassign", *TWO)
    assert server.jobs()[2] == "handlers"


def test_nobody_is_there(server: Server) -> None:
    server.job(1, "queued", "gone")
    assert server.run("reassign")["moved"] == {}
    assert server.jobs() == {1: "gone"}


def test_an_empty_database(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.run_sql("DROP TABLE job", "DROP TABLE workflow_invocation", "DROP TABLE worker_process")
    assert server.run("refuse", *TWO)["stranded"] == {}


def test_it_is_one_transaction(server: Server) -> None:
    server.job(1, "new", "gone")
    server.invocation(1, "new", "gone")
    server.run_sql(
        "CREATE TRIGGER no BEFORE UPDATE ON workflow_invocation BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--config-file", str(server.config), *TWO, "reassign"],
        capture_output=True,
        check=False,
        env={**os.environ},
    )
    assert done.returncode not in (0, 3)
    assert server.jobs() == {1: "gone"}


def test_names_of_a_tool(script: ModuleType) -> None:
    assert script.tool_ids("Cat1") == ["cat1"]
    assert script.tool_ids("shed.org/repos/o/r/Tool/1.0") == [
        "shed.org/repos/o/r/tool/1.0",
        "shed.org/repos/o/r/tool",
        "tool",
    ]
