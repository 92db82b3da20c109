# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import sys
import time
import xmlrpc.client
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_programs import (
    RUNNING,
    STARTING,
    STOPPING,
    Needs,
    Program,
    converge,
    last_change,
    missing_names,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import known_names, listing_arguments
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

STOPPED, FATAL = 0, 200
NAMES = {STOPPED: "STOPPED", STOPPING: "STOPPING", STARTING: "STARTING", RUNNING: "RUNNING", FATAL: "FATAL"}


class Supervisor:
    """Answers as supervisor does, and writes down what it is asked to do."""

    def __init__(
        self, states: dict[str, int], started: float = 0.0, reload: tuple[list[str], ...] = ([], [], [])
    ) -> None:
        self.states = states
        self.started = started
        self.reload = reload
        self.calls: list[tuple[Any, ...]] = []

    def reloadConfig(self) -> list[tuple[list[str], ...]]:  # noqa: N802
        self.calls.append(("reloadConfig",))
        return [self.reload]

    def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802
        other = {"group": "other", "name": "galaxy", "state": FATAL, "statename": "FATAL", "start": 0}
        return [other] + [
            {"group": "gx", "name": name, "state": state, "statename": NAMES[state], "start": self.started, "pid": 7}
            for name, state in self.states.items()
        ]

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))

    @property
    def deeds(self) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call != ("reloadConfig",)]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "galaxy.ini"
    path.write_text("[app:main]\n", encoding="utf-8")
    return str(path)


def programs(config: str) -> list[Program]:
    return [Program("galaxy", (config,)), Program("handler0", (config,)), Program("handler1", (config,))]


# Handlers take their time to stop, and web processes answer until they have.
STOPPED_IN_ORDER = [
    ("stopProcess", "gx:handler0", False),
    ("stopProcess", "gx:handler1", False),
    ("stopProcess", "gx:galaxy", True),
]

ALL_RUNNING = {"galaxy": RUNNING, "handler0": RUNNING, "handler1": RUNNING}


def test_leaves_processes_alone_that_are_as_configured(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config))
    assert not outcome.changed
    assert supervisor.deeds == []


def test_restarts_what_is_older_than_its_inputs_one_after_the_other(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() - 60)
    outcome = converge(supervisor, "gx", programs(config))
    assert supervisor.deeds == [
        ("stopProcess", "gx:galaxy", True),
        ("startProcess", "gx:galaxy", True),
        ("stopProcess", "gx:handler0", True),
        ("startProcess", "gx:handler0", True),
        ("stopProcess", "gx:handler1", True),
        ("startProcess", "gx:handler1", False),
    ]
    assert outcome.actions[0] == f"restart gx:galaxy: {config} is newer than the process"


class Successor:
    """Stands for a program that replaces itself, if it says so."""

    def __init__(self, since: float | None, error: str = "") -> None:
        self.path = ""
        self._since = since
        self._error = error

    def read(self, pid: int) -> dict[str, Any] | None:
        return {"pid": pid} if self._since is not None else None

    def since(self, _pid: int) -> float | None:
        return self._since

    def replace(self, name: str, _pid: int, signal: Any) -> None:
        signal()
        if self._error:
            raise InputError(f"{name}: {self._error}")


def with_successor(config: str, since: float | None, error: str = "") -> list[Program]:
    galaxy, *handlers = programs(config)
    return [replace(galaxy, successor=Successor(since, error)), *handlers[:1]]


def test_replaces_what_replaces_itself(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING, "handler0": RUNNING}, started=time.time() - 60)
    outcome = converge(supervisor, "gx", with_successor(config, time.time() - 30))
    assert supervisor.deeds == [
        ("signalProcess", "gx:galaxy", "HUP"),
        ("stopProcess", "gx:handler0", True),
        ("startProcess", "gx:handler0", False),
    ]
    assert outcome.actions[0] == f"restart gx:galaxy: {config} is newer than the process"


def test_what_has_replaced_itself_is_as_young_as_it_says(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING}, started=time.time() - 60)
    assert not converge(supervisor, "gx", with_successor(config, time.time() + 1)[:1]).changed


def test_what_could_replace_itself_and_does_not_is_stopped_and_started(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING}, started=time.time() - 60)
    converge(supervisor, "gx", with_successor(config, None)[:1])
    assert supervisor.deeds == [("stopProcess", "gx:galaxy", True), ("startProcess", "gx:galaxy", False)]


