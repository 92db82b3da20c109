# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the processes of a supervisor group to what their configuration says."""

from __future__ import annotations

import os
import xmlrpc.client
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

# http://supervisord.org/subprocess.html#process-states
STARTING, RUNNING, BACKOFF, STOPPING = 10, 20, 30, 40
# http://supervisord.org/api.html: faults
ABNORMAL_TERMINATION, SPAWN_ERROR = 40, 50
ALIVE = frozenset({STARTING, RUNNING, BACKOFF})


@dataclass(frozen=True)
class Program:
    """A process of the group, and the files and directories it is started with."""

    name: str
    inputs: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What was done (or, in check mode, would be), one line each."""

    actions: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.actions)


def _files(path: str) -> Iterator[str]:
    """Yield a path itself, and what is below it; byte code is not an input, and links are not followed."""
    yield path
    if os.path.isdir(path) and not os.path.islink(path):
        for directory, subdirectories, names in os.walk(path):
            subdirectories[:] = [name for name in subdirectories if name != "__pycache__"]
            yield from (os.path.join(directory, name) for name in names)


def last_change(paths: Iterable[str]) -> tuple[float, str]:
    """Return when the newest of the inputs changed, and which it was; missing ones do not count.

    It is the inode's time (ctime), which a file that is copied with an old date does not carry along.
    """
    newest = (0.0, "")
    for path in paths:
        for name in _files(path):
            try:
                newest = max(newest, (os.lstat(name).st_ctime, name))
            except FileNotFoundError:
                continue
    return newest


def converge(rpc: Any, group: str, programs: list[Program], check_mode: bool = False) -> Outcome:
    """Make supervisor run the group as configured, with processes no older than their inputs.

    :param rpc: Supervisor's RPC interface.
    :param group: Name of the group.
    :param programs: Its processes, in the order in which they are restarted, one after the other.
    :param check_mode: Only tell what would be done.

    The state decides, not what an earlier task of the run did: a run that was cut off after it wrote a
    file is finished by the next one.
    """
    outcome = Outcome()
    if not check_mode:
        _apply_configuration(rpc, group, outcome)
    processes = {info["name"]: info for info in rpc.getAllProcessInfo() if info["group"] == group}
    for program in programs:
        info = processes.get(program.name)
        name = f"{group}:{program.name}"
        if info is None:
            outcome.actions.append(f"start {name}: it is new")
            continue  # Check mode only: otherwise the configuration was applied above.
        if info["state"] not in ALIVE:
            outcome.actions.append(f"start {name}: it was {info['statename']}")
            if not check_mode:
                _start(rpc, name, False)
            continue
        changed_at, cause = last_change(program.inputs)
        if changed_at > info["start"]:
            outcome.actions.append(f"restart {name}: {cause} is newer than the process")
            if not check_mode:
                rpc.stopProcess(name, True)
                # Handlers are restarted one at a time: this waits for startsecs before it goes on.
                _start(rpc, name, program is not programs[-1])
    return outcome


def _start(rpc: Any, name: str, wait: bool) -> None:
    """Start a process. That it ends at once is not for here to tell: the proof says why, with its log."""
    try:
        rpc.startProcess(name, wait)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (ABNORMAL_TERMINATION, SPAWN_ERROR):
            raise


def _apply_configuration(rpc: Any, group: str, outcome: Outcome) -> None:
    """Let supervisor take up a new, changed or removed configuration of the group."""
    added, changed, removed = rpc.reloadConfig()[0]
    if group in changed or group in removed:
        rpc.stopProcessGroup(group, True)
        rpc.removeProcessGroup(group)
    if group in added or group in changed:
        rpc.addProcessGroup(group)
        outcome.actions.append(f"start {group}:*: its configuration is new")
    elif group in removed:
        outcome.actions.append(f"stop {group}:*: its configuration is gone")
