# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the processes of a supervisor group to what their configuration says."""

from __future__ import annotations

import functools
import os
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_restart import Successor
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, did_you_mean

# http://supervisord.org/subprocess.html#process-states
STARTING, RUNNING, BACKOFF, STOPPING = 10, 20, 30, 40
# http://supervisord.org/api.html: faults
UNKNOWN_METHOD, ABNORMAL_TERMINATION, SPAWN_ERROR, NOT_RUNNING = 1, 40, 50, 70
ALIVE = frozenset({STARTING, RUNNING, BACKOFF})

# Programs that people wait for.
WEB = ("galaxy", "http")


@dataclass(frozen=True)
class Needs:
    """Names that a program has to know, and the command by which it tells those that it knows."""

    command: tuple[str, ...]
    names: tuple[str, ...]
    # What they are the names of, for error messages.
    kind: str


# What gives the work of processes that are gone to others: asked to look, to reassign or to refuse, it tells what it
# found and did (galaxy_jobs.py).
Handover = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Program:
    """A process of the group, and the files and directories it is started with."""

    name: str
    inputs: tuple[str, ...] = ()
    needs: Needs | None = None
    # How one that replaces itself at SIGHUP tells how that went.
    successor: Successor | None = None


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


def missing_names(needs: Needs) -> list[str]:
    """Ask the program, and return what is wrong, one line for each name that it does not know.

    A program that is not installed yet (check mode) knows nothing, and nothing is held against it.
    """
    try:
        answer = subprocess.run(
            needs.command,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{needs.command[0]} cannot be run: {error}"]
    if answer.returncode != 0:
        return [f"{' '.join(needs.command)} ended with {answer.returncode}: {(answer.stderr or answer.stdout)[-800:]}"]
    known = answer.stdout.split()
    return [
        f"{needs.kind} {name}: {needs.command[0]} does not know it{did_you_mean(name, known)}"
        for name in needs.names
        if name not in known
    ]


def converge(
    rpc: Any,
    group: str,
    programs: list[Program],
    check_mode: bool = False,
    handover: Handover | None = None,
    refuse: bool = False,
    restart: Collection[str] = (),
    groups: Any = None,
) -> Outcome:
    """Make supervisor run the group as configured, with processes no older than their inputs.

    :param rpc: Supervisor's RPC interface.
    :param group: Name of the group.
    :param programs: Its processes, in the order in which they are restarted, one after the other.
    :param check_mode: Only tell what would be done.
    :param handover: Gives the work of processes that are gone to others.
    :param refuse: Have no such work handed over, but fail before anything is stopped.
    :param restart: Names of processes to restart without another reason.
    :param groups: RPC interface of our plugin of supervisor's (roles/supervisor/files/dagobah_supervisor.py).

    The state decides, not what an earlier task of the run did: a run that was cut off after it wrote a
    file is finished by the next one. Before the first process is touched, those that will be are asked
    whether they know what they need to.
    """
    outcome = Outcome()
    if handover and (check_mode or refuse):
        _tell(handover("refuse" if refuse else "look"), outcome)
    late: set[str] = set()
    if not check_mode:
        late = _apply_configuration(rpc, groups, group, programs, outcome, None if refuse else handover)
    processes = {info["name"]: info for info in _processes(rpc, group)}
    plan = [(program, *found) for program in programs if (found := _reason(program, processes, late, restart))]
    _ask([program for program, _deed, _why in plan])
    for program, deed, why in plan:
        name = f"{group}:{program.name}"
        outcome.actions.append(f"{deed} {name}: {why}")
        # In check mode, or new and therefore started with the group.
        if check_mode or program.name not in processes:
            continue
        pid = processes[program.name]["pid"]
        if deed == "restart" and program.successor and program.successor.read(pid):
            program.successor.replace(name, pid, functools.partial(rpc.signalProcess, name, "HUP"))
            continue
        if deed == "restart":
            rpc.stopProcess(name, True)
        # Handlers are restarted one at a time: this waits for startsecs before it goes on.
        _start(rpc, name, deed == "restart" and program is not programs[-1])
    if plan and handover and not (check_mode or refuse):
        # The web processes that were still there may have given work to a tag that nobody has any more.
        for program_name in sorted(_hand_over(handover, outcome)):
            rpc.stopProcess(f"{group}:{program_name}", True)
            _start(rpc, f"{group}:{program_name}", False)
    return outcome


def _reason(
    program: Program, processes: dict[str, Any], late: set[str], restart: Collection[str]
) -> tuple[str, str] | None:
    """Return what is to be done with a process and why, if anything is."""
    info = processes.get(program.name)
    if info is None:
        return "start", "it is new"
    if info["state"] not in ALIVE:
        return "start", f"it was {info['statename']}"
    changed_at, cause = last_change(program.inputs)
    since = program.successor.since(info["pid"]) if program.successor else None
    if changed_at > (since or info["start"]):
        return "restart", f"{cause} is newer than the process"
    if program.name in late:
        return "restart", "it was given jobs that others had begun, which it looks for when it starts"
    if program.name in restart:
        return "restart", "it was asked for"
    return None


def _ask(programs: Iterable[Program]) -> None:
    """Raise an error that names everything that a program does not know and needs to."""
    missing = [line for program in programs if program.needs for line in missing_names(program.needs)]
    if missing:
        raise InputError("; ".join(missing) + ". Nothing has been restarted.")


def _start(rpc: Any, name: str, wait: bool) -> None:
    """Start a process. That it ends at once is not for here to tell: the proof says why, with its log."""
    try:
        rpc.startProcess(name, wait)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (ABNORMAL_TERMINATION, SPAWN_ERROR):
            raise


def _apply_configuration(
    rpc: Any, groups: Any, group: str, programs: list[Program], outcome: Outcome, handover: Handover | None
) -> set[str]:
    """Let supervisor take up a new, changed or removed configuration of the group.

    Supervisor knows no smaller unit: it compares groups, and what changed is removed and added as a whole, stopped
    (supervisord.py, diff_to_active; rpcinterface.py, removeProcessGroup). Names as ours (gx:handler0) need a group; a
    program by itself can have no colon in its name (datatypes.py, process_or_group_name). A plugin of ours does better
    where supervisord has loaded it: then a handler comes or goes, and the web processes go on.

    Returns the processes that run and have to be restarted to find the work that they were given.
    """
    added, changed, removed = rpc.reloadConfig()[0]
    if group in added or group in changed:
        _ask(programs)
    stale = _stale(groups, group) if group in changed else None
    if group in changed or group in removed:
        if handover:
            handover("look")  # If it cannot be asked, this is the time to say so: nothing has been stopped.
        _stop(rpc, group, stale)
        if stale is None:
            rpc.removeProcessGroup(group)
    # Those that are gone have stopped, and those that are there have not been started, or are told to start again:
    # nobody has a job that somebody else has.
    late = _hand_over(handover, outcome) if handover else set()
    if stale is not None:
        started = set(groups.update(group))
        outcome.actions += [f"stop {group}:{name}: its configuration is gone" for name in stale if name not in started]
        outcome.actions += [f"start {group}:{name}: its configuration is new" for name in sorted(started)]
        return late - started
    if group in added or group in changed:
        rpc.addProcessGroup(group)
        outcome.actions.append(f"start {group}:*: its configuration is new")
        return set()
    if group in removed:
        outcome.actions.append(f"stop {group}:*: its configuration is gone")
    return late


def _stale(groups: Any, group: str) -> list[str] | None:
    """Return the processes that have to be stopped for the new configuration, None for all."""
    try:
        return list(groups.stale(group)) if groups else None
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != UNKNOWN_METHOD:
            raise
        return None


def _hand_over(handover: Handover, outcome: Outcome) -> set[str]:
    """Have the work of those that are gone handed over; return who has to be restarted to find it."""
    report = handover("reassign")
    _tell(report, outcome)
    # Supervisor's program galaxy is the web processes, which call themselves main.1, main.2, ...
    return {"galaxy" if name.startswith("main.") else name for name in report.get("recover", ())}


def _stop(rpc: Any, group: str, names: Collection[str] | None) -> None:
    """Stop processes of a group, or all: handlers first, which take their time, while web processes still answer."""
    alive = [info["name"] for info in _processes(rpc, group) if info["state"] in ALIVE]
    chosen = [name for name in alive if names is None or name in names]
    for name in sorted(chosen, key=WEB.__contains__):
        if name in WEB:
            while any(info["state"] == STOPPING for info in _processes(rpc, group)):
                time.sleep(0.2)
        try:
            rpc.stopProcess(f"{group}:{name}", name in WEB)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise
    while any(info["state"] == STOPPING for info in _processes(rpc, group)):
        time.sleep(0.2)


def _processes(rpc: Any, group: str) -> list[dict[str, Any]]:
    return [info for info in rpc.getAllProcessInfo() if info["group"] == group]


def _tell(report: dict[str, Any], outcome: Outcome) -> None:
    """Add what was handed over to what was done."""
    targets = ", ".join(f"{number} to {name}" for name, number in sorted(report.get("moved", {}).items()))
    for name, found in sorted(report.get("stranded", {}).items()):
        work = " and ".join(f"{number} {kind}" for kind, number in found.items() if number)
        outcome.actions.append(
            f"hand over {work} of {name}, which is no longer there{f' ({targets})' if targets else ''}"
        )