def test_one_that_is_not_replaced_ends_it_before_a_handler_is_stopped(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING, "handler0": RUNNING}, started=time.time() - 60)
    with pytest.raises(InputError, match="gx:galaxy: no database"):
        converge(supervisor, "gx", with_successor(config, time.time() - 30, "no database"))
    assert supervisor.deeds == [("signalProcess", "gx:galaxy", "HUP")]


def test_restarts_what_it_is_asked_to(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config), restart=["handler1"])
    assert outcome.actions == ["restart gx:handler1: it was asked for"]


def test_starts_what_does_not_run(config: str) -> None:
    supervisor = Supervisor({"galaxy": STOPPED, "handler0": FATAL, "handler1": STARTING}, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config))
    assert supervisor.deeds == [("startProcess", "gx:galaxy", False), ("startProcess", "gx:handler0", False)]
    assert outcome.actions == ["start gx:galaxy: it was STOPPED", "start gx:handler0: it was FATAL"]


@pytest.mark.parametrize(
    "reload, deeds",
    [
        ((["gx"], [], []), [("addProcessGroup", "gx")]),
        (([], ["gx"], []), [*STOPPED_IN_ORDER, ("removeProcessGroup", "gx"), ("addProcessGroup", "gx")]),
        (([], [], ["gx"]), [*STOPPED_IN_ORDER, ("removeProcessGroup", "gx")]),
        ((["new"], ["other"], ["old"]), []),
    ],
    ids=["new", "changed", "removed", "of other groups"],
)
def test_takes_up_a_configuration(config: str, reload: tuple[list[str], ...], deeds: list[tuple[Any, ...]]) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1, reload=reload)
    outcome = converge(supervisor, "gx", programs(config))
    assert supervisor.deeds == deeds
    assert outcome.changed == bool(deeds)


class Groups:
    """Our plugin, of which the calls are written down among those of supervisor."""

    def __init__(self, supervisor: Supervisor, stale: list[str], added: list[str]) -> None:
        self.supervisor = supervisor
        self._stale = stale
        self._added = added

    def stale(self, _group: str) -> list[str]:
        return self._stale

    def update(self, group: str) -> list[str]:
        self.supervisor.calls.append(("update", group))
        for name in self._stale:
            del self.supervisor.states[name]
        self.supervisor.states.update(dict.fromkeys(self._added, STARTING))
        return self._added


def test_with_the_plugin_only_what_changed_is_stopped(config: str) -> None:
    supervisor = Supervisor(dict(ALL_RUNNING), started=time.time() + 1, reload=([], ["gx"], []))
    handover = Handover(supervisor, **STRANDED, recover=["handler2", "handler0"])
    groups = Groups(supervisor, ["handler1"], ["handler2"])
    configured = [Program("galaxy", (config,)), Program("handler0", (config,)), Program("handler2", (config,))]
    outcome = converge(supervisor, "gx", configured, handover=handover, groups=groups)
    assert supervisor.deeds == [
        ("handover", "look"),
        ("stopProcess", "gx:handler1", False),
        ("handover", "reassign"),
        ("update", "gx"),
        # It runs, and looks for work when it starts.
        ("stopProcess", "gx:handler0", True),
        ("startProcess", "gx:handler0", True),
        ("handover", "reassign"),
    ]
    assert outcome.actions[:3] == [
        TOLD,
        "stop gx:handler1: its configuration is gone",
        "start gx:handler2: its configuration is new",
    ]


def test_with_the_plugin_changed_web_processes_are_stopped_last(config: str) -> None:
    supervisor = Supervisor(dict(ALL_RUNNING), started=time.time() + 1, reload=([], ["gx"], []))
    groups = Groups(supervisor, ["galaxy", "handler0"], ["galaxy", "handler0"])
    outcome = converge(supervisor, "gx", programs(config), groups=groups)
    assert supervisor.deeds == [
        ("stopProcess", "gx:handler0", False),
        ("stopProcess", "gx:galaxy", True),
        ("update", "gx"),
    ]
    assert [action.split(": ")[0] for action in outcome.actions] == ["start gx:galaxy", "start gx:handler0"]


