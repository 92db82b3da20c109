# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that are served at once have nothing to do with each other. Each server has one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from compared import Alike, Server

THREADS = 4


def at_once(number: int, ask: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


def test_threads_of_a_process_serve_at_once(alike: Alike) -> None:
    def ask(server: Server) -> tuple[list[Any], bool]:
        start = time.monotonic()
        answers = at_once(THREADS, lambda _number: server.get("/probe/sleep?seconds=1"))
        return [answer.json() for answer in answers], time.monotonic() - start < 2

    assert alike(ask) == ([{"slept": 1}] * THREADS, True)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_context_variables_stay_with_their_request(alike: Alike, kind: str) -> None:
    def ask(server: Server) -> list[Any]:
        def one(number: int) -> Any:
            path = f"/probe/context/{kind}?value={number}&seconds={0.05 * (number % 3)}"
            return server.get(path).json()

        # Others at the same time, and others before.
        return at_once(8, one) + [one(number) for number in range(8, 16)]

    assert alike(ask) == [{"before": "unset", "after": str(number)} for number in range(16)]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_context_variable_that_is_not_set(alike: Alike, kind: str) -> None:
    answers = alike(lambda server: [server.get(f"/probe/context/{kind}").json() for _turn in range(THREADS * 2)])
    assert answers == [{"before": "unset", "after": "unset"}] * THREADS * 2


def test_database_session_for_each_request(alike: Alike) -> None:
    def ask(server: Server) -> tuple[int, bool, list[int]]:
        answers = at_once(THREADS, lambda _number: server.get("/probe/session?seconds=0.5").json())
        # None is left of them when they are over.
        after = server.get("/probe/session").json()["open"]
        return len({answer["request"] for answer in answers}), all(answer["same"] for answer in answers), [after]

    assert alike(ask) == (THREADS, True, [1])


def test_many_at_once(alike: Alike, key: dict[str, str]) -> None:
    def ask(server: Server) -> list[tuple[int, Any]]:
        def one(number: int) -> tuple[int, Any]:
            headers = key if number % 2 else {}
            answer = server.get("/api/users/current", headers=headers)
            return answer.status_code, answer.text

        return at_once(24, one)

    answers = alike(ask)
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 1
    assert answers[0] != answers[1]
