# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a backup back: laid out beside what is there, exchanged for it, and kept or undone when that has been proved."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils import backups, dumps, snapshot, trees
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, require_room
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import replace


@dataclass
class Restore:
    """What has been exchanged, and what was there before."""

    backup: str
    trees: list[str]
    dump: str = ""
    """The database and the files of before, a dump; empty if there was nothing."""
    files: list[str] = field(default_factory=list)
    """Files and directories of the configuration that are put back."""
    units: list[list[str]] = field(default_factory=list)
    """What is exchanged, each as its tree and its path in it."""
    added: list[list[str]] = field(default_factory=list)
    """Those of them that were not there before."""
    proved: bool = False
    """Whether only what is no longer needed is left to be removed."""


def read(record: str) -> Restore | None:
    """Return what is under way, if anything is."""
    try:
        with open(record, encoding="utf-8") as stream:
            return Restore(**json.load(stream))
    except FileNotFoundError:
        return None


def pending(record: str) -> Restore | None:
    """Return what is under way, and has not been proved."""
    restore = read(record)
    return restore if restore and not restore.proved else None


def _write(record: str, restore: Restore) -> None:
    replace(record, (json.dumps(asdict(restore), indent=2) + "\n").encode())


def stage(backup: str, record: str, owner: trees.Owner) -> None:
    """Lay the data of a backup out beside those that are there. Nothing that serves is touched.

    Galaxy's user may have another number here.
    """
    restore = read(record)
    if restore and restore.proved:
        finish(record)
    manifest = backups.read(backup)
    paths = [tree["path"] for tree in manifest["trees"]]
    try:
        for tree in manifest["trees"]:
            path = tree["path"]
            copy = trees.Copy(
                backups.place(backup, path),
                os.path.join(path, trees.NEW),
                like=path,
                # A tree that lies in this one.
                without=[backups.place(backup, other) for other in paths],
                owner=_renumbered(tree["owner"], owner),
            )
            trees.make_stage(path)
            require_room(path, copy.needed(), "what is put back")
            copy.make()
            trees.units(path, _apart(manifest, paths))
        os.sync()
    except BaseException:
        for path in paths:
            trees.remove(os.path.join(path, trees.NEW))
        raise


def _apart(manifest: dict[str, Any], paths: Sequence[str]) -> set[str]:
    return {*manifest["left"], *paths}


def _renumbered(before: Sequence[int], after: trees.Owner) -> Any:
    users, groups = {before[0]: after[0]}, {before[1]: after[1]}
    return lambda owner: (users.get(owner[0], owner[0]), groups.get(owner[1], owner[1]))


def change(
    backup: str,
    record: str,
    databases: Sequence[Database],
    files: Sequence[str],
    missing: Sequence[str],
    directory: str,
    facts: dict[str, Any],
) -> Restore:
    """Exchange what is there for what a backup has. Whatever this was cut off at, it can be done again.

    Files that may be ``missing`` are only put back if they are.
    """
    manifest = backups.read(backup)
    restore = pending(record)
    if restore is None:
        restore = Restore(backup, [])
        if any(database.revisions() for database in databases):
            restore.dump = dumps.make(directory, databases, facts)
            replace(os.path.join(restore.dump, backups.FILES), snapshot.pack(files))
    restore.backup = backup
    restore.files = sorted({*restore.files, *files, *(path for path in missing if not os.path.lexists(path))})
    restore.trees = sorted({*restore.trees, *(tree["path"] for tree in manifest["trees"])})
    apart = _apart(manifest, restore.trees)
    for tree in restore.trees:
        for unit in trees.units(tree, apart):
            if [tree, unit] not in restore.units:
                restore.units.append([tree, unit])
                if not os.path.lexists(os.path.join(tree, unit)):
                    restore.added.append([tree, unit])
    _write(record, restore)
    for tree, unit in restore.units:
        trees.exchange(tree, unit, [tree, unit] in restore.added)
    for tree in restore.trees:
        trees.take_owner(tree)
    with open(os.path.join(backup, backups.FILES), "rb") as stream:
        snapshot.put_back(stream.read(), restore.files, others=False)
    dumps.restore(backup, databases)
    return restore


def undo(record: str, databases: Sequence[Database]) -> bool:
    """Put back what was there before, if anything was, and tell whether it was."""
    restore = pending(record)
    if restore is None or not restore.dump:
        return False
    for tree, unit in restore.units:
        trees.exchange_back(tree, unit, [tree, unit] in restore.added)
    with open(os.path.join(restore.dump, backups.FILES), "rb") as stream:
        snapshot.put_back(stream.read(), restore.files)
    dumps.restore(restore.dump, databases)
    _end(record, restore)
    return True


def finish(record: str) -> bool:
    """Remove what was there before, which nobody needs any more. The dump of the database stays, as others do."""
    restore = read(record)
    if restore is None:
        return False
    restore.proved = True
    _write(record, restore)
    _end(record, restore)
    return True


def _end(record: str, restore: Restore) -> None:
    for tree in restore.trees:
        trees.remove(os.path.join(tree, trees.STAGE))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record)
