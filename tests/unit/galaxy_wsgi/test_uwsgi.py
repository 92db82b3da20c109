# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge in a real uWSGI: forks, streams, clients that leave, signals."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_uwsgi import Uwsgi

# With real processes, which take their time.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi is not installed"),
]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Uwsgi]]:
    """Start uWSGI, and wait for its workers."""
    running = []

    def run(environment: dict[str, str] | None = None, workers: int = 2, **options: str | None) -> Uwsgi:
        uwsgi = Uwsgi(tmp_path, environment or {}, **options)
        running.append(uwsgi)
        uwsgi.until(uwsgi.happened("start", workers))
        return uwsgi

    yield run
    for uwsgi in running:
        uwsgi.kill()


@pytest.fixture(scope="module")
def uwsgi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uwsgi]:
    """One that several tests use."""
    server = Uwsgi(tmp_path_factory.mktemp("uwsgi"), {})
    server.until(server.happened("start", 2))
    yield server
    server.kill()


# --- Processes ---


@pytest.mark.parametrize(
    "options, workers, preloaded",
    [
        ({}, 2, True),
        pytest.param(
            {"py_call_uwsgi_fork_hooks": None, "py_call_osafterfork": "true"},
            2,
            True,
            marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="kills every worker with Python 3.13"),
        ),
        ({"py_call_uwsgi_fork_hooks": None}, 2, True),
        ({"lazy_apps": "true"}, 2, False),
        ({"threads": "1"}, 2, True),
        ({"master": "false", "processes": "1", "threads": "1"}, 1, False),
        ({"master": "false", "processes": "1"}, 1, False),
    ],
    ids=["default", "osafterfork", "no-fork-hooks", "lazy", "one-thread", "one-process", "one-process-threads"],
)
def test_each_worker_starts_once(
    start: Callable[..., Uwsgi], options: dict[str, str | None], workers: int, preloaded: bool
) -> None:
    server = start(workers=workers, **options)
    answers = [server.who() for _round in range(4)]
    for answer in answers:
        assert answer["in_pool"] == answer["pid"]
        assert (answer["loaded_by"] != answer["pid"]) is preloaded
        assert answer["state"] == "lifespan"
    # A worker that is busy, if only with the end of a request, is not shut down but ended.
    time.sleep(0.5)
    server.stop()
    numbers = [str(number + 1) for number in range(workers)]
    for event in ("lifespan-start", "start", "lifespan-stop", "stop"):
        assert sorted(line.split()[1] for line in server.events() if line.split()[0] == event) == numbers


def test_every_thread_serves(uwsgi: Uwsgi) -> None:
    begin = time.monotonic()
    threads = [threading.Thread(target=uwsgi.get, args=("/slow?s=1",)) for _round in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin < 1.9


def test_worker_that_died_is_replaced(start: Callable[..., Uwsgi]) -> None:
    server = start()
    os.kill(server.who()["pid"], signal.SIGKILL)
    server.until(server.happened("start", 3))
    assert server.get("/who")[0] == 200


# --- Requests and responses ---


def test_client_address(uwsgi: Uwsgi) -> None:
    host, port = uwsgi.who()["client"]
    assert host == "127.0.0.1"
    assert port >= 0


def test_stream_arrives_as_it_is_produced(uwsgi: Uwsgi) -> None:
    connection = uwsgi.connect()
    connection.request("GET", "/ticks?n=3&s=0.5")
    response = connection.getresponse()
    begin = time.monotonic()
    times = []
    while response.readline():
        times.append(time.monotonic() - begin)
    connection.close()
    assert times[0] < 0.3
    assert times[2] > 0.8


def test_background_does_not_delay_the_response(uwsgi: Uwsgi) -> None:
    begin = time.monotonic()
    assert uwsgi.get("/background") == (200, b"done")
    assert time.monotonic() - begin < 1


def test_head(uwsgi: Uwsgi) -> None:
    connection = uwsgi.connect()
    connection.request("HEAD", "/who")
    response = connection.getresponse()
    assert response.status == 200
    assert int(response.headers["content-length"]) > 0
    assert response.read() == b""


@pytest.mark.parametrize("size", [0, 100_000, 50_000_000])
def test_upload(uwsgi: Uwsgi, size: int) -> None:
    assert uwsgi.get("/count", "POST", body=b"x" * size) == (200, str(size).encode())


def test_chunked_upload(uwsgi: Uwsgi) -> None:
    parts = (b"x" * 10_000 for _round in range(20))
    assert uwsgi.get("/count", "POST", body=parts, encode_chunked=True, headers={"Transfer-Encoding": "chunked"}) == (
        200,
        b"200000",
    )


def test_upload_takes_no_memory(uwsgi: Uwsgi) -> None:
    def memory() -> int:
        pids = subprocess.check_output(["pgrep", "-P", str(uwsgi.process.pid)], text=True).split()
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids)

    uwsgi.get("/count", "POST", body=b"x")
    before = memory()
    uwsgi.get(
        "/count", "POST", body=(b"x" * 65536 for _round in range(3200)), headers={"Content-Length": str(65536 * 3200)}
    )
    assert memory() - before < 20_000_000


