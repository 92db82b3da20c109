# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import release_change
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import Change, Record

OLD, NEW, NEXT = "/releases/25.1.3-a", "/releases/26.1.2-b", "/releases/26.1.3-c"


@pytest.mark.parametrize(
    "change, link, target, plan",
    [
        (None, None, NEW, "install"),
        (None, NEW, NEW, "same"),
        (None, OLD, NEW, "upgrade"),
        # An earlier run was cut off, before the link was switched and after that.
        (Change(OLD, NEW), OLD, NEW, "resume"),
        (Change(OLD, NEW), NEW, NEW, "resume"),
        # Since then another release is wanted.
        (Change(OLD, NEW), OLD, OLD, "undo"),
        (Change(OLD, NEW), NEW, OLD, "undo"),
        (Change(OLD, NEW), OLD, NEXT, "undo"),
        (Change(OLD, NEW), NEW, NEXT, "upgrade"),
        # It was cut off on its way back.
        (Change(OLD, NEW, stage="undoing"), NEW, NEW, "undo"),
        (Change(OLD, NEW, stage="undoing"), OLD, OLD, "undo"),
    ],
)
def test_plan(change: Change | None, link: str | None, target: str, plan: str) -> None:
    assert release_change.plan(Record(change), link, target) == plan


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "galaxy.json"
    assert release_change.read(str(path)) == Record()
    record = Record(Change(OLD, NEW, ["r1"], "/dump", "/dump/files", True, ["galaxy"]), [Change("/a", OLD)])
    release_change.write(str(path), record)
    assert release_change.read(str(path)) == record
    assert os.listdir(tmp_path) == ["galaxy.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_is_finished_can_be_undone(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    record = Record()
    release_change.begin(record, Change(str(old), NEW))
    release_change.finish(record)
    assert record.change is None
    assert release_change.previous(record, NEW) == record.past[0]
    release_change.undo(record, NEW)
    assert record.change
    assert record.change.stage == "undoing"
    # What was undone is no history.
    release_change.finish(record)
    assert record == Record()


def test_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    record = Record(None, [Change(str(tmp_path / "removed"), NEW)])
    assert release_change.previous(record, NEW) is None
    # Another release serves than the one that the change brought.
    (tmp_path / "removed").mkdir()
    assert release_change.previous(record, NEXT) is None
    release_change.undo(record, NEXT)
    assert record.change is None


def test_a_change_that_builds_on_another_makes_that_one_past() -> None:
    record = Record(Change(OLD, NEW))
    release_change.begin(record, Change(NEW, NEXT))
    assert [(change.source, change.target) for change in record.past] == [(OLD, NEW)]


def test_releases_of_every_instance_are_mentioned(tmp_path: Path) -> None:
    mine, other = tmp_path / "galaxy.json", tmp_path / "other.json"
    release_change.write(str(mine), Record(None, [Change("/1", "/2"), Change("/2", "/3")]))
    release_change.write(str(other), Record(Change("/4", "/5")))
    (tmp_path / "broken.json").write_text("no JSON")
    assert release_change.mentioned(str(mine)) == {"/2", "/3", "/4", "/5"}


def test_a_link_is_switched(tmp_path: Path) -> None:
    link = tmp_path / "venv"
    assert release_change.linked(str(link)) is None
    for release in ("/a", "/b", "/b"):
        release_change.link_to(str(link), release)
        assert release_change.linked(str(link)) == release
    assert os.listdir(tmp_path) == ["venv"]


def test_versions_and_what_a_task_is_told(tmp_path: Path) -> None:
    old, new = tmp_path / "25.1.3-a", tmp_path / "26.1.2-b"
    old.mkdir()
    (old / "release.json").write_text(json.dumps({"galaxy": "25.1.3"}))
    told = release_change.describe(Record(Change(str(old), str(new))), str(old), str(new))
    assert told["plan"] == "resume"
    assert told["pending"]
    assert told["serving_galaxy"] == "25.1.3"
    assert told["change"]["target_galaxy"] == "26.1.2"
    assert release_change.describe(Record(), None, str(new))["change"] == {}
