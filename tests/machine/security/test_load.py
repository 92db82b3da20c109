# SPDX-License-Identifier: GPL-3.0-or-later
"""More than the server can take, and less than anybody should take of it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from support import Machine, wait_for

ASK = "curl --silent --insecure --max-time 30 --header 'Host: galaxy.example.org' https://127.0.0.1"


def answers(machine: Machine, path: str = "/api/version") -> bool:
    return machine.run(f"{ASK}{path} --output /dev/null --write-out '%{{http_code}}' || true") == "200"


@contextmanager
def connections(machine: Machine, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent so much, and go on to say nothing."""
    address = re.sub("^http://", "", machine.url())
    host, port = address.split(":")
    with ExitStack() as stack:
        opened = []
        for _number in range(number):
            opened.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=30)))
            opened[-1].sendall(sent)
        yield opened


def test_idle_connections_cost_nothing(machine: Machine) -> None:
    request = b"GET /robots.txt HTTP/1.1\r\nHost: galaxy.example.org\r\n\r\n"
    before = int(machine.run("awk '/MemAvailable/ {print $2}' /proc/meminfo"))
    with connections(machine, 700, request):
        assert answers(machine)
        after = int(machine.run("awk '/MemAvailable/ {print $2}' /proc/meminfo"))
        assert before - after < 200_000, "200 MB for 700 connections that do nothing"


def test_slow_clients_hold_no_worker(machine: Machine) -> None:
    """Half a header, and half a body: nginx waits for the rest, and bothers nobody."""
    header = b"POST /api/histories HTTP/1.1\r\nHost: galaxy.example.org\r\nContent-Length: 100000\r\n"
    with connections(machine, 50, header), connections(machine, 50, header + b"\r\nname="):
        began = time.monotonic()
        assert all(answers(machine) for _time in range(5))
        assert time.monotonic() - began < 30
        busy = [worker["status"] for worker in machine.uwsgi_stats()["workers"]]
        assert busy == ["idle"] * len(busy)


def test_who_comes_while_it_is_stopped_is_asked_to_come_again(machine: Machine) -> None:
    machine.run("supervisorctl stop gx:galaxy")
    try:
        answer = machine.run(f"{ASK}/ --include")
        static = machine.run(f"{ASK}/static/favicon.svg --include")
    finally:
        machine.run("supervisorctl start gx:galaxy")
        wait_for("Galaxy answers", lambda: answers(machine), 400)
    assert re.match(r"HTTP/2 503", answer)
    assert "retry-after: 10" in answer
    assert "Galaxy is busy" in answer
    assert static.startswith("HTTP/2 200")
