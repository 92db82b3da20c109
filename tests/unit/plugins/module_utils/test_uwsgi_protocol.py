# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The uWSGI protocol: against the text of its definition, and against a real uWSGI."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import uwsgi_protocol as protocol
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    "variables, packet",
    [
        ({}, b"\x00\x00\x00\x00"),
        ({"A": ""}, b"\x00\x05\x00\x00" + b"\x01\x00A\x00\x00"),
        # The example of uWSGI's documentation of the protocol.
        ({"QUERY_STRING": "foo=bar"}, b"\x00\x17\x00\x00" + b"\x0c\x00QUERY_STRING\x07\x00foo=bar"),
        ({"Ü": "é"}, b"\x00\x08\x00\x00" + b"\x02\x00\xc3\x9c\x02\x00\xc3\xa9"),
    ],
)
def test_packets(variables: dict[str, str], packet: bytes) -> None:
    assert protocol.encode_packet(variables) == packet
    assert protocol.decode_packet(packet) == (0, variables, 0)


@given(st.dictionaries(TEXT, TEXT, max_size=20), st.integers(0, 255), st.integers(0, 255))
def test_what_is_encoded_is_decoded(variables: dict[str, str], modifier1: int, modifier2: int) -> None:
    packet = protocol.encode_packet(variables, modifier1, modifier2)
    assert protocol.decode_packet(packet) == (modifier1, variables, modifier2)


@given(st.binary(max_size=200))
def test_decoding_never_fails_in_another_way(data: bytes) -> None:
    with suppress(protocol.ProtocolError):
        protocol.decode_packet(data)


@pytest.mark.parametrize(
    "variables",
    [{"A": "x" * 65536}, {"A": "x" * 40000, "B": "x" * 40000}],
    ids=["a value", "the whole"],
)
def test_too_large(variables: dict[str, str]) -> None:
    with pytest.raises(protocol.ProtocolError, match="65535"):
        protocol.encode_packet(variables)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"\x00\x01", "within its header"),
        (b"\x00\x09\x00\x00", "promises 9 bytes"),
        (b"\x00\x01\x00\x00a", "within a length"),
        (b"\x00\x04\x00\x00\x09\x00ab", "within a value"),
        (b"\x00\x03\x00\x00\x01\x00a", "key without a value"),
    ],
)
def test_broken_packets(data: bytes, message: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=message):
        protocol.decode_packet(data)


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nbody", (200, "OK", {"content-type": "a/b"}, b"body")),
        (b"HTTP/1.0 204 \r\n\r\n", (204, "", {}, b"")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/y:z\r\n\r\n", (302, "Found", {"location": "http://x/y:z"}, b"")),
        (b"HTTP/1.1 500\r\n\r\na\r\n\r\nb", (500, "", {}, b"a\r\n\r\nb")),
    ],
)
def test_responses(data: bytes, expected: tuple[int, str, dict[str, str], bytes]) -> None:
    assert tuple(protocol.parse_response(data)) == expected


