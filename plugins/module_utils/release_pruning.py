# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove releases and dumps that nobody needs any more."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterable

# Seconds after which a directory that never became a release is what a build left, and not one under way.
ABANDONED = 24 * 3600


def in_use(directory: str, proc: str = "/proc") -> set[str]:
    """Return the subdirectories of a directory that a process runs from: by its files or settings."""
    prefix = directory.rstrip("/") + "/"
    found: set[str] = set()

    def note(path: str) -> None:
        if path.startswith(prefix):
            found.add(prefix + path[len(prefix) :].split("/", maxsplit=1)[0])

    for pid in filter(str.isdigit, os.listdir(proc)):
        for name in ("exe", "cwd"):
            # It may have ended meanwhile, or be the kernel's.
            with contextlib.suppress(OSError):
                note(os.readlink(f"{proc}/{pid}/{name}"))
        with contextlib.suppress(OSError), open(f"{proc}/{pid}/maps", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                # Address, permissions, offset, device, inode, and then the file, if there is one.
                note(line.rstrip("\n").split(maxsplit=5)[-1])
        with contextlib.suppress(OSError), open(f"{proc}/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
            for word in stream.read().split("\0"):
                note(word)
        with contextlib.suppress(OSError), open(f"{proc}/{pid}/environ", encoding="utf-8", errors="replace") as stream:
            for word in stream.read().split("\0"):
                if word.startswith("VIRTUAL_ENV="):
                    note(word.partition("=")[2])
    return found


def superfluous(directory: str, keep: int, needed: Collection[str], now: float | None = None) -> list[str]:
    """Return the releases in a directory beyond the number to keep. Those that are needed count, and always stay."""
    now = time.time() if now is None else now
    finished: list[tuple[float, str]] = []
    left: list[str] = []
    for entry in os.scandir(directory):
        if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            finished.append((os.stat(f"{entry.path}/release.json").st_mtime, entry.path))
        except FileNotFoundError:
            if entry.path not in needed and now - entry.stat().st_mtime > ABANDONED:
                left.append(entry.path)
    room = keep - sum(path in needed for _time, path in finished)
    others = [path for _time, path in sorted(finished, reverse=True) if path not in needed]
    return sorted(left + others[max(room, 0) :])


def remove(releases: Iterable[str]) -> list[str]:
    """Remove releases. The mark goes first: a release of which a part is missing is never taken for a whole one."""
    removed = []
    for release in releases:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{release}/release.json")
        shutil.rmtree(release, ignore_errors=True)
        removed.append(release)
    return removed