def test_refused_upload_gets_its_answer(uwsgi: Uwsgi) -> None:
    assert uwsgi.get("/refuse", "POST", body=b"x" * 10_000_000) == (403, b"no")


def test_error_in_the_middle_is_seen(uwsgi: Uwsgi) -> None:
    with pytest.raises(OSError, match=r"reset|Remote end closed") as error:
        uwsgi.get("/broken")
    assert isinstance(error.value, ConnectionResetError)
    assert "broken on purpose" in uwsgi.log.read_text()


# --- Files ---

LARGE = 30_000_000


@pytest.fixture
def large(tmp_path_factory: pytest.TempPathFactory, uwsgi: Uwsgi) -> Path:
    path = uwsgi.events_file.parent / "objects" / "large"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(os.urandom(LARGE))
    return path


@pytest.mark.parametrize("endpoint", ["file", "path"])
def test_file(uwsgi: Uwsgi, large: Path, endpoint: str) -> None:
    assert uwsgi.get(f"/{endpoint}?path={large}") == (200, large.read_bytes())
    # Nothing else is written to the connection: it is read until it closes, whatever the header says.
    with socket.create_connection(("127.0.0.1", uwsgi.port)) as connection:
        connection.sendall(f"GET /file?path={large} HTTP/1.1\r\nHost: a\r\nRange: bytes=7-200006\r\n\r\n".encode())
        data = b""
        while part := connection.recv(65536):
            data += part
    head, _separator, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206 ")
    assert b"content-length: 200000" in head.lower()
    assert body == large.read_bytes()[7:200007]


def test_slow_downloads_keep_no_thread(uwsgi: Uwsgi, large: Path) -> None:
    """There are 4 threads, and 40 clients that take a byte and then nothing, whole files and ranges."""
    readers = []
    for number in range(40):
        connection = uwsgi.connect()
        headers = {"Range": "bytes=1000000-"} if number % 2 else {}
        connection.request("GET", f"/file?path={large}", headers=headers)
        readers.append(connection.getresponse())
        assert len(readers[-1].read(1)) == 1
    begin = time.monotonic()
    for _round in range(20):
        assert uwsgi.get("/who")[0] == 200
    assert time.monotonic() - begin < 2
    for number, response in enumerate(readers):
        if number % 10 < 2:
            assert response.read() == large.read_bytes()[1_000_001 if number % 2 else 1 :]
        response.close()
    uwsgi.until(lambda: uwsgi.get("/who")[0] == 200)


def test_reload_lets_downloads_end(start: Callable[..., Uwsgi]) -> None:
    server = start(worker_reload_mercy="30")
    path = server.events_file.parent / "objects" / "large"
    path.parent.mkdir()
    path.write_bytes(os.urandom(LARGE))
    connection = server.connect()
    connection.request("GET", f"/file?path={path}")
    response = connection.getresponse()
    data = response.read(1000)
    server.process.send_signal(signal.SIGHUP)
    time.sleep(3)
    assert data + response.read() == path.read_bytes()
    server.until(server.happened("start", 4))
    assert server.process.poll() is None


