# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping the application in a web process."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from galaxy_wsgi import server, worker
from galaxy_wsgi.worker import Worker


def application(log: list[str], startup: str = "complete") -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        if startup == "unsupported":
            raise NotImplementedError
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            log.append(event)
            if event == "startup" and startup == "failed":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            scope["state"]["started"] = True
            await send({"type": f"lifespan.{event}.complete"})

    return app


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the module that uWSGI has; the process is the master until ``id`` is set."""
    fake = SimpleNamespace(id=0)
    fake.worker_id = lambda: fake.id
    monkeypatch.setattr(server, "uwsgi", fake)
    return fake


def test_without_uwsgi_it_starts_at_once() -> None:
    log: list[str] = []
    state: dict[str, Any] = {}
    target = Worker(application(log), lambda: log.append("start"), lambda: log.append("stop"), state)
    target.attach()
    assert log == ["startup", "start"]
    assert state == {"started": True}
    target.stop()
    assert log == ["startup", "start", "shutdown", "stop"]


def test_preloading_master_starts_nothing(uwsgi: SimpleNamespace) -> None:
    log: list[str] = []
    Worker(application(log), lambda: log.append("start"), lambda: log.append("stop")).attach()
    uwsgi.post_fork_hook()
    uwsgi.atexit()
    assert log == []


def test_worker_starts_once(uwsgi: SimpleNamespace) -> None:
    log: list[str] = []
    Worker(application(log), lambda: log.append("start"), lambda: log.append("stop")).attach()
    uwsgi.id = 1
    uwsgi.post_fork_hook()
    uwsgi.post_fork_hook()
    uwsgi.atexit()
    uwsgi.atexit()
    assert log == ["startup", "start", "shutdown", "stop"]


def test_stop_in_a_child_of_a_worker_does_nothing(uwsgi: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    target = Worker(application(log), stop=lambda: log.append("stop"))
    uwsgi.id = 1
    target.attach()
    pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    target.stop()
    assert log == ["startup"]


def test_application_without_lifespan() -> None:
    log: list[str] = []
    target = Worker(application(log, "unsupported"), lambda: log.append("start"), lambda: log.append("stop"))
    target.attach()
    target.stop()
    assert log == ["start", "stop"]


def refuse() -> None:
    raise LookupError("no queue")


@pytest.mark.parametrize(
    "startup, start, reason", [("failed", lambda: None, "no database"), ("complete", refuse, "no queue")]
)
def test_worker_that_cannot_start_ends(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    startup: str,
    start: Callable[[], None],
    reason: str,
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit, match="1"):
        Worker(application([], startup), start).attach()
    assert reason in caplog.text


def test_stop_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.1)
    hang = threading.Event()

    def stop() -> None:
        hang.wait(60)

    target = Worker(application([]), stop=stop)
    target.attach()
    begin = time.monotonic()
    target.stop()
    assert time.monotonic() - begin < 2
    assert "leaving it" in caplog.text
    hang.set()


def test_error_in_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    target = Worker(application([]), stop=refuse)
    target.attach()
    target.stop()
    assert "no queue" in caplog.text


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What a worker tells somebody who waits for it, and who has told it to begin."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.shutdown(socket.SHUT_WR)
    monkeypatch.setenv("GALAXY_HANDOVER_FD", f"{theirs.fileno()}:{os.fstat(theirs.fileno()).st_ino}")

    def read() -> str:
        with contextlib.suppress(BlockingIOError):
            return ours.recv(4096).decode()
        return ""

    with ours, theirs:
        yield read


def test_worker_waits_until_the_others_can_answer_too(uwsgi: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setenv("GALAXY_HANDOVER_FD", f"{theirs.fileno()}:{os.fstat(theirs.fileno()).st_ino}")
    uwsgi.id = 1
    waiting = threading.Thread(target=Worker(application([])).attach)
    with ours, theirs:
        waiting.start()
        assert ours.recv(4096) == b"ready 1 1"
        waiting.join(0.3)
        assert waiting.is_alive()
        ours.shutdown(socket.SHUT_WR)
        waiting.join(10)
        assert not waiting.is_alive()


@pytest.mark.parametrize(
    "options, number", [({}, 4), ({"cheaper": b"1"}, 1), ({"cheaper": b"1", "cheaper-initial": b"2"}, 2)]
)
def test_worker_tells_that_it_can_answer(
    uwsgi: SimpleNamespace, heard: Callable[[], str], options: dict[str, bytes], number: int
) -> None:
    uwsgi.id, uwsgi.numproc, uwsgi.opt = 3, 4, options
    log: list[str] = []
    Worker(application(log), prove=lambda: log.append("prove")).attach()
    assert log == ["startup", "prove"]
    assert heard() == f"ready 3 {number}"


def test_worker_that_cannot_answer_tells_why(
    uwsgi: SimpleNamespace, heard: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no\ndatabase")

    monkeypatch.setattr(os, "_exit", sys.exit)
    uwsgi.id = 2
    with pytest.raises(SystemExit, match="1"):
        Worker(application([]), prove=fail).attach()
    assert heard() == "failed 2 no database"


def test_worker_tells_nothing_to_a_file_that_has_taken_the_number(
    uwsgi: SimpleNamespace, heard: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.environ["GALAXY_HANDOVER_FD"].partition(":")[0]
    monkeypatch.setenv("GALAXY_HANDOVER_FD", f"{descriptor}:1")
    uwsgi.id = 1
    Worker(application([])).attach()
    assert heard() == ""


def test_nobody_waits_nothing_is_proved() -> None:
    log: list[str] = []
    Worker(application(log), prove=lambda: log.append("prove")).attach()
    assert log == ["startup"]
