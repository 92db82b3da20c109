# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart uWSGI by a second one that takes over (roles/uwsgi/files/galaxy_handover.py)."""

from __future__ import annotations

import json
import re
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

# Options of which two uWSGIs would have one thing between them, or do one thing twice.
ALONE = re.compile(
    r"(?!(chmod|chown|abstract)-socket).+-socket|(.+-)?attach-(control-)?daemon2?|mules?|farm|(.+-)?cron2?|emperor"
    r"|(fast|raw|ssl|forkpty)router|legion|zerg(-server|-pool)?|(safe-)?pidfile2?"
)
# An address as uWSGI would name a socket that it finds bound: no name of a host, nor one address in another spelling.
ADDRESS = re.compile(r"/.+|(?!0\.0\.0\.0:)\d+\.\d+\.\d+\.\d+:\d+|:\d+|\[[0-9a-f:]+\]:\d+")


def obstacles(options: Mapping[str, t.Any], classic: bool, web_jobs: bool) -> list[str]:
    """Return why a second uWSGI with these options cannot run beside the first, one sentence each."""
    return list(_obstacles({name: value for name, value in options.items() if value is not None}, classic, web_jobs))


def _obstacles(options: Mapping[str, t.Any], classic: bool, web_jobs: bool) -> Iterator[str]:
    if classic:
        yield "classic Galaxy has no bridge, in which a worker could prove that it can answer"
    if web_jobs:
        yield "the web processes run jobs, and two of one name would both run them"
    for name in sorted(options):
        if ALONE.fullmatch(name):
            yield f"uWSGI's option {name} is for one uWSGI at a time"
    value = options.get("socket", [])
    for address in map(str, value if isinstance(value, list) else [value]):
        if not ADDRESS.fullmatch(address):
            yield f"uWSGI does not recognise a socket that is called {address} when it is handed over"
    for name in ("master-fifo", "stats"):
        if not str(options.get(name, "")).startswith("/"):
            yield f"uWSGI's option {name} has to be a path"


class Successor:
    """What a program that replaces itself at SIGHUP says of that in its state file."""

    def __init__(self, path: str, timeout: float = 600.0, pause: float = 0.5) -> None:
        """Make one.

        :param path: the state file
        :param timeout: seconds in which the program replaces itself, or gives it up
        """
        self.path = path
        self.timeout = timeout
        self._pause = pause

    def read(self, pid: int) -> dict[str, t.Any] | None:
        """Return the state, None if it is not that of this process."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                state = json.load(stream)
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) and state.get("pid") == pid else None

    def since(self, pid: int) -> float | None:
        """Return when that was started which serves, or is the first to; None if nothing is known."""
        state = self.read(pid) or {}
        since = state.get("since") or state.get("loading")
        return float(since) if isinstance(since, (int, float)) else None

    def replace(self, name: str, pid: int, signal: Callable[[], object]) -> None:
        """Send the signal, and return when the program has replaced itself. Raise InputError if it has not."""
        asked = time.time()
        signal()
        # Twice the time: it may be at it already.
        end = time.monotonic() + 2 * self.timeout + 60
        while True:
            state = self.read(pid)
            if state is None:
                raise InputError(f"{name} has ended while it was to be replaced; its log says why")
            if state.get("tried", 0) >= asked:
                break
            if time.monotonic() > end:
                raise InputError(f"{name} says nothing of its replacement, in {self.path}")
            time.sleep(self._pause)
        if state.get("error"):
            raise InputError(f"{name} was not replaced, and the old one goes on: {state['error']}")
