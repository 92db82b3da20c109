# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of an instance: its database, its configuration with the secrets, and its data, made while it serves.

Each is a directory with ``backup.json``, which says what it is of, ``SHA256SUMS`` of all its files, ``galaxy.dump``,
``files.tar.gz``, and the data below ``trees``. A file that has not changed since the backup before is shared with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps, snapshot, trees
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, require_room
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import replace, sync_directory
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

MANIFEST, SUMS, FILES, TREES = "backup.json", "SHA256SUMS", "files.tar.gz", "trees"

# What was there when the database was dumped, and is no longer when its file is copied.
PURGED = "SELECT id FROM dataset WHERE purged AND update_time >= 'BEGAN' ORDER BY id"


class BackupError(InputError):
    """There is no such backup, or it is not whole, or not of this; the message says why."""


@dataclass
class Instance:
    """What a backup is made of."""

    databases: Sequence[Database]
    files: Sequence[str]
    """Files and directories of the configuration. They are kept with the names of their owners."""
    data: Sequence[str]
    """Directories of data. One may lie in another."""
    without: Sequence[str] = ()
    """What is left out of them, because it is made again."""
    left: Sequence[str] = ()
    """What is left out of them, and left alone when the backup is put back."""
    facts: dict[str, Any] = field(default_factory=dict)


def make(directory: str, instance: Instance) -> tuple[str, dict[str, Any]]:
    """Make a backup, and return where it is, and what it says of itself.

    The database is read first, as it is at one moment. A dataset that it knows has its file by then, which is written
    once; what is purged before it is copied is named. The backup gets its name when all is in it, and on the disk.
    """
    for name in os.listdir(directory):
        if name.startswith(".new-"):
            shutil.rmtree(os.path.join(directory, name))
    temporary = os.path.join(directory, f".new-{os.getpid()}")
    copies = _copies(directory, temporary, instance)
    needed = sum(database.size() for database in instance.databases) + sum(copy.needed() for copy in copies)
    require_room(directory, needed, "the backup (galaxy_backup_dir)")
    os.mkdir(temporary, 0o700)
    try:
        manifest = _fill(temporary, instance, copies)
        # Hundreds of thousands of files, perhaps: all at once.
        os.sync()
        target = os.path.join(directory, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(manifest["time"])))
        os.rename(temporary, target)
        sync_directory(directory)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    return target, manifest


def _copies(directory: str, temporary: str, instance: Instance) -> list[trees.Copy]:
    """Return how each directory of data is copied, one before those that lie in it."""
    before = (find(directory)[-1:] or [""])[0]
    # Its own place, too, wherever that is.
    without = {directory, *instance.without, *instance.left, *instance.data, *_database_files(instance.databases)}
    known: dict[str, str] = {}
    # Without them, nothing is shared with it.
    with contextlib.suppress(OSError):
        known = trees.read_sums(_read(before, SUMS)) if before else {}
    result = []
    for tree in sorted(filter(os.path.isdir, instance.data)):
        prefix = f"{TREES}{tree}/"
        result.append(
            trees.Copy(
                source=tree,
                target=place(temporary, tree),
                like=place(before, tree) if before else "",
                without=without,
                known={path[len(prefix) :]: digest for path, digest in known.items() if path.startswith(prefix)},
            )
        )
    return result


def _database_files(databases: Iterable[Database]) -> list[str]:
    return [
        f"{database.name}{suffix}"
        for database in databases
        if not database.is_postgresql
        for suffix in ("", "-journal", "-shm", "-wal")
    ]


def _fill(temporary: str, instance: Instance, copies: Sequence[trees.Copy]) -> dict[str, Any]:
    first = instance.databases[0]
    began = time.time()
    moment = first.ask("SELECT now() AT TIME ZONE 'utc'") if first.is_postgresql else ""
    dumps.write(temporary, instance.databases)
    replace(os.path.join(temporary, FILES), snapshot.pack(instance.files))
    sums = {name: trees.sum_of(os.path.join(temporary, name)) for name in sorted(os.listdir(temporary))}
    for copy in copies:
        os.makedirs(os.path.dirname(copy.target), 0o700, exist_ok=True)
        copy.make()
        sums.update({f"{TREES}{copy.source}/{path}": digest for path, digest in copy.sums.items()})
    content = trees.write_sums(sums)
    replace(os.path.join(temporary, SUMS), content)
    manifest = {
        **instance.facts,
        "time": began,
        "revisions": sorted({revision for database in instance.databases for revision in database.revisions()}),
        "databases": [database.name for database in instance.databases],
        "trees": [{"path": copy.source, "owner": _owner(copy.source)} for copy in copies],
        "without": sorted(instance.without),
        "left": sorted(instance.left),
        "files": len(sums),
        "vanished": sorted(path for copy in copies for path in copy.vanished),
        "purged": first.ask(PURGED.replace("BEGAN", moment)).split() if moment else [],
        "sums": hashlib.sha256(content).hexdigest(),
    }
    # Last: whatever has it has all the rest.
    replace(os.path.join(temporary, MANIFEST), (json.dumps(manifest, indent=2) + "\n").encode())
    return manifest


