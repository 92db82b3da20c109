# SPDX-License-Identifier: GPL-3.0-or-later
"""The same Galaxy under gunicorn, its own server, and under uWSGI: both have to answer alike.

    GALAXY_TEST_MACHINE=galaxy-conformance pytest tests/conformance

asks a machine that is running (script/test --keep --scenario conformance leaves one). benchmarks/stand.py starts the
servers there, with the routes of probe/probe.py in Galaxy's application.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from compared import ORIGIN, PREFIX, ROWS, Alike, Row, Server
from support import Galaxy, Machine, Student

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Machine(os.environ.get("GALAXY_TEST_MACHINE", "galaxy-conformance"))


@pytest.fixture(scope="session")
def pairs(machine: Machine) -> Iterator[dict[str, dict[str, Server]]]:
    """Start a pair of servers without a prefix, and one with it."""
    for source, target in ((HERE.parent.parent / "benchmarks", "benchmarks"), (HERE / "probe", "probe")):
        machine.run("mkdir -p /opt/conformance && rm -rf /opt/conformance/%s", target)
        subprocess.run(["docker", "cp", "-q", source, f"{machine.name}:/opt/conformance/{target}"], check=True)
    command = [
        *("docker", "exec", "-i", machine.name, "python3", "/opt/conformance/benchmarks/stand.py"),
        # Docker lets only the machine's loopback address reach it.
        *("--address", "*", "--probe", "/opt/conformance/probe", "--prefix", PREFIX),
        *("--set", f"allowed_origin_hostnames={urlsplit(ORIGIN).hostname}"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stand:
        assert stand.stdin
        assert stand.stdout
        line = stand.stdout.readline()
        assert line, "The servers have not started"
        found: dict[str, dict[str, Server]] = {"": {}, PREFIX: {}}
        for server in json.loads(line)["servers"]:
            found[server["prefix"]][server["kind"]] = Server(machine, **server)
        yield found
        stand.stdin.close()


@pytest.fixture(scope="session")
def servers(pairs: dict[str, dict[str, Server]]) -> dict[str, Server]:
    return pairs[""]


def name_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).removeprefix("test_").replace("_", " ")


@pytest.fixture
def alike(servers: dict[str, Server], request: pytest.FixtureRequest) -> Alike:
    return Alike(servers, name_of(request))


@pytest.fixture
def alike_below_prefix(pairs: dict[str, dict[str, Server]], request: pytest.FixtureRequest) -> Alike:
    return Alike(pairs[PREFIX], name_of(request))


@pytest.fixture(scope="session")
def student(servers: dict[str, Server]) -> Student:
    """Someone with an account: it is one database."""
    return Student(
        Galaxy(servers["uwsgi"].url), f"student-{secrets.token_hex(4)}@example.org", "a-Password-0f-the-tests"
    )


@pytest.fixture(scope="session")
def key(student: Student) -> dict[str, str]:
    """The header by which they are known."""
    return {"x-api-key": str(student.session.headers["x-api-key"])}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    table = [Row("behaviour", "gunicorn", "uWSGI", "alike"), *ROWS]
    width = max(len(row.behaviour) for row in table)
    terminalreporter.section("gunicorn and uWSGI")
    for row in table:
        terminalreporter.line(f"{row.behaviour:{width}}  {row.gunicorn:34}  {row.uwsgi:34}  {row.alike}")
    alike = sum(row.alike == "yes" for row in ROWS)
    terminalreporter.line(f"{alike} of {len(ROWS)} alike")
