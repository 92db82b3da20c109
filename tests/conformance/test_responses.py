# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client gets: streams, errors in the middle of them, what follows after them, and large bodies."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator

import pytest
import requests
from compared import Alike, Server
from support import wait_for

GIGABYTE = 1024**3
# Megabytes that a process may grow by while a gigabyte goes through it.
GROWTH = 64


def noted(server: Server, key: str) -> object:
    return server.get(f"/probe/notes/{key}").json()


def test_repeated_headers_of_the_answer(alike: Alike) -> None:
    answer = alike(lambda server: server.get("/probe/headers"))
    names = [name for name, _value in answer["headers"]]
    assert (names.count("set-cookie"), names.count("link")) == (2, 2)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("code", [200, 204, 226, 299, 304, 404, 418, 503])
def test_status(alike: Alike, code: int, method: str) -> None:
    assert alike(lambda server: server.ask(method, f"/probe/status/{code}"))["status"] == code


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [0, 1, 65_536, 10_000_001])
def test_body_of_an_answer(alike: Alike, size: int, length: bool) -> None:
    answer = alike(lambda server: server.get(f"/probe/source?size={size}&length={length}"))
    assert ["content-length" in dict(answer["headers"])] == [length]


def test_head_of_a_long_answer(alike: Alike) -> None:
    # The route is for GET alone: Galaxy's older pages are asked.
    assert alike(lambda server: server.ask("HEAD", "/probe/source?size=5"))["status"] == 404


# --- Streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_stream_arrives_as_it_is_produced(alike: Alike, kind: str) -> None:
    def ask(server: Server) -> tuple[list[str], bool]:
        with server.get(f"/probe/drip?kind={kind}", stream=True) as response:
            lines = [(line.decode(), time.monotonic()) for line in response.iter_lines(chunk_size=1)]
        # There are 1.2 seconds between the first and the last.
        return [line for line, _arrived in lines], lines[-1][1] - lines[0][1] > 0.8

    assert alike(ask) == ([f"line {number}" for number in range(5)], True)


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunks"])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_error_in_the_middle_of_a_stream(alike: Alike, kind: str, length: bool) -> None:
    def ask(server: Server) -> tuple[str, str]:
        received = b""
        try:
            with server.get(f"/probe/drip?kind={kind}&break_at=2&length={length}", stream=True) as response:
                for part in response.iter_content(1):
                    received += part
        except requests.RequestException:
            return "broken off after", received.decode()
        return "whole", received.decode()

    assert alike(ask) == ("broken off after", "line 0\nline 1\n")


def test_error_before_anything_is_sent(alike: Alike) -> None:
    assert alike(lambda server: server.get("/probe/raise"))["status"] == 500


def test_error_at_the_begin_of_a_stream(alike: Alike) -> None:
    def ask(server: Server) -> object:
        try:
            return server.get("/probe/drip?kind=async&break_at=0").status_code
        except requests.RequestException:
            return "broken off"

    answers = alike.differs(ask, "uWSGI has sent nothing yet, and can tell")
    assert answers == {"gunicorn": "broken off", "uwsgi": 500}


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_background_task(alike: Alike, kind: str) -> None:
    key = secrets.token_hex(4)

    def ask(server: Server) -> tuple[object, ...]:
        start = time.monotonic()
        answer = server.get(f"/probe/background?key={key}&kind={kind}").json()
        at_once = time.monotonic() - start < 0.8
        before = noted(server, key)
        after = wait_for("the task has ended", lambda: noted(server, key), 10, 0.1)
        return answer, at_once, before, after

    assert alike(ask) == ({"accepted": True}, True, None, "done")


# --- Clients that go away --------------------------------------------------------------------------


def test_client_that_goes_away_from_a_stream(alike: Alike) -> None:
    key = secrets.token_hex(4)

    def ask(server: Server) -> object:
        with server.get(f"/probe/endless?key={key}", stream=True) as response:
            first = next(response.iter_lines())
        return first, wait_for("the stream has stopped", lambda: noted(server, key) == "has stopped", 30, 0.1)

    assert alike(ask) == (b"on and on", True)


def test_client_that_goes_away_while_it_waits(alike: Alike) -> None:
    key = secrets.token_hex(4)

    def ask(server: Server) -> object:
        with server.connection(f"GET /probe/patient?key={key} HTTP/1.1"):
            wait_for("the request is there", lambda: noted(server, key), 10, 0.1)
        return wait_for("the request is over", lambda: (told := noted(server, key)) != "works" and told, 15, 0.1)

    assert alike(ask) == "has noticed"


def test_client_that_goes_away_while_it_sends(alike: Alike) -> None:
    def ask(server: Server) -> int:
        with server.connection("POST /probe/sink HTTP/1.1", headers="content-length: 100000", body=b"x" * 1000):
            pass
        return server.get("/api/version").status_code

    assert alike(ask) == 200


# --- A gigabyte ------------------------------------------------------------------------------------


class Gigabyte:
    """A body that is made as it is sent."""

    def __iter__(self) -> Iterator[bytes]:
        piece = bytes(range(256)) * 4096
        for _number in range(GIGABYTE // len(piece)):
            yield piece


class SizedGigabyte(Gigabyte):
    """One whose length is told before."""

    def __len__(self) -> int:
        return GIGABYTE


def bounded(server: Server, ask: object) -> bool:
    """Whether a process of the server has not grown by more than it may."""
    before = server.clear_peak()
    assert callable(ask)
    ask()
    return server.peak() - before < GROWTH


@pytest.mark.parametrize("body", [Gigabyte(), SizedGigabyte()], ids=["chunks", "length"])
def test_gigabyte_up(alike: Alike, body: Gigabyte) -> None:
    digest = hashlib.sha256()
    for piece in body:
        digest.update(piece)

    def ask(server: Server) -> tuple[bool, list[object]]:
        answers: list[object] = []

        def upload() -> None:
            answers.append(server.post("/probe/sink", data=body).json())

        return bounded(server, upload), answers

    assert alike(ask) == (True, [{"size": GIGABYTE, "sha256": digest.hexdigest()}])


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunks"])
def test_gigabyte_down(alike: Alike, length: bool) -> None:
    def ask(server: Server) -> tuple[bool, list[int]]:
        sizes = []

        def download() -> None:
            path = f"/probe/source?size={GIGABYTE}&length={length}"
            with server.get(path, stream=True, headers={"accept-encoding": "identity"}, timeout=300) as response:
                sizes.append(sum(len(part) for part in response.iter_content(1024 * 1024)))

        return bounded(server, download), sizes

    assert alike(ask) == (True, [GIGABYTE])