def _owner(path: str) -> trees.Owner:
    info = os.stat(path)
    return info.st_uid, info.st_gid


def place(backup: str, tree: str) -> str:
    """Return where a backup has a directory of data."""
    return f"{backup}/{TREES}{tree}"


def find(directory: str) -> list[str]:
    """Return the backups in a directory, the latest last."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(
            entry.path
            for entry in os.scandir(directory)
            if not entry.name.startswith(".") and os.path.exists(os.path.join(entry.path, MANIFEST))
        )
    return []


def prune(directory: str, keep: int) -> list[str]:
    """Remove the oldest backups beyond the number to keep."""
    removed = find(directory)[:-keep]
    for path in removed:
        # What is left of one is never taken for a whole one.
        os.unlink(os.path.join(path, MANIFEST))
        shutil.rmtree(path)
    return removed


def choose(directory: str, name: str) -> str:
    """Return the backup of a name, or the latest."""
    found = find(directory)
    if not found:
        raise BackupError(f"{directory} (galaxy_backup_dir) has no backup in it")
    if name == "latest":
        return found[-1]
    path = os.path.join(directory, name)
    if path not in found:
        there = ", ".join(os.path.basename(item) for item in found)
        raise BackupError(
            f"{directory} (galaxy_backup_dir) has no whole backup {name} (galaxy_restore) in it, but {there}"
        )
    return path


def read(backup: str) -> dict[str, Any]:
    """Return what a backup says of itself."""
    try:
        manifest: dict[str, Any] = json.loads(_read(backup, MANIFEST))
    except (OSError, ValueError) as error:
        raise BackupError(f"{backup}/{MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or not {"instance", "galaxy", "trees", "left", "sums"} <= manifest.keys():
        raise BackupError(f"{backup}/{MANIFEST} does not say what a backup says of itself")
    return manifest


def verify(backup: str) -> None:
    """Fail unless each file of a backup is there, and is what it was."""
    manifest = read(backup)
    content = _read(backup, SUMS)
    if hashlib.sha256(content).hexdigest() != manifest["sums"]:
        raise BackupError(f"{backup} is damaged: {SUMS} is not the one that {MANIFEST} tells of")
    wrong = []
    for path, digest in trees.read_sums(content).items():
        try:
            good = trees.sum_of(os.path.join(backup, path)) == digest
        except OSError:
            good = False
        if not good:
            wrong.append(path)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise BackupError(f"{backup} is damaged: {', '.join(wrong[:3])}{more}")
    for tree in manifest["trees"]:
        # All that is not root's would have to be guessed.
        if list(_owner(place(backup, tree["path"]))) != list(tree["owner"]):
            raise BackupError(f"{backup} has lost the owners of its files; copy it as root, with rsync -aH")


def check(manifest: dict[str, Any], instance: str, release: str, data: Sequence[str]) -> None:
    """Fail unless a backup is one of an instance, and of a release."""
    if manifest["instance"] != instance:
        raise BackupError(f"it is of the instance {manifest['instance']}, and not of {instance} (galaxy_instance_name)")
    if manifest["galaxy"] != release:
        raise BackupError(
            f"it is of Galaxy {manifest['galaxy']}, and galaxy_release is {release}; set galaxy_release:"
            f" {manifest['galaxy']}, and upgrade when it has been put back"
        )
    foreign = [tree["path"] for tree in manifest["trees"] if tree["path"] not in data]
    if foreign:
        raise BackupError(f"it has data of {', '.join(foreign)}, and this instance has its own in {', '.join(data)}")


def _read(backup: str, name: str) -> bytes:
    with open(os.path.join(backup, name), "rb") as stream:
        return stream.read()