@pytest.mark.parametrize(
    "data", [b"", b"SSH-2.0", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b", b"HTTP/1.1 200 OK\r\nA\r\n\r\n"]
)
def test_what_is_no_response(data: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.parse_response(data)


@pytest.mark.parametrize(
    "address, target",
    [
        ("127.0.0.1:4001", ("127.0.0.1", 4001)),
        (":4001", ("127.0.0.1", 4001)),
        ("0.0.0.0:4001", ("127.0.0.1", 4001)),
        ("[::1]:4001", ("::1", 4001)),
        ("[::]:4001", ("::1", 4001)),
        ("/run/uwsgi.sock", "/run/uwsgi.sock"),
    ],
)
def test_addresses(address: str, target: object) -> None:
    assert protocol.parse_address(address) == target


@pytest.mark.parametrize("address", ["4001", "host", "host:", "host:http", "host:0", "host:65536"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        protocol.parse_address(address)


def _packet(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[1:3], "little"):
        data += connection.recv(65536)
    return data


@contextmanager
def served(path: Path, *answers: bytes, wait: float = 0.0) -> Iterator[list[bytes]]:
    """Answer one connection after the other on a Unix socket."""
    received: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(16)

        def serve() -> None:
            for answer in answers:
                connection, _address = server.accept()
                with connection:
                    connection.settimeout(5)
                    received.append(_packet(connection) if answer[:1] != b"{" else b"")
                    time.sleep(wait)
                    with suppress(BrokenPipeError):
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield received
        thread.join(5)


def test_a_request_over_a_socket(tmp_path: Path) -> None:
    with served(tmp_path / "s", b"HTTP/1.1 200 OK\r\n\r\nhello"):
        response = protocol.request(str(tmp_path / "s"), "/api/version", "galaxy.example.org", timeout=5)
    assert (response.status, response.body) == (200, b"hello")


def test_waiting_calls_back(tmp_path: Path) -> None:
    ticks: list[int] = []
    with served(tmp_path / "s", b"HTTP/1.1 200 OK\r\n\r\n", wait=0.5):
        protocol.request(str(tmp_path / "s"), "/", "h", timeout=5, tick=lambda: ticks.append(1), tick_seconds=0.1)
    assert len(ticks) >= 2


def test_a_callback_ends_the_wait(tmp_path: Path) -> None:
    def give_up() -> None:
        raise LookupError

    with served(tmp_path / "s", b"HTTP/1.1 200 OK\r\n\r\n", wait=0.5), pytest.raises(LookupError):
        protocol.request(str(tmp_path / "s"), "/", "h", timeout=5, tick=give_up, tick_seconds=0.1)


def test_no_answer_in_time(tmp_path: Path) -> None:
    with served(tmp_path / "s", b"x", wait=0.6), pytest.raises(TimeoutError):
        protocol.request(str(tmp_path / "s"), "/", "h", timeout=0.2)


def test_closed_without_an_answer(tmp_path: Path) -> None:
    with served(tmp_path / "s", b""), pytest.raises(protocol.ProtocolError, match="without an answer"):
        protocol.request(str(tmp_path / "s"), "/", "h", timeout=2)


@pytest.mark.parametrize("answer", [b"{", b"{}", b'{"workers": 3}'])
def test_what_are_no_statistics(tmp_path: Path, answer: bytes) -> None:
    with served(tmp_path / "s", answer), pytest.raises(protocol.ProtocolError, match="not uWSGI statistics"):
        protocol.read_stats(str(tmp_path / "s"), timeout=2)


APPLICATION = """
import json
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
"""


@pytest.fixture
def uwsgi(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run a real uWSGI with 2 workers of 2 threads."""
    program = shutil.which("uwsgi", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("pyuwsgi is not installed")
    (tmp_path / "app.py").write_text(APPLICATION)
    address, stats = str(tmp_path / "u.sock"), str(tmp_path / "stats.sock")
    command = [program, "--socket", address, "--stats", stats, "--master", "--processes", "2", "--threads", "2"]
    command += ["--pythonpath", str(tmp_path), "--module", "app", "--need-app", "--die-on-term", "--thunder-lock"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        for _attempt in range(100):
            if Path(stats).exists() and "WSGI app 0" in (tmp_path / "log").read_text():
                break
            time.sleep(0.1)
        yield address, stats
    finally:
        process.terminate()
        process.wait(20)


def test_a_real_uwsgi(uwsgi: tuple[str, str]) -> None:
    address, stats = uwsgi
    response = protocol.request(address, "/galaxy/api/version", "galaxy.example.org", timeout=10)
    environ = json.loads(response.body)
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert environ["PATH_INFO"] == "/galaxy/api/version"
    assert environ["HTTP_HOST"] == "galaxy.example.org"
    assert len(protocol.read_stats(stats)["workers"]) == 2


def test_held_requests_reach_every_worker(uwsgi: tuple[str, str]) -> None:
    address, stats = uwsgi
    before = {worker["id"]: worker["requests"] for worker in protocol.read_stats(stats)["workers"]}
    held = [protocol.HeldRequest(address, protocol.request_vars("/", "h")) for _number in range(4)]
    time.sleep(0.2)
    assert [request.finish(10).status for request in held] == [200] * 4
    time.sleep(0.3)
    after = {worker["id"]: worker["requests"] for worker in protocol.read_stats(stats)["workers"]}
    assert all(after[number] > before[number] for number in before), (before, after)
