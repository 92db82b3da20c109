# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing a real uWSGI by another one while requests go on."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import uwsgi_protocol

# With real processes, which take their time.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi is not installed"),
]

HERE = Path(__file__).parent
FILES = HERE.parents[2] / "roles/uwsgi/files"
# As the role configures uWSGI.
OPTIONS = """
    [uwsgi]
    chmod-socket = 660
    processes = 2
    threads = 2
    master = true
    need-app = true
    die-on-term = true
    enable-threads = true
    single-interpreter = true
    py-call-uwsgi-fork-hooks = true
    skip-atexit-teardown = true
    worker-reload-mercy = 60
    thunder-lock = true
    vacuum = true
    strict = true
"""


class Server:
    """A handover with a uWSGI below it."""

    def __init__(self, directory: Path, **options: Any) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.directory = directory
        self.path = str(directory / "uwsgi.sock")
        self.stats = str(directory / "stats")
        self.log = directory / "log"
        self.version("v1")
        ini = {
            "wsgi-file": HERE / "handover_app.py",
            "pythonpath": FILES,
            "stats": self.stats,
            "master-fifo": directory / "fifo",
            # Without it uWSGI would re-execute the interpreter below the virtual environment, which has no pyuwsgi.
            "binary-path": sys.executable,
            "logto": directory / "uwsgi.log",
        }
        text = "\n".join(line.strip() for line in OPTIONS.splitlines()) + "\n"
        text += f"socket = {self.address}\nsocket = {self.path}\n"
        (directory / "uwsgi.ini").write_text(text + "".join(f"{name} = {value}\n" for name, value in ini.items()))
        given = {"fifo": directory / "fifo", "stats": self.stats, "state": directory / "state", "chmod-socket": 660}
        given.update({name.replace("_", "-"): value for name, value in options.items()})
        # One of its own, which a test may change.
        self.program = directory / "galaxy_handover.py"
        shutil.copy(FILES / self.program.name, self.program)
        command = [sys.executable, self.program, f"--socket={self.address}", f"--socket={self.path}"]
        command += [f"--{name}={value}" for name, value in given.items()]
        command += ["--", Path(sys.executable).with_name("uwsgi"), "--ini", directory / "uwsgi.ini"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "VERSION": str(directory / "version")},
                start_new_session=True,
            )

    def version(self, text: str) -> None:
        (self.directory / "version").write_text(text)

    @property
    def state(self) -> dict[str, Any]:
        path = self.directory / "state"
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return state

    def ask(self, seconds: float = 0, address: str = "") -> str:
        variables = uwsgi_protocol.request_vars("/", "localhost")
        variables["QUERY_STRING"] = str(seconds)
        held = uwsgi_protocol.HeldRequest(address or self.address, variables)
        try:
            response = held.finish(30)
        finally:
            held.close()
        assert response.status == 200
        return response.body.decode().split()[0]

    def until(self, what: str, question: Callable[[], Any], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while not (answer := question()):
            if time.monotonic() > end:
                logs = "".join(path.read_text()[-3000:] for path in sorted(self.directory.glob("*log")))
                pytest.fail(f"{what}: not in {seconds} s\n{logs}")
            time.sleep(0.05)
        return answer

    def serves(self) -> int:
        """Wait for the first uWSGI; return its master's process."""
        return int(self.until("it serves", lambda: self.state.get("master")))

    def replace(self) -> dict[str, Any]:
        """Have it replaced, and return the state when that is over."""
        begun = time.time()
        self.process.send_signal(signal.SIGHUP)
        state: dict[str, Any] = self.until("a try ends", lambda: self.state["tried"] >= begun and self.state)
        return state

    def answers(self, version: str) -> None:
        """Wait until only this version answers: the old one takes requests until it has heard that it is to leave."""
        self.until(f"only {version} answers", lambda: {self.ask() for _round in range(10)} == {version})

    def told(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.log.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers = []

    def run(**options: Any) -> Server:
        servers.append(Server(tmp_path, **options))
        return servers[-1]

    yield run
    for server in servers:
        server.end()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    server = start()
    server.serves()
    return server


class Load:
    """Requests, one after the other at each socket, for as long as the context lasts."""

    def __init__(self, server: Server) -> None:
        self.answers: list[str] = []
        self.longest = 0.0
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[to]) for to in (server.address, server.path)]

    def _run(self, address: str) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                self.answers.append(self._server.ask(0, address))
            except (OSError, AssertionError, uwsgi_protocol.ProtocolError) as error:
                self.answers.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(0.02)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_no_request_fails_or_waits_while_it_is_replaced(server: Server) -> None:
    old = server.serves()
    slow: list[str] = []
    waiting = threading.Thread(target=lambda: slow.append(server.ask(4)))
    waiting.start()
    with Load(server) as load:
        server.version("v2")
        state = server.replace()
        server.until("the old one has left", server.told(f"uWSGI {old} has left"))
    waiting.join()
    # Begun by the old one, and ended by it.
    assert slow == ["v1"]
    assert set(load.answers) == {"v1", "v2"}
    assert load.longest < 0.5
    assert state["error"] == ""
    assert state["master"] != old
    assert state["pid"] == server.process.pid


def test_what_tells_of_it_is_that_of_the_new_one(server: Server) -> None:
    old = server.serves()
    server.version("v2")
    new = server.replace()["master"]
    server.until("the old one has left", server.told(f"uWSGI {old} has left"))
    assert uwsgi_protocol.read_stats(server.stats)["pid"] == new
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o660
    assert {path.name for path in server.directory.glob("stats*")} == {"stats", f"stats.{new}"}