@pytest.mark.parametrize("code, asks", [(1, True), (10, False)], ids=["not loaded", "another fault"])
def test_without_the_plugin_the_whole_group_is_replaced(config: str, code: int, asks: bool) -> None:
    class Missing:
        def stale(self, _group: str) -> list[str]:
            raise xmlrpc.client.Fault(code, "")

    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1, reload=([], ["gx"], []))
    with contextlib.nullcontext() if asks else pytest.raises(xmlrpc.client.Fault):
        converge(supervisor, "gx", programs(config), groups=Missing())
    assert (("removeProcessGroup", "gx") in supervisor.deeds) == asks


class Handover:
    """Writes down when it is asked for what, among the calls of supervisor."""

    def __init__(self, supervisor: Supervisor, **report: Any) -> None:
        self.supervisor = supervisor
        self.report = report

    def __call__(self, action: str) -> dict[str, Any]:
        self.supervisor.calls.append(("handover", action))
        if action != "reassign":
            return {}
        report, self.report = self.report, {}
        return report


def test_web_processes_answer_until_the_last_handler_has_stopped(config: str) -> None:
    class Slow(Supervisor):
        looks = 0

        def stopProcess(self, name: str, wait: bool) -> None:  # noqa: N802
            self.calls.append(("stopProcess", name, wait))
            self.states[name.removeprefix("gx:")] = STOPPED if wait else STOPPING

        def getAllProcessInfo(self) -> list[dict[str, Any]]:  # noqa: N802
            self.looks += 1
            if self.looks == 3:
                self.states.update(handler0=STOPPED, handler1=STOPPED)
                self.calls.append(("they have stopped",))
            return super().getAllProcessInfo()

    supervisor = Slow(dict(ALL_RUNNING), started=time.time() + 1, reload=([], [], ["gx"]))
    converge(supervisor, "gx", [])
    assert supervisor.deeds == [
        *STOPPED_IN_ORDER[:2],
        ("they have stopped",),
        STOPPED_IN_ORDER[2],
        ("removeProcessGroup", "gx"),
    ]


STRANDED = {"stranded": {"handler1": {"jobs": 3, "invocations": 0}}, "moved": {"handlers": 2, "handler0": 1}}
TOLD = "hand over 3 jobs of handler1, which is no longer there (1 to handler0, 2 to handlers)"


def test_work_is_handed_over_between_stopping_and_starting(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1, reload=([], ["gx"], []))
    handover = Handover(supervisor, **STRANDED, recover=["handler0"])
    outcome = converge(supervisor, "gx", programs(config), handover=handover)
    assert supervisor.deeds == [
        # If it cannot be asked, nothing is stopped.
        ("handover", "look"),
        *STOPPED_IN_ORDER,
        ("removeProcessGroup", "gx"),
        ("handover", "reassign"),
        ("addProcessGroup", "gx"),
    ]
    assert outcome.actions == [TOLD, "start gx:*: its configuration is new"]


@pytest.mark.parametrize("name, program", [("handler0", "handler0"), ("main.1", "galaxy")])
def test_who_got_work_that_was_begun_is_restarted(config: str, name: str, program: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config), handover=Handover(supervisor, **STRANDED, recover=[name]))
    assert supervisor.deeds == [
        ("handover", "reassign"),
        ("stopProcess", f"gx:{program}", True),
        ("startProcess", f"gx:{program}", True),
        # What the old web processes gave to others in the meantime.
        ("handover", "reassign"),
    ]
    assert outcome.actions[0] == TOLD
    assert outcome.actions[1].startswith(f"restart gx:{program}: it was given jobs")


def test_what_was_given_away_while_others_were_restarted_is_handed_over_at_the_end(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() - 60)
    reports = iter([{}, {**STRANDED, "recover": ["handler1"]}])
    outcome = converge(supervisor, "gx", programs(config), handover=lambda _action: next(reports))
    assert supervisor.deeds[-2:] == [("stopProcess", "gx:handler1", True), ("startProcess", "gx:handler1", False)]
    assert outcome.actions[-1] == TOLD


def test_nothing_to_hand_over(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config), handover=Handover(supervisor, stranded={}, moved={}))
    assert not outcome.changed


def test_refusing_comes_first(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() - 60, reload=([], ["gx"], []))

    def handover(action: str) -> dict[str, Any]:
        assert action == "refuse"
        raise InputError("no")

    with pytest.raises(InputError):
        converge(supervisor, "gx", programs(config), handover=handover, refuse=True)
    assert supervisor.calls == []


