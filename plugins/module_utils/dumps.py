# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of Galaxy's databases, each paired with the release that it belongs to."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import (
    Database,
    DatabaseError,
    require_room,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import replace, sync_directory

# One run at a time dumps, tries and restores.
LOCK = ".lock"
LONGEST_WAIT = 1800


@contextlib.contextmanager
def alone(directory: str, longest_wait: float = LONGEST_WAIT) -> Iterator[None]:
    """Keep others out: what an earlier run has started, and was not there to see end, may still be at it."""
    with open(os.path.join(directory, LOCK), "a", encoding="utf-8") as stream:
        deadline = time.monotonic() + longest_wait
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise DatabaseError(f"another run has been at it for {longest_wait:.0f} s") from None
                time.sleep(0.5)
        yield


def make(directory: str, databases: Sequence[Database], facts: dict[str, Any]) -> str:
    """Dump some databases, and return where that is: a directory with a dump of each, and ``dump.json``.

    It takes its name when all is in it, and on the disk.
    """
    require_room(directory, sum(database.size() for database in databases), "the dump (galaxy_dump_dir)")
    for name in os.listdir(directory):
        if name.startswith(".new-"):
            _remove(os.path.join(directory, name))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = os.path.join(directory, f"{stamp}-{os.path.basename(facts['release'])}")
    temporary = os.path.join(directory, f".new-{os.getpid()}")
    os.mkdir(temporary, 0o700)
    try:
        write(temporary, databases)
        replace(os.path.join(temporary, "dump.json"), (json.dumps(facts, indent=2) + "\n").encode())
        sync_directory(temporary)
        os.rename(temporary, target)
        sync_directory(directory)
    except BaseException:
        _remove(temporary)
        raise
    return target


def write(directory: str, databases: Sequence[Database]) -> None:
    """Write a dump of each database into a directory, and onto the disk."""
    for number, database in enumerate(databases):
        with open(file_of(directory, number), "wb", opener=_private) as stream:
            database.dump(stream)
            stream.flush()
            os.fsync(stream.fileno())


def restore(dump: str, databases: Sequence[Database]) -> None:
    """Put databases back as a dump has them."""
    for number, database in enumerate(databases):
        database.restore(file_of(dump, number))


def prune(directory: str, keep: int, needed: Sequence[str]) -> list[str]:
    """Remove the oldest dumps beyond the number to keep, but none that is needed."""
    dumps = sorted(entry.path for entry in os.scandir(directory) if os.path.exists(f"{entry.path}/dump.json"))
    room = max(keep - sum(path in needed for path in dumps), 0)
    others = [path for path in dumps if path not in needed]
    removed = others[: len(others) - room] if room else others
    for path in removed:
        _remove(path)
    return removed


def file_of(dump: str, number: int) -> str:
    """Return the file of one of the databases: Galaxy's own, and that of the tools that it has installed."""
    return os.path.join(dump, ("galaxy.dump", "install.dump")[number])


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _remove(dump: str) -> None:
    """Remove a dump. Its description goes first: what is left of one is never taken for a whole one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(dump, "dump.json"))
    for name in os.listdir(dump):
        os.unlink(os.path.join(dump, name))
    os.rmdir(dump)