def test_stop_does_not_wait_for_downloads(start: Callable[..., Uwsgi]) -> None:
    server = start(worker_reload_mercy="60")
    path = server.events_file.parent / "objects" / "large"
    path.parent.mkdir()
    path.write_bytes(bytes(LARGE))
    connection = server.connect()
    connection.request("GET", f"/file?path={path}")
    response = connection.getresponse()
    assert server.stop() < 5
    with pytest.raises((OSError, http.client.IncompleteRead)):
        assert len(response.read()) == LARGE


# --- Clients that leave, and those that would stay for ever ---


def test_silent_application_hears_that_the_client_left(uwsgi: Uwsgi) -> None:
    connection = uwsgi.connect()
    connection.request("GET", "/wait")
    uwsgi.until(uwsgi.happened("wait-start"))
    connection.close()
    uwsgi.until(uwsgi.happened("http.disconnect"), 2)


def test_stream_ends_when_the_client_leaves(uwsgi: Uwsgi) -> None:
    connection = uwsgi.connect()
    connection.request("GET", "/ticks?n=1000&s=30")
    response = connection.getresponse()
    response.readline()
    response.close()
    connection.close()
    # All four threads are free at once, though the stream would have been silent for half a minute.
    uwsgi.until(uwsgi.happened("ticks-end"), 2)


def test_what_does_not_end_takes_no_thread(uwsgi: Uwsgi) -> None:
    for _round in range(8):
        assert uwsgi.get("/events")[0] == 501
        assert uwsgi.get("/who", headers={"Upgrade": "websocket", "Connection": "Upgrade"})[0] == 501
    assert uwsgi.get("/who")[0] == 200


# --- Signals ---


@pytest.mark.parametrize(
    "options", [{}, {"threads": "1"}, {"lazy_apps": "true"}], ids=["default", "one-thread", "lazy"]
)
def test_term_stops_at_once(start: Callable[..., Uwsgi], options: dict[str, str | None]) -> None:
    server = start(**options)
    assert server.stop() < 4
    assert server.happened("stop", 2)()


def test_term_does_not_wait_for_requests(start: Callable[..., Uwsgi]) -> None:
    server = start()
    thread = threading.Thread(target=server.get_cut_off, args=("/slow?s=60",))
    thread.start()
    server.until(server.happened("slow-start"))
    # 2 seconds as a rule. A worker that misses the signal is killed worker-reload-mercy (10) later, and never after.
    assert server.stop() < 13
    thread.join()


def test_term_does_not_wait_for_an_application_that_hangs(start: Callable[..., Uwsgi]) -> None:
    server = start({"STOP_TAKES": "60"})
    server.get("/who")
    assert 4 < server.stop() < 9


def test_hup_finishes_requests_and_reloads(start: Callable[..., Uwsgi]) -> None:
    server = start()
    before = server.who()
    answers: list[tuple[int, bytes]] = []
    in_flight = threading.Thread(target=lambda: answers.append(server.get("/slow?s=2")))
    in_flight.start()
    server.until(server.happened("slow-start"))
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    # It waits in the socket's queue meanwhile.
    after = server.who()
    in_flight.join()
    assert answers == [(200, b"slow but whole")]
    assert server.process.poll() is None
    assert after["loaded_by"] == before["loaded_by"], "the master is the same process"
    assert after["pid"] != before["pid"]
    assert server.happened("stop", 2)()


def test_hup_does_not_wait_for_ever(start: Callable[..., Uwsgi]) -> None:
    server = start(worker_reload_mercy="2")
    thread = threading.Thread(target=server.get_cut_off, args=("/slow?s=60",))
    thread.start()
    server.until(server.happened("slow-start"))
    begin = time.monotonic()
    server.process.send_signal(signal.SIGHUP)
    server.until(server.happened("start", 4), 15)
    assert time.monotonic() - begin < 10
    thread.join()
