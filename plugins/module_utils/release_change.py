# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of upgrades: which release is changed to which, how far that has come, and what it takes to undo it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

# How far a change has come. Before the first of them nothing that serves has been touched, and there is no record.
CHANGING, UNDOING, DONE = "changing", "undoing", "done"


@dataclass
class Change:
    """A change from one release to another."""

    source: str
    """Directory of the release that served before."""
    target: str
    """Directory of the release that is to serve."""
    revisions: list[str] = field(default_factory=list)
    """Revisions of the database before."""
    dump: str = ""
    """Dump of the database before; empty if there is none."""
    snapshot: str = ""
    """The files before."""
    reversible: bool | None = None
    """Whether the migration can be run backwards, as the trial has seen it."""
    programs: list[str] = field(default_factory=list)
    """Programs that ran before."""
    stage: str = CHANGING
    began: float = field(default_factory=time.time)


@dataclass
class Record:
    """What is under way, and what has been done, the latest last."""

    change: Change | None = None
    past: list[Change] = field(default_factory=list)


def read(path: str) -> Record:
    """Return the record; an empty one if there is none yet."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = json.load(stream)
    except FileNotFoundError:
        return Record()
    change = text.get("change")
    return Record(Change(**change) if change else None, [Change(**item) for item in text.get("past", [])])


def write(path: str, record: Record) -> None:
    """Write the record, so that it is whole whenever the machine stops."""
    replace(path, (json.dumps(asdict(record), indent=2) + "\n").encode())


def replace(path: str, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file in the place of another, at once, and on the disk when this returns."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(content)
        if owner:
            os.fchown(stream.fileno(), *owner)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def linked(link: str) -> str | None:
    """Return the release that a link leads to, or None if there is no link."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def link_to(link: str, release: str) -> None:
    """Have a link lead to a release. There is no moment without the link."""
    if linked(link) != release:
        temporary = f"{link}.{os.getpid()}.new"
        os.symlink(release, temporary)
        os.rename(temporary, link)
        sync_directory(os.path.dirname(link))


def plan(record: Record, link: str | None, target: str) -> str:
    """Tell what a run has to do that is to end with a release serving.

    ``install``: there is none yet. ``same``: it serves. ``upgrade``: another serves. ``resume``: an earlier run has
    proved it, and was cut off after that. ``undo``: an earlier run was cut off on the way to another release, or back
    from one; that comes first.
    """
    if link is None:
        return "install"
    change = record.change
    if change:
        if change.stage == UNDOING:
            return "undo"
        if change.target == target:
            return "resume"
        # Where the link leads to another release, the run was cut off before it came to the proof, and nobody has
        # wanted it back: the next release is built upon it.
        if change.source in (link, target):
            return "undo"
    return "same" if link == target else "upgrade"


def begin(record: Record, change: Change) -> None:
    """Note that from here on things are touched that serve."""
    if record.change:
        record.past.append(record.change)
    record.change = change


def undo(record: Record, link: str | None) -> None:
    """Note that what is under way, or else the last change, is to be undone."""
    if record.change is None and previous(record, link):
        record.change = record.past.pop()
    if record.change:
        record.change.stage = UNDOING


def finish(record: Record) -> None:
    """Note that what was under way has come to its end. What was undone is as if it had never been."""
    change, record.change = record.change, None
    if change and change.stage != UNDOING:
        change.stage = DONE
        record.past.append(change)


def previous(record: Record, link: str | None) -> Change | None:
    """Return the change that a rollback undoes: that which brought the release that serves."""
    last = record.change or (record.past[-1] if record.past else None)
    return last if last and link in (last.target, last.source) and os.path.isdir(last.source) else None


def version_of(release: str) -> str:
    """Return the number of a release."""
    with (
        contextlib.suppress(OSError, ValueError, KeyError),
        open(f"{release}/release.json", encoding="utf-8") as stream,
    ):
        return str(json.load(stream)["galaxy"])
    return os.path.basename(release).rpartition("-")[0] or os.path.basename(release)


def mentioned(path: str) -> set[str]:
    """Return every release that the records beside this one name: those of other instances, too."""
    directory = os.path.dirname(path)
    found: set[str] = set()
    for name in os.listdir(directory):
        if not name.endswith(".json"):
            continue
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            record = read(os.path.join(directory, name))
            latest = record.past[-1:] + ([record.change] if record.change else [])
            found.update(item for change in latest for item in (change.source, change.target))
    return found


def describe(record: Record, link: str | None, target: str) -> dict[str, Any]:
    """Return what a task wants to know."""
    change = record.change or previous(record, link)
    return {
        "plan": plan(record, link, target),
        "serving": link or "",
        "serving_galaxy": version_of(link) if link else "",
        "target_galaxy": version_of(target),
        "change": {
            **asdict(change),
            "source_galaxy": version_of(change.source),
            "target_galaxy": version_of(change.target),
        }
        if change
        else {},
        "pending": record.change is not None,
    }
