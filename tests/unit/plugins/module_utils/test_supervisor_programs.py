# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_programs import (
    RUNNING,
    STARTING,
    Program,
    converge,
    last_change,
)

STOPPED, FATAL = 0, 200
NAMES = {STOPPED: "STOPPED", STARTING: "STARTING", RUNNING: "RUNNING", FATAL: "FATAL"}


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
            {"group": "gx", "name": name, "state": state, "statename": NAMES[state], "start": self.started}
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


def test_starts_what_does_not_run(config: str) -> None:
    supervisor = Supervisor({"galaxy": STOPPED, "handler0": FATAL, "handler1": STARTING}, started=time.time() + 1)
    outcome = converge(supervisor, "gx", programs(config))
    assert supervisor.deeds == [("startProcess", "gx:galaxy", False), ("startProcess", "gx:handler0", False)]
    assert outcome.actions == ["start gx:galaxy: it was STOPPED", "start gx:handler0: it was FATAL"]


@pytest.mark.parametrize(
    "reload, deeds",
    [
        ((["gx"], [], []), [("addProcessGroup", "gx")]),
        (([], ["gx"], []), [("stopProcessGroup", "gx", True), ("removeProcessGroup", "gx"), ("addProcessGroup", "gx")]),
        (([], [], ["gx"]), [("stopProcessGroup", "gx", True), ("removeProcessGroup", "gx")]),
        ((["new"], ["other"], ["old"]), []),
    ],
    ids=["new", "changed", "removed", "of other groups"],
)
def test_takes_up_a_configuration(config: str, reload: tuple[list[str], ...], deeds: list[tuple[Any, ...]]) -> None:
    supervisor = Supervisor(ALL_RUNNING, started=time.time() + 1, reload=reload)
    outcome = converge(supervisor, "gx", programs(config))
    assert supervisor.deeds == deeds
    assert outcome.changed == bool(deeds)


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