@pytest.mark.parametrize(
    "how, why",
    [("broken", "it ended with status 22"), ("failing", "worker 2 cannot answer: no database"), ("slow", "not ready")],
)
def test_a_new_one_that_fails_replaces_nothing(start: Callable[..., Server], how: str, why: str) -> None:
    server = start(timeout=4)
    old = server.serves()
    server.version(f"v2 {how}")
    with Load(server) as load:
        state = server.replace()
        assert why in state["error"]
        assert state["master"] == old
        server.until(
            "the new one is gone", lambda: len(server.log.read_text().split("has left")) == 2 or how == "broken"
        )
        assert uwsgi_protocol.read_stats(server.stats)["pid"] == old
        server.version("v3")
        assert server.replace()["error"] == ""
        server.answers("v3")
    assert set(load.answers) <= {"v1", "v3"}


def test_a_signal_during_a_handover_is_remembered(server: Server) -> None:
    server.version("v2")
    server.process.send_signal(signal.SIGHUP)
    server.until("it is at it", lambda: server.state["loading"])
    time.sleep(0.3)
    server.version("v3")
    server.process.send_signal(signal.SIGHUP)
    server.until("v3 serves", lambda: server.ask() == "v3")
    assert server.log.read_text().count("started uWSGI") == 3


def in_vain(server: Server) -> threading.Thread:
    """Begin a request that will be cut off."""

    def ask() -> None:
        with pytest.raises((OSError, uwsgi_protocol.ProtocolError)):
            server.ask(20)

    waiting = threading.Thread(target=ask)
    waiting.start()
    time.sleep(0.3)
    return waiting


def test_one_that_does_not_leave_is_killed(start: Callable[..., Server]) -> None:
    server = start(drain=1)
    old = server.serves()
    waiting = in_vain(server)
    assert server.replace()["error"] == ""
    server.until("it is killed", server.told(f"uWSGI {old} has left"), 6)
    assert server.ask() == "v1"
    waiting.join()


def test_it_stops_in_bounded_time(server: Server) -> None:
    waiting = in_vain(server)
    # One that serves, and one that leaves.
    server.replace()
    server.process.terminate()
    assert server.process.wait(8) == 0
    waiting.join()
    with pytest.raises(ConnectionRefusedError):
        server.ask()
    assert {path.name for path in server.directory.iterdir()} <= {
        *("version", "log", "uwsgi.log", "uwsgi.ini", "state", "galaxy_handover.py")
    }


@pytest.mark.parametrize("whose", ["uWSGI's", "its own"])
def test_nothing_lives_on_when_a_master_is_killed(server: Server, whose: str) -> None:
    master = server.serves()
    os.kill(master if whose == "uWSGI's" else server.process.pid, signal.SIGKILL)
    # supervisor starts it again.
    assert server.process.wait(15) != 0
    server.until("nobody listens", lambda: not _listens(server.address))


def test_after_a_reload_of_its_own_uwsgi_is_replaced_all_the_same(server: Server) -> None:
    master = server.serves()
    server.version("v2")
    os.kill(master, signal.SIGHUP)
    server.answers("v2")
    server.version("v3")
    state = server.replace()
    assert state["error"] == ""
    server.until("the old one has left", server.told(f"uWSGI {master} has left"))
    server.answers("v3")


def test_a_newer_version_of_it_goes_on_from_where_it_is(server: Server) -> None:
    old = server.serves()
    slow: list[str] = []
    waiting = threading.Thread(target=lambda: slow.append(server.ask(6)))
    waiting.start()
    with Load(server) as load:
        # It has one that serves, and one that leaves.
        server.version("v2")
        server.replace()
        server.program.write_text(server.program.read_text().replace("[handover]", "[newer]"))
        server.version("v3")
        assert server.replace()["pid"] == server.process.pid
        server.until("the first has left", server.told(f"uWSGI {old} has left"))
    waiting.join()
    assert slow == ["v1"]
    assert set(load.answers) == {"v1", "v2", "v3"}
    assert "[newer]" in server.log.read_text()
    server.process.terminate()
    assert server.process.wait(8) == 0


def test_a_broken_version_of_it_is_left_alone(server: Server) -> None:
    server.program.write_text("def broken(:")
    server.version("v2")
    assert server.replace()["error"] == ""
    server.answers("v2")


def test_a_state_that_cannot_be_written_stops_nothing(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(state=tmp_path / "missing/state")
    server.until("it serves", server.told("serves, after"))
    assert server.ask() == "v1"
    assert server.told("cannot write")()


def _listens(address: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


def test_a_first_one_may_take_its_time(start: Callable[..., Server]) -> None:
    # It takes half a second to load.
    server = start(timeout=0.1)
    server.serves()


@pytest.mark.parametrize("how, why", [("broken", "it ended with status 22"), ("failing", "worker 2 cannot answer")])
def test_a_first_one_that_fails_ends_it(tmp_path: Path, how: str, why: str) -> None:
    server = Server(tmp_path)
    server.version(f"v1 {how}")
    assert server.process.wait(15) == 1
    assert why in server.log.read_text()


def test_a_port_that_somebody_has_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, FILES / "galaxy_handover.py", f"--socket={address}", "--fifo=f", "--state=s", "true"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"cannot listen at {address}: Address already in use" in done.stdout
