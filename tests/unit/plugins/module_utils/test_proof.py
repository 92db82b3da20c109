# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of the chain, each against a real socket or process at its boundary."""

from __future__ import annotations

import http.server
import json
import os
import pwd
import socket
import socketserver
import struct
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof, uwsgi_protocol

VERSION = b'{"version_major":"26.1","version_minor":"2"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + VERSION
ME = pwd.getpwuid(os.geteuid()).pw_name


# --- supervisor -----------------------------------------------------------------------------------


def program(state: str = "RUNNING", name: str = "galaxy", pid: int = 7, age: int = 100, **more: Any) -> dict[str, Any]:
    info = {"name": name, "group": "gx", "statename": state, "pid": pid, "now": 1000, "start": 1000 - age, "stop": 0}
    return {
        **info,
        "exitstatus": 0,
        "spawnerr": "",
        "stdout_logfile": "/log/%s.log" % name,
        "stderr_logfile": "",
        **more,
    }


class Supervisord:
    """supervisord's XML-RPC on a Unix socket, with scripted answers: the last one stays."""

    def __init__(self, path: Path) -> None:
        self.answers: list[list[dict[str, Any]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                body = xmlrpc.client.dumps((answer,), methodresponse=True).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_arguments: Any) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def supervisord(tmp_path: Path) -> Iterator[Supervisord]:
    daemon = Supervisord(tmp_path / "supervisor.sock")
    yield daemon
    daemon.server.shutdown()
    daemon.server.server_close()


@pytest.fixture
def supervisor(supervisord: Supervisord, tmp_path: Path) -> proof.Supervisor:
    assert supervisord
    return proof.Supervisor(str(tmp_path / "supervisor.sock"))


def test_running_programs(supervisord: Supervisord, supervisor: proof.Supervisor) -> None:
    supervisord.answers = [[program(), program(name="handler0", pid=8), program("FATAL", name="other")]]
    facts = proof.check_supervisor(supervisor, ["gx:galaxy", "gx:handler0"], 3, 0)
    assert facts["pids"] == {"gx:galaxy": 7, "gx:handler0": 8}


def test_a_starting_program_is_waited_for(supervisord: Supervisord, supervisor: proof.Supervisor) -> None:
    supervisord.answers = [[program("STARTING")], [program(age=1)], [program(age=5)]]
    assert proof.check_supervisor(supervisor, ["gx:galaxy"], 3, 30)["uptime"] == {"gx:galaxy": 5}


@pytest.mark.parametrize(
    "info, said",
    [
        (program("STOPPED", pid=0, stop=990), "gx:galaxy: STOPPED, stopped on request 10 s ago"),
        (program("EXITED", pid=0, stop=990, exitstatus=22), "exit status 22, ended by itself 10 s ago"),
        (program("FATAL", pid=0, spawnerr="can't find command 'x'"), "gx:galaxy: FATAL, can't find command 'x'"),
    ],
)
def test_a_program_that_is_down_is_not_waited_for(
    supervisord: Supervisord, supervisor: proof.Supervisor, info: dict[str, Any], said: str
) -> None:
    supervisord.answers = [[info, program(name="handler0")]]
    began = time.monotonic()
    with pytest.raises(proof.LinkError) as caught:
        proof.check_supervisor(supervisor, ["gx:galaxy", "gx:handler0", "gx:handler1"], 3, 60)
    assert time.monotonic() - began < 5
    assert said in caught.value.problems[0]
    assert "knows no such program (it knows gx:galaxy, gx:handler0)" in caught.value.problems[1]
    assert caught.value.seen == "2 of 3 do not"
    assert caught.value.log_files == ["/log/galaxy.log"]


def test_a_program_that_starts_over_and_over(supervisord: Supervisord, supervisor: proof.Supervisor) -> None:
    supervisord.answers = [[program(pid=7, age=1)], [program("BACKOFF", pid=0)], [program(pid=9, age=1)]]
    with pytest.raises(proof.LinkError) as caught:
        proof.check_supervisor(supervisor, ["gx:galaxy"], 3, 2.5)
    assert "restarted 1 times while we looked" in caught.value.problems[0]


def test_no_supervisord(tmp_path: Path) -> None:
    with pytest.raises(proof.LinkError, match="No such file") as caught:
        proof.check_supervisor(proof.Supervisor(str(tmp_path / "none")), ["a"], 3, 60)
    assert "whether supervisord runs" in caught.value.look_at


def test_a_program_that_was_replaced(supervisord: Supervisord, supervisor: proof.Supervisor) -> None:
    supervisord.answers = [[program(pid=9, age=2)]]
    proof.check_still_running(supervisor, {"gx:galaxy": 9})
    with pytest.raises(proof.LinkError) as caught:
        proof.check_still_running(supervisor, {"gx:galaxy": 7})
    assert caught.value.problems == ["gx:galaxy: RUNNING for 2 s, pid 9; was pid 7"]


# --- uWSGI ----------------------------------------------------------------------------------------


class FakeUwsgi:
    """What listens for the uWSGI protocol: answers of the given workers, in turn."""

    def __init__(self, answer: Callable[[dict[str, str]], bytes | None]) -> None:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        self.answer = answer
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _address = self.server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            data = b""
            while len(data) < 4 or len(data) < 4 + struct.unpack_from("<H", data, 1)[0]:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                data += chunk
            answer = self.answer(uwsgi_protocol.decode_packet(data)[1])
            if answer is None:
                time.sleep(30)
            else:
                connection.sendall(answer)


@pytest.fixture
def uwsgi() -> Iterator[Callable[..., FakeUwsgi]]:
    servers = []

    def make(answer: Callable[[dict[str, str]], bytes | None]) -> FakeUwsgi:
        servers.append(FakeUwsgi(answer))
        return servers[-1]

    yield make
    for server in servers:
        server.server.close()


def test_galaxy_answers(uwsgi: Callable[..., FakeUwsgi]) -> None:
    asked: list[dict[str, str]] = []
    server = uwsgi(lambda variables: asked.append(variables) or OK)
    facts = proof.check_uwsgi(server.address, "/galaxy/api/version", "g.example.org", "26.1.2", 5)
    assert facts["version"] == "26.1.2"
    assert asked[0]["PATH_INFO"] == "/galaxy/api/version"
    assert asked[0]["HTTP_HOST"] == "g.example.org"


def answer(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 " + status.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "reply, seen, look_at",
    [
        (OK.replace(b"26.1", b"25.1"), "it answers as release 25.1.2", "restarted after the upgrade"),
        (answer("500 Internal Server Error", b"Internal Server Error"), "status 500", "traceback"),
        (answer("200 OK", b"<title>Welcome</title>"), "Welcome", "whether this socket is Galaxy's"),
        (b"SSH-2.0-OpenSSH\r\n", "not an HTTP answer", "not http-socket"),
        (b"", "closed without an answer", "whether it is uWSGI"),
    ],
)
def test_wrong_answers(uwsgi: Callable[..., FakeUwsgi], reply: bytes, seen: str, look_at: str) -> None:
    server = uwsgi(lambda _variables: reply)
    with pytest.raises(proof.LinkError) as caught:
        proof.check_uwsgi(server.address, "/api/version", "h", "26.1.2", 60, grace=1)
    assert seen in caught.value.seen
    assert look_at in caught.value.look_at
    assert "held by process %d" % os.getpid() in caught.value.seen + caught.value.look_at


def test_a_wrong_answer_may_become_right(uwsgi: Callable[..., FakeUwsgi]) -> None:
    replies = [answer("503 Service Unavailable", b""), OK]
    server = uwsgi(lambda _variables: replies.pop(0))
    assert proof.check_uwsgi(server.address, "/api/version", "h", None, 30)["version"] == "26.1.2"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(proof.LinkError) as caught:
        proof.check_uwsgi("127.0.0.1:%d" % port, "/api/version", "h", None, 1)
    assert "nothing listens on port %d" % port in caught.value.seen


def test_galaxy_that_goes_on_loading(uwsgi: Callable[..., FakeUwsgi]) -> None:
    server = uwsgi(lambda _variables: None)
    with pytest.raises(proof.LinkError, match="no answer, though the connection is taken"):
        proof.check_uwsgi(server.address, "/api/version", "h", None, 1.5)


def test_waiting_ends_when_the_program_does(uwsgi: Callable[..., FakeUwsgi]) -> None:
    server = uwsgi(lambda _variables: None)

    def watch() -> None:
        raise proof.LinkError("to run", "gone")

    began = time.monotonic()
    with pytest.raises(proof.LinkError, match="gone"):
        proof.check_uwsgi(server.address, "/api/version", "h", None, 60, watch)
    assert time.monotonic() - began < 10


class Workers:
    """Statistics of workers that share the requests between them."""

    def __init__(self, *working: bool, cheap: int = 0) -> None:
        self.workers: list[dict[str, Any]] = [
            {"id": n + 1, "pid": 100 + n, "requests": 0, "status": "idle", "cores": [{}, {}]}
            for n in range(len(working))
        ]
        self.workers += [{"id": 90 + n, "pid": 0, "requests": 0, "status": "cheap", "cores": []} for n in range(cheap)]
        self.working = [worker for worker, works in zip(self.workers, working, strict=False) if works]
        self.turn = 0

    def serve(self, _variables: dict[str, str]) -> bytes:
        self.working[self.turn % len(self.working)]["requests"] += 1
        self.turn += 1
        return OK

    def stats(self, _address: str) -> dict[str, Any]:
        return json.loads(json.dumps({"workers": self.workers}))


def test_every_worker_is_asked(uwsgi: Callable[..., FakeUwsgi]) -> None:
    workers = Workers(True, True, cheap=1)
    server = uwsgi(workers.serve)
    facts = proof.check_workers(server.address, "s", "/", "h", 2, 10, workers.stats)
    assert facts["workers"] == {"1": 100, "2": 101}
    assert facts["requests"] == 4


def test_a_worker_that_keeps_silent_is_named(uwsgi: Callable[..., FakeUwsgi]) -> None:
    workers = Workers(True, False)
    core = {"in_request": 1, "vars": ["REQUEST_METHOD=GET", "REQUEST_URI=/api/x?key=abcdef", "HTTP_COOKIE=secret"]}
    workers.workers[1].update(status="busy", cores=[core, {}])
    server = uwsgi(workers.serve)
    with pytest.raises(proof.LinkError) as caught:
        proof.check_workers(server.address, "s", "/", "h", 2, 1.0, workers.stats)
    (problem,) = caught.value.problems
    assert problem == "worker 2, pid 101: busy, 0 requests so far; a thread is in GET /api/x"


def test_failing_answers_of_workers_are_counted(uwsgi: Callable[..., FakeUwsgi]) -> None:
    workers = Workers(True, True)

    def serve(variables: dict[str, str]) -> bytes:
        workers.serve(variables)
        return answer("500 Internal Server Error", b"boom")

    with pytest.raises(proof.LinkError, match="4 of 4 were not") as caught:
        proof.check_workers(uwsgi(serve).address, "s", "/", "h", 2, 5, workers.stats)
    assert caught.value.problems == ["4 times: status 500, a body of 4 bytes: boom"]


def test_a_wrong_number_of_workers(uwsgi: Callable[..., FakeUwsgi]) -> None:
    workers = Workers(True, True)
    with pytest.raises(proof.LinkError, match="2: uWSGI's statistics name the pids 100, 101"):
        proof.check_workers(uwsgi(workers.serve).address, "s", "/", "h", 4, 5, workers.stats)


def test_no_statistics(tmp_path: Path) -> None:
    with pytest.raises(proof.LinkError, match="No such file") as caught:
        proof.check_workers("127.0.0.1:1", str(tmp_path / "none"), "/", "h", 2, 5)
    assert "option stats" in caught.value.look_at


# --- nginx ----------------------------------------------------------------------------------------

BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head></html>"


@pytest.mark.parametrize(
    "wanted, status, headers, body, wrong",
    [
        ({}, 200, {}, b"x", []),
        ({"status": [200, 302]}, 302, {"location": "/login"}, b"", []),
        ({}, 302, {"location": "/login"}, b"x", ["status 302 instead of 200", "it leads to /login"]),
        ({}, 404, {}, b"", ["status 404 instead of 200"]),
        # A proxy's error page never counts, whatever is asked for.
        ({"status": [502]}, 502, {}, BAD_GATEWAY, ["status 502 instead of 502", "the page says '502 Bad Gateway'"]),
        ({}, 200, {}, BAD_GATEWAY, ["the page says '502 Bad Gateway'"]),
        ({}, 200, {}, b"<title>Welcome to nginx!</title>", ["the page says 'Welcome to nginx!'"]),
        ({"contains": "galaxy"}, 200, {}, b"a galaxy", []),
        ({"contains": "galaxy"}, 200, {}, b"a star", ["the body does not contain 'galaxy'"]),
        ({"content_type": "text/html"}, 200, {"content-type": "text/html; charset=utf-8"}, b"", []),
        ({"content_type": "text/css"}, 200, {"content-type": "text/html"}, b"", ["text/html instead of text/css"]),
        ({"content_type": "text/css"}, 200, {}, b"", ["content type none"]),
        ({"headers": {"Cache-Control": "max-age=\\d+"}}, 200, {"cache-control": "max-age=60"}, b"", []),
        ({"headers": {"Cache-Control": "max-age"}}, 200, {}, b"", ["there is no header Cache-Control"]),
        ({"headers": {"X": "^a$"}}, 200, {"x": "b"}, b"", ["header X is 'b', which does not match '^a$'"]),
    ],
)
def test_judging(wanted: dict[str, Any], status: int, headers: dict[str, str], body: bytes, wrong: list[str]) -> None:
    found = proof.judge(wanted, status, headers, body)
    assert bool(found) == bool(wrong)
    for text in wrong:
        assert text in "; ".join(found)


class Handler(http.server.BaseHTTPRequestHandler):
    """nginx as far as these tests go."""

    failures = 0

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/galaxy/") else 502)
        self.end_headers()
        self.wfile.write(("%s at %s" % (self.path, self.headers["Host"])).encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def nginx() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_port
        server.shutdown()


def test_urls_below_a_prefix(nginx: str) -> None:
    urls = [{"path": "/"}, {"path": "/api/version", "contains": "/galaxy/api/version at g.example.org"}]
    assert proof.check_nginx(nginx, "g.example.org", "/galaxy", True, None, urls, 1)["urls"] == 2


def test_every_url_that_fails_is_named(nginx: str) -> None:
    urls = [{"path": "/"}, {"path": "/static/x", "contains": "x"}]
    with pytest.raises(proof.LinkError, match="2 of them do not") as caught:
        proof.check_nginx(nginx, "h", "/", True, None, urls, 0)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["/", "/static/x"]
    assert "uwsgi_pass" in caught.value.look_at


def test_no_nginx() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(proof.LinkError) as caught:
        proof.check_nginx("http://127.0.0.1:%d" % port, "h", "/", True, None, [{"path": "/"}], 0)
    assert caught.value.problems == ["/: Connection refused"]
    assert "nothing listens on port %d" % port in caught.value.look_at


# --- the canary -------------------------------------------------------------------------------------


def run(tmp_path: Path, code: str, timeout: float = 20) -> dict[str, Any]:
    return proof.run_canary([sys.executable, "-c", code], ME, str(tmp_path), timeout)


def test_what_the_canary_finds(tmp_path: Path) -> None:
    assert run(tmp_path, 'print(\'noise\'); print(\'{"ok": true, "handler": "handler0"}\')')["handler"] == "handler0"


def test_the_canary_gets_no_foreign_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", "x")
    result = run(tmp_path, "import os, json; print(json.dumps({'ok': True, 'names': sorted(os.environ)}))")
    assert "VAULT_PASSWORD" not in result["names"]
    assert "HOME" in result["names"]


def test_what_the_canary_finds_broken(tmp_path: Path) -> None:
    found = {
        "ok": False,
        "stage": "job",
        "expected": "e",
        "seen": "s",
        "look_at": "l",
        "problems": ["p"],
        "waited": 3,
        "notes": ["n"],
    }
    with pytest.raises(proof.LinkError) as caught:
        run(tmp_path, "print(%r); raise SystemExit(1)" % json.dumps(found))
    error = caught.value
    assert (error.expected, error.seen, error.look_at, error.waited) == ("e", "s", "l", 3)
    assert error.problems == ["p", "note: n"]
    assert error.facts["stage"] == "job"


def test_a_canary_that_cannot_speak(tmp_path: Path) -> None:
    with pytest.raises(proof.LinkError, match="exit status 1") as caught:
        run(tmp_path, "import nonesuch")
    assert caught.value.problems[-1] == "ModuleNotFoundError: No module named 'nonesuch'"
    assert "runuser -u %s -- %s" % (ME, sys.executable) in caught.value.look_at


def test_a_canary_that_takes_too_long_is_asked_to_stop(tmp_path: Path) -> None:
    code = """
import json, signal, time
def stop(*_):
    print(json.dumps({"ok": False, "expected": "time", "seen": "signal"})); raise SystemExit(2)
signal.signal(signal.SIGTERM, stop)
time.sleep(60)
"""
    with pytest.raises(proof.LinkError, match="signal") as caught:
        run(tmp_path, code, timeout=2)
    assert "it took longer than 2 s" in caught.value.problems[-1]


@pytest.mark.parametrize(
    "user, cwd, command, seen",
    [
        ("no-such-user", ".", ["true"], "there is none"),
        (ME, "no-such-directory", ["true"], "No such file or directory"),
        (ME, ".", ["/no/such/program"], "No such file or directory"),
    ],
)
def test_a_canary_that_cannot_start(tmp_path: Path, user: str, cwd: str, command: Sequence[str], seen: str) -> None:
    with pytest.raises(proof.LinkError, match=seen):
        proof.run_canary(command, user, str(tmp_path / cwd), 5)


# --- the report -------------------------------------------------------------------------------------


def test_a_report() -> None:
    error = proof.LinkError("two", "one", "there", 12.3, ["first", "second"])
    text = proof.report("uwsgi", error, ["database", "supervisor"], {"/log": ["line"]})
    assert text.splitlines() == [
        "The chain breaks at: uwsgi",
        "  chain:    database ok -> supervisor ok -> UWSGI BROKEN -> nginx not asked -> job not asked",
        "  expected: two",
        "  seen:     one",
        "              - first",
        "              - second",
        "  waited:   12 s",
        "  look at:  there",
        "",
        "  From /log:",
        "    line",
    ]


def test_the_logs_of_a_link(tmp_path: Path) -> None:
    paths = {name: [str(tmp_path / (name + "*"))] for name in ("nginx", "uwsgi", "handlers")}
    for name in ("nginx.log", "nginx.log.1", "nginx.log.2.gz", "uwsgi.log"):
        (tmp_path / name).write_text("ERROR in %s, id_secret=hunter22\n" % name)
    old = {str(tmp_path / "uwsgi.log"): (tmp_path / "uwsgi.log").stat().st_size}
    found = proof.collect_logs("nginx", proof.LinkError("a", "b", log_files=["/own"]), paths, old, ["x"], 5)
    assert found == {
        "/own": ["(there is no such file)"],
        str(tmp_path / "nginx.log"): ["ERROR in nginx.log, id_secret=********"],
    }


@pytest.mark.parametrize(
    "version, release, expected",
    [
        ("26.1.2", "26.1.2", True),
        ("26.1.1", "26.1.2", False),
        # Classic Galaxy.
        ("20.05", "20.5.0", True),
        ("20.05", "20.9.0", False),
        ("20.05", "20.50.0", False),
        ("20.09", "20.9.1", True),
        ("26.1", "26.1.2", False),
        ("26.10", "26.1.2", False),
        # Checkouts.
        ("22.05.1", "22.5.1", True),
        ("22.05.1", "22.5.2", False),
        ("26.1", "26.1.0", True),
        ("26.2.dev0", "26.2.dev0", True),
    ],
)
def test_is_release(version: str, release: str, expected: bool) -> None:
    assert proof.is_release(version, release) is expected