def test_check_mode_tells_what_would_be_handed_over(config: str) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1)

    def handover(action: str) -> dict[str, Any]:
        supervisor.calls.append(("handover", action))
        return {"stranded": STRANDED["stranded"], "moved": {}, "recover": []}

    outcome = converge(supervisor, "gx", programs(config), check_mode=True, handover=handover)
    assert supervisor.calls == [("handover", "look")]
    assert outcome.actions == ["hand over 3 jobs of handler1, which is no longer there"]


def test_check_mode_only_looks(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING, "handler0": STOPPED}, started=time.time() - 60)
    outcome = converge(supervisor, "gx", programs(config), check_mode=True)
    assert supervisor.calls == []
    assert [action.split(":")[0] for action in outcome.actions] == ["restart gx", "start gx", "start gx"]


def test_last_change_looks_below_directories_but_not_at_byte_code(tmp_path: Path) -> None:
    (tmp_path / "lib" / "__pycache__").mkdir(parents=True)
    source = tmp_path / "lib" / "bridge.py"
    source.write_text("", encoding="utf-8")
    before = last_change([str(tmp_path / "lib"), "/does/not/exist"])
    time.sleep(0.02)
    (tmp_path / "lib" / "__pycache__" / "bridge.pyc").write_text("", encoding="utf-8")
    assert last_change([str(tmp_path / "lib")]) == before
    source.write_text("changed", encoding="utf-8")
    assert last_change([str(tmp_path / "lib")])[1] == str(source)


def test_last_change_sees_a_link_switched_to_an_old_release(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    link = tmp_path / "venv"
    link.symlink_to(new)
    before, _name = last_change([str(link)])
    time.sleep(0.02)
    (tmp_path / "next").symlink_to(old)
    (tmp_path / "next").rename(link)
    assert last_change([str(link)])[0] > before


# --- What a program has to know, asked of the real uWSGI ---------------------------------------------

UWSGI = str(Path(sys.executable).with_name("uwsgi"))


def uwsgi_needs(options: dict[str, Any]) -> Needs:
    return Needs((UWSGI, *listing_arguments(options)), tuple(known_names(options)), "uWSGI's option")


def test_uwsgi_knows_its_options() -> None:
    options = {"master": True, "static-map": ["/a=/b"], "declare-option": "my-own=static-map=$1", "my-own": "/c=/d"}
    assert missing_names(uwsgi_needs(options)) == []


def test_what_uwsgi_does_not_know_is_named_with_the_nearest() -> None:
    (line,) = missing_names(uwsgi_needs({"static-nap": "/a=/b", "master": True, "socket": None}))
    assert line == f"uWSGI's option static-nap: {UWSGI} does not know it; did you mean static-map?"


def test_a_plugin_that_is_not_there_is_told() -> None:
    (line,) = missing_names(uwsgi_needs({"need-plugin": "no-such"}))
    assert "--need-plugin=no-such --dump-options ended with 1" in line
    assert "no-such_plugin.so" in line


def test_a_program_that_is_not_there_yet_is_not_held_to_anything() -> None:
    assert missing_names(Needs(("/does/not/exist",), ("a",), "option")) == []


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    (line,) = missing_names(Needs((str(tmp_path),), ("a",), "option"))
    assert "cannot be run" in line


@pytest.mark.parametrize(
    "started, reload",
    [(-60, ([], [], [])), (1, ([], ["gx"], [])), (1, (["gx"], [], []))],
    ids=["an input is newer", "changed", "new"],
)
def test_nothing_is_touched_while_a_program_lacks_an_option(
    config: str, started: float, reload: tuple[list[str], ...]
) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + started, reload=reload)
    handler, galaxy = Program("handler0", (config,)), Program("galaxy", (config,), uwsgi_needs({"harakiry": 1}))
    with pytest.raises(InputError, match=r"harakiry.* did you mean harakiri\?\. Nothing has been restarted\."):
        converge(supervisor, "gx", [handler, galaxy])
    assert supervisor.deeds == []


def test_a_program_that_is_left_alone_is_not_asked(config: str) -> None:
    supervisor = Supervisor({"galaxy": RUNNING}, started=time.time() + 1)
    galaxy = Program("galaxy", (config,), uwsgi_needs({"harakiry": 1}))
    assert not converge(supervisor, "gx", [galaxy]).changed
