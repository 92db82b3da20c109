# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_restart import Successor, obstacles
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

GOOD = {"socket": "127.0.0.1:4001", "master-fifo": "/run/uwsgi.fifo", "stats": "/run/uwsgi.stats", "chmod-socket": 660}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"socket": ["/run/uwsgi.sock", ":4001", "[::1]:4002"]},
        {"harakiri": 60, "chown-socket": "galaxy:www-data", "cheaper": 1, "mule": None, "spooler": "/spool"},
    ],
)
def test_two_can_run_side_by_side(options: dict[str, Any]) -> None:
    assert obstacles({**GOOD, **options}, classic=False, web_jobs=False) == []


@pytest.mark.parametrize(
    "options, about",
    [
        ({"socket": "localhost:4001"}, "localhost:4001"),
        ({"socket": ["127.0.0.1:4001", "0.0.0.0:4002"]}, "0.0.0.0:4002"),
        ({"socket": "@abstract"}, "@abstract"),
        ({"raw-socket": "127.0.0.1:1"}, "raw-socket"),
        ({"mule": True}, "mule"),
        ({"attach-daemon": "redis-server"}, "attach-daemon"),
        ({"smart-attach-daemon2": "redis-server"}, "smart-attach-daemon2"),
        ({"legion-cron": "x"}, "legion-cron"),
        ({"pidfile2": "/run/pid"}, "pidfile2"),
        ({"stats": "127.0.0.1:9191"}, "stats"),
        ({"master-fifo": None}, "master-fifo"),
    ],
)
def test_what_is_in_the_way_is_named(options: dict[str, Any], about: str) -> None:
    found = obstacles({**GOOD, **options}, classic=False, web_jobs=False)
    assert len(found) == 1
    assert about in found[0]


def test_classic_galaxy_and_jobs_are_in_the_way() -> None:
    found = obstacles(GOOD, classic=True, web_jobs=True)
    assert ["classic" in found[0], "jobs" in found[1]] == [True, True]


class Program:
    """A program that writes one state after the other, one at each look of the other side."""

    def __init__(self, path: Path, *states: dict[str, Any] | None) -> None:
        self.path = path
        self.states = list(states)
        self.signals = 0

    def signal(self) -> None:
        self.signals += 1
        self.write()

    def write(self) -> None:
        state = self.states.pop(0)
        if state is not None:
            self.path.write_text(json.dumps({"pid": 7, "since": 1.0, "loading": None, "error": "", **state}))

    def successor(self, monkeypatch: pytest.MonkeyPatch, timeout: float = 60) -> Successor:
        monkeypatch.setattr(time, "sleep", lambda _seconds: self.write())
        return Successor(str(self.path), timeout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_it_waits_for_the_try_that_it_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 60
    program = Program(path, {"tried": 1.0}, {"tried": 2.0, "error": "an earlier try's"}, {"tried": later})
    program.successor(monkeypatch).replace("gx:galaxy", 7, program.signal)
    assert program.signals == 1
    assert program.states == []


@pytest.mark.parametrize(
    "states, message",
    [
        ([{"tried": 9e9, "error": "no database"}], "gx:galaxy was not replaced, and the old one goes on: no database"),
        ([{"tried": 1.0}, {"pid": 8, "tried": 1.0}], "gx:galaxy has ended"),
    ],
)
def test_it_fails_with_a_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch, states: list[dict[str, Any]], message: str
) -> None:
    program = Program(path, *states)
    with pytest.raises(InputError, match=message):
        program.successor(monkeypatch).replace("gx:galaxy", 7, program.signal)


def test_it_does_not_wait_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(path, {"tried": 1.0})
    with pytest.raises(InputError, match="says nothing"):
        program.successor(monkeypatch, timeout=-31).replace("gx:galaxy", 7, program.signal)


@pytest.mark.parametrize(
    "text, since",
    [
        ('{"pid": 7, "since": 5.5, "loading": 6.5}', 5.5),
        ('{"pid": 7, "since": null, "loading": 6.5}', 6.5),
        ('{"pid": 7, "since": "yesterday"}', None),
        ('{"pid": 8, "since": 5.5}', None),
        ("[7]", None),
        ("{", None),
        (None, None),
    ],
)
def test_since_when_it_does_its_work(path: Path, text: str | None, since: float | None) -> None:
    if text is not None:
        path.write_text(text)
    assert Successor(str(path)).since(7) == since
