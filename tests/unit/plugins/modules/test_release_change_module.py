# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


class Machine:
    """Releases, a link to one of them, a configuration, and the record."""

    def __init__(self, run_module: Run, root: Path) -> None:
        self.run_module = run_module
        self.releases = root / "releases"
        self.link = root / "venv"
        self.config = root / "config"
        self.dump = root / "backups/20261124T000000Z-25.1.3-a"
        self.releases.mkdir()
        self.config.mkdir()
        self.dump.mkdir(parents=True)
        (self.dump / "dump.json").write_text("{}")
        (self.config / "galaxy.ini").write_text("old")

    def release(self, name: str) -> str:
        path = self.releases / name
        path.mkdir()
        (path / "release.json").write_text(json.dumps({"galaxy": name.partition("-")[0]}))
        return str(path)

    def __call__(self, step: str, release: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        return self.run_module(
            "release_change",
            {
                "step": step,
                "record": str(self.releases / "galaxy.json"),
                "link": str(self.link),
                "release": release,
                "files": [str(self.config)],
                "socket": "/no/such/socket",
                **arguments,
            },
            check,
        )


@pytest.fixture
def machine(run_module: Run, tmp_path: Path) -> Machine:
    return Machine(run_module, tmp_path)


def test_a_bare_machine(run_module: Run, tmp_path: Path) -> None:
    arguments = {"record": "/no/such/galaxy.json", "link": "/no/such/venv", "release": "/no/such/26.1.2-b"}
    for step in ("look", "finish"):
        result = run_module("release_change", {"step": step, **arguments}, step == "finish")
        assert (result["plan"], result["built"], result["pending"]) == ("install", False, False)
        assert not result["changed"]


def test_an_upgrade_and_the_way_back(machine: Machine) -> None:
    old, new = machine.release("25.1.3-a"), machine.release("26.1.2-b")
    machine.link.symlink_to(old)
    assert machine("look", old)["plan"] == "same"
    seen = machine("look", new)
    assert (seen["plan"], seen["serving_galaxy"], seen["built"]) == ("upgrade", "25.1.3", True)

    began = machine("begin", new, dump=str(machine.dump), revisions=["r1"], reversible=True)
    assert began["changed"]
    assert began["plan"] == "resume"
    assert began["change"]["revisions"] == ["r1"]
    (machine.config / "galaxy.ini").write_text("new")
    machine.link.unlink()
    machine.link.symlink_to(new)
    assert machine("finish", new)["plan"] == "same"

    back = machine("undo", new)
    assert (back["plan"], back["change"]["source_galaxy"]) == ("undo", "25.1.3")
    assert machine("put_back", new)["put_back"] == [str(machine.config / "galaxy.ini"), str(machine.link)]
    assert (machine.config / "galaxy.ini").read_text() == "old"
    assert os.readlink(machine.link) == old
    # A run that was cut off here does it once more.
    assert machine("put_back", new)["put_back"] == []
    machine("finish", old)
    ended = machine("look", old)
    assert (ended["plan"], ended["change"]) == ("same", {})


def test_check_mode_changes_nothing(machine: Machine) -> None:
    old, new = machine.release("25.1.3-a"), machine.release("26.1.2-b")
    machine.link.symlink_to(old)
    assert machine("begin", new, check=True, dump=str(machine.dump))["plan"] == "upgrade"
    assert not (machine.releases / "galaxy.json").exists()
    assert os.listdir(machine.dump) == ["dump.json"]


def test_releases_beyond_the_number_are_removed_at_the_end(machine: Machine) -> None:
    ancient, old, new = (machine.release(name) for name in ("24.2.4-z", "25.1.3-a", "26.1.2-b"))
    for number, path in enumerate((ancient, old, new)):
        os.utime(f"{path}/release.json", (number, number))
    machine.link.symlink_to(old)
    machine("begin", new, dump=str(machine.dump))
    machine.link.unlink()
    machine.link.symlink_to(new)
    assert machine("finish", new, keep_releases=3)["removed"] == []
    assert machine("finish", new, keep_releases=2)["removed"] == [ancient]
    assert sorted(os.listdir(machine.releases)) == ["25.1.3-a", "26.1.2-b", "galaxy.json"]


def test_a_record_that_cannot_be_read(machine: Machine) -> None:
    (machine.releases / "galaxy.json").write_text("{")
    result = machine("look", "/r")
    assert result["failed"]
    assert "The record of upgrades" in result["msg"]
