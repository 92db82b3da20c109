# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Malformed requests to a real uWSGI with the bridge: in its own protocol, by HTTP, and by its HTTP router.

Whatever is sent, each connection ends in bounded time, no worker is lost, and the next good request is answered.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_protocol import encode_packet, request_vars
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from running_uwsgi import Uwsgi

pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi is not installed")

# Seconds after which uWSGI gives a silent client up, and after which it has to be rid of any.
PATIENCE = 2
BOUND = PATIENCE + 4

# The same at each run.
fuzz = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Target:
    """A uWSGI, and its router, under fire."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "s"
        self.stats = directory / "stats"
        options = {"socket": str(self.socket), "stats": str(self.stats), "socket_timeout": str(PATIENCE)}
        self.uwsgi = Uwsgi(directory, {}, **options)
        self.uwsgi.until(self.uwsgi.happened("start", 2))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.router_port = int(free.getsockname()[1])
        with (directory / "router.log").open("w") as log:
            # As the role starts it (__uwsgi_http_default_options).
            options = {
                "http": f"127.0.0.1:{self.router_port}",
                "http-to": str(self.socket),
                "http-timeout": str(PATIENCE),
                "http-headers-timeout": str(PATIENCE),
                "http-connect-timeout": str(PATIENCE),
                "http-manage-expect": "1",
                "binary-path": sys.executable,
            }
            flags = ["--master", "--die-on-term", "--http-chunked-input", "--strict"]
            self.router = subprocess.Popen(
                [
                    Path(sys.executable).with_name("uwsgi"),
                    *flags,
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=log,
            )
        self.uwsgi.until(self.router_listens)
        self.workers = self.pids()

    def router_listens(self) -> bool:
        try:
            return self.is_well(self.router_port)
        except OSError:
            return False

    def address(self, where: Path | int) -> Any:
        return str(where) if isinstance(where, Path) else ("127.0.0.1", where)

    def send(self, where: Path | int, sent: bytes, more_to_come: bool = False) -> bytes:
        """Send something, say that this was all, and return the answer. Not in bounded time: that is an error."""
        with socket.socket(socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET) as connection:
            connection.settimeout(BOUND)
            connection.connect(self.address(where))
            answer = bytearray()
            try:
                connection.sendall(sent)
                if not more_to_come:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65536):
                    answer += part
            except TimeoutError as error:
                raise AssertionError(f"not rid of it in {BOUND} s: {sent[:200]!r}") from error
            except OSError:
                pass  # Who is cut off may have an answer, too.
            return bytes(answer)

    def is_well(self, where: Path | int) -> bool:
        """Tell whether a good request is answered."""
        good = encode_packet(request_vars("/who", "localhost")) if isinstance(where, Path) else GOOD
        # The router hangs up when a client says that this was all.
        return b'"loaded_by"' in self.send(where, good, more_to_come=True)

    def pids(self) -> set[tuple[int, int]]:
        """The processes of the workers, and how often each had to be started."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(BOUND)
            connection.connect(str(self.stats))
            told = b"".join(iter(lambda: connection.recv(65536), b""))
        return {(worker["pid"], worker["respawn_count"]) for worker in json.loads(told)["workers"]}

    def withstands(self, where: Path | int, sent: bytes, more_to_come: bool = False) -> bytes:
        """Send something, and see that nothing has come of it."""
        answer = self.send(where, sent, more_to_come)
        assert self.is_well(where), f"no answer any more after {sent[:200]!r}"
        return answer


GOOD = b"GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target(tmp_path_factory.mktemp("malformed"))
    yield target
    target.router.terminate()
    target.router.wait(10)
    target.uwsgi.kill()


@pytest.fixture(autouse=True)
def no_worker_is_lost(target: Target) -> Iterator[None]:
    yield
    assert target.pids() == target.workers
    assert target.router.poll() is None
    said = target.uwsgi.log.read_text(errors="replace")
    for word in ("DAMN", "Segmentation", "core dump"):
        assert word not in said


# --- uWSGI's own protocol ----------------------------------------------------------------------------

# Names that somebody reads: uWSGI, the bridge, Galaxy's framework.
NAMES = (
    *("PATH_INFO", "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "SCRIPT_NAME", "SERVER_PROTOCOL", "SERVER_PORT"),
    *("SERVER_NAME", "REMOTE_ADDR", "REMOTE_PORT", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_COOKIE"),
    *("HTTP_TRANSFER_ENCODING", "HTTP_RANGE", "HTTP_UPGRADE", "UWSGI_SCHEME", "UWSGI_FILE", "UWSGI_APPID", "HTTPS"),
    *("wsgi.input", "wsgi.url_scheme", "HTTP_", "HTTP_A B", "HTTP_\n", ""),
)
texts = st.binary(max_size=40) | st.sampled_from(
    [b"", b"\0", b"-1", b"99999999999999999999", b"\xff\xfe", b"/", b"//", b"/../..", b"%zz", b"chunked", b"a" * 9000]
)
variables = st.lists(st.tuples(st.sampled_from([name.encode() for name in NAMES]) | texts, texts), max_size=12)


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(struct.pack("<H", len(text)) + text for pair in pairs for text in pair)


def packet(body: bytes, modifier1: int = 0, modifier2: int = 0, size: int | None = None) -> bytes:
    return struct.pack("<BHB", modifier1, min(len(body) if size is None else size, 65535), modifier2) + body


@fuzz
@given(sent=st.binary(max_size=300))
@example(sent=b"")
@example(sent=b"\0")
@example(sent=packet(b"", size=65535))
def test_bytes_for_a_packet(target: Target, sent: bytes) -> None:
    target.withstands(target.socket, sent)


@fuzz
@given(pairs=variables, modifiers=st.tuples(st.integers(0, 255), st.integers(0, 255)) | st.just((0, 0)))
@example(pairs=[], modifiers=(0, 0))
@example(pairs=[(b"REQUEST_METHOD", b"GET")], modifiers=(0, 0))
@example(pairs=[(b"A", b"b" * 16000)], modifiers=(0, 0))
@example(pairs=[(b"A" * 60000, b"b")], modifiers=(0, 0))
def test_odd_variables(target: Target, pairs: list[tuple[bytes, bytes]], modifiers: tuple[int, int]) -> None:
    target.withstands(target.socket, packet(block(pairs), *modifiers))


@fuzz
@given(pairs=variables, lie=st.none() | st.integers(0, 65535), cut=st.integers(0, 400), data=st.data())
def test_lying_lengths(
    target: Target, pairs: list[tuple[bytes, bytes]], lie: int | None, cut: int, data: st.DataObject
) -> None:
    body = bytearray(block([*request_vars_of("/who"), *pairs]))
    where = data.draw(st.integers(0, len(body) - 2))
    body[where : where + 2] = data.draw(st.binary(min_size=2, max_size=2))
    target.withstands(target.socket, packet(bytes(body), size=lie)[: -cut or None])


def request_vars_of(path: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in request_vars(path, "localhost").items()]


@pytest.mark.parametrize("length", ["-1", "+1", "1e3", "0x10", "9" * 20, " 5", "5,5", "five", "\xb2", "5\0"])
def test_a_length_that_is_none(target: Target, length: str) -> None:
    sent = encode_packet({**request_vars("/count", "localhost", "POST"), "CONTENT_LENGTH": length}) + b"12345"
    answer = target.withstands(target.socket, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.")


# --- HTTP ----------------------------------------------------------------------------------------------

LENGTHS = [b"0", b"5", b"-1", b"+5", b"5, 6", b"5 5", b"0x5", b"1e1", b"99999999999999999999", b"", b"five", b"5\0"]
CODINGS = [b"chunked", b"Chunked", b"chunked, chunked", b"identity", b"xchunked", b" chunked", b"chunked\0", b""]
lines = st.sampled_from(
    [
        *(b"Content-Length: " + length for length in LENGTHS),
        *(b"Content-Length : " + length for length in LENGTHS[:2]),
        *(b"Transfer-Encoding: " + coding for coding in CODINGS),
        *(b"Transfer_Encoding: chunked", b"Transfer-Encoding:\x0bchunked", b" Transfer-Encoding: chunked"),
        *(b"Expect: 100-continue", b"Connection: keep-alive", b"Connection: Content-Length", b"Range: bytes=-1-"),
        *(b"Upgrade: websocket", b"Host: a", b"Host: b\r\nHost: c", b"X", b":", b": a"),
        *(b"X-\0: a", b"X: \xff", b"X:" + b"a" * 70000),
        *(b"Remote-User: admin", b"Cookie: " + b"a=b; " * 3000, b"X: a\n\tb", b"\rX: a"),
    ]
) | st.binary(max_size=30)
starts = st.sampled_from(
    [
        *(b"GET /who HTTP/1.1", b"POST /count HTTP/1.1", b"POST /count HTTP/1.0", b"POST /who HTTP/1.1", b"GET /who"),
        *(b"GET  /who  HTTP/1.1", b"GET\t/who HTTP/1.1", b"get /who HTTP/9.9", b"GET http://a/who HTTP/1.1"),
        *(b"GET * HTTP/1.1", b"GET /../../etc/passwd HTTP/1.1", b"GET /%00 HTTP/1.1", b"PRI * HTTP/2.0"),
        b"GET /" + b"a" * 20000 + b" HTTP/1.1",
    ]
) | st.binary(max_size=30)
chunks = st.sampled_from(
    [
        *(b"5\r\n12345\r\n0\r\n\r\n", b"5\r\n123", b"-1\r\n12345\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\n1"),
        *(b"zz\r\n12\r\n", b'5;x="y\r\n12345\r\n0\r\n\r\n', b"5\n12345\n0\n\n", b"0\r\nX: y\r\n\r\n", b"0\r\n"),
        *(b"80000000\r\n1", b"\r\n", b""),
        *(b"1\r\n1\r\n" * 200, b"0" * 5000 + b"5\r\n12345\r\n0\r\n\r\n", b"5\r\n12345\r\n0\r\n\r\n" + GOOD, b"12345"),
    ]
) | st.binary(max_size=60)
requests = st.builds(
    lambda start, headers, end, body, cut: (end.join([start, *headers]) + end * 2 + body)[: -cut or None],
    starts,
    st.lists(lines, max_size=6),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]),
    chunks,
    st.just(0) | st.integers(0, 40),
)


@fuzz
@given(sent=requests)
def test_malformed_http(target: Target, sent: bytes) -> None:
    target.withstands(target.uwsgi.port, sent)


@fuzz
@given(sent=requests)
def test_malformed_http_for_the_router(target: Target, sent: bytes) -> None:
    target.withstands(target.router_port, sent)


@pytest.mark.parametrize("where", ["uwsgi", "router"])
def test_two_lengths_are_no_two_requests(target: Target, where: str) -> None:
    """Nobody gets the answer to a request that was smuggled in behind another."""
    port = target.uwsgi.port if where == "uwsgi" else target.router_port
    for other in (b"Transfer-Encoding: chunked", b"Content-Length: 6"):
        for pair in ((b"Content-Length: 5", other), (other, b"Content-Length: 5")):
            head = b"POST /count HTTP/1.1\r\nHost: a\r\n" + b"\r\n".join(pair)
            answer = target.withstands(port, head + b"\r\n\r\n0\r\n\r\n" + GOOD, more_to_come=True)
            assert answer.count(b"HTTP/1.1") <= 1
            assert b"loaded_by" not in answer


def test_clients_that_say_nothing_are_given_up(target: Target) -> None:
    """More of them than there are threads: for a while they hold these, and no longer."""
    began = time.monotonic()
    opened = []
    try:
        for _number in range(8):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(target.socket))
            connection.sendall(packet(b"", size=1000))
            opened.append(connection)
        target.uwsgi.until(lambda: target.is_well(target.socket), 3 * BOUND)
    finally:
        for connection in opened:
            connection.close()
    assert time.monotonic() - began < 3 * BOUND
