# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of files: copied, with links to what is there already, and put in the place of others."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping

CHUNK = 1024 * 1024

# Who a file belongs to: the numbers of its user and its group.
Owner = tuple[int, int]


class Copy:
    """A copy of a directory, made while others go on writing in it.

    A file that an earlier copy (``like``) has, of the same size, time, mode and owner, is a second name of the file
    there, and takes no room: as ``rsync --link-dest`` does it. The copy is its own when that one is removed.
    """

    def __init__(
        self,
        source: str,
        target: str,
        like: str = "",
        without: Collection[str] = (),
        known: Mapping[str, str] | None = None,
        owner: Callable[[Owner], Owner] = lambda owner: owner,
    ) -> None:
        self.source = source
        self.target = target
        self.sums: dict[str, str] = {}
        """SHA-256 of each file, by its path in the tree."""
        self.vanished: list[str] = []
        """What was there at first, and not when it was to be copied."""
        self._like = like
        self._without = frozenset(without)
        # Sums of the earlier copy. What it has no sum of is not linked, if there are any.
        self._known = known
        self._owner = owner
        # Files with several names, by what they are for the kernel.
        self._names: dict[tuple[int, int], str] = {}

    def needed(self) -> int:
        """Return how many bytes are to be copied."""
        files = (entry for entry in self._walk("") if stat.S_ISREG(entry[1].st_mode))
        return sum(info.st_size for path, info in files if not self._same(path, info))

    def make(self) -> None:
        """Make the copy."""
        self._directory("", os.lstat(self.source))

    def _below(self, path: str) -> list[str]:
        """Return what is in a directory, without what is left out, in order."""
        names = sorted(os.listdir(os.path.join(self.source, path)))
        paths = [os.path.join(path, name) for name in names]
        return [below for below in paths if os.path.join(self.source, below) not in self._without]

    def _walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        for below in self._below(path):
            with contextlib.suppress(FileNotFoundError):
                info = os.lstat(os.path.join(self.source, below))
                yield below, info
                if stat.S_ISDIR(info.st_mode):
                    yield from self._walk(below)

    def _directory(self, path: str, info: os.stat_result) -> None:
        paths = self._below(path)
        os.mkdir(os.path.join(self.target, path), 0o700)
        for below in paths:
            try:
                self._entry(below)
            except FileNotFoundError:
                self.vanished.append(os.path.join(self.source, below))
        self._attributes(path, info)

    def _entry(self, path: str) -> None:
        source, target = os.path.join(self.source, path), os.path.join(self.target, path)
        info = os.lstat(source)
        if stat.S_ISDIR(info.st_mode):
            self._directory(path, info)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source), target)
            os.chown(target, *self._owner((info.st_uid, info.st_gid)), follow_symlinks=False)
        elif stat.S_ISREG(info.st_mode):
            # Sockets and pipes are those of processes.
            self._file(path, info)

    def _file(self, path: str, info: os.stat_result) -> None:
        source, target = os.path.join(self.source, path), os.path.join(self.target, path)
        first = self._names.get((info.st_dev, info.st_ino))
        if first is not None:
            os.link(os.path.join(self.target, first), target)
            self.sums[path] = self.sums[first]
            return
        if self._same(path, info):
            # Another disk may be mounted there, or the file may have all the names that it can.
            with contextlib.suppress(OSError):
                os.link(os.path.join(self._like, path), target)
                self.sums[path] = (self._known or {}).get(path, "")
                return
        # What has the time of before it was read is read again the next time, if it has changed meanwhile.
        with open(source, "rb", opener=_itself) as stream:
            info = os.fstat(stream.fileno())
            with open(target, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as copy:
                digest = hashlib.sha256()
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
        try:
            self._attributes(path, info)
        except FileNotFoundError:
            os.unlink(target)
            raise
        self.sums[path] = digest.hexdigest()
        if info.st_nlink > 1:
            self._names[info.st_dev, info.st_ino] = path

    def _same(self, path: str, info: os.stat_result) -> bool:
        """Tell whether the earlier copy has a file as it is now."""
        if not self._like or (self._known is not None and path not in self._known):
            return False
        try:
            before = os.lstat(os.path.join(self._like, path))
        except OSError:
            return False
        return (before.st_size, before.st_mtime_ns, before.st_mode, before.st_uid, before.st_gid) == (
            *(info.st_size, info.st_mtime_ns, info.st_mode),
            *self._owner((info.st_uid, info.st_gid)),
        )

    def _attributes(self, path: str, info: os.stat_result) -> None:
        source, target = os.path.join(self.source, path), os.path.join(self.target, path)
        os.chown(target, *self._owner((info.st_uid, info.st_gid)))
        # Access control lists, too.
        shutil.copystat(source, target)
        os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _itself(name: str, flags: int) -> int:
    """Open a file, and not what a link leads to that has taken its place meanwhile."""
    return os.open(name, flags | os.O_NOFOLLOW)


def sum_of(path: str) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_sums(sums: Mapping[str, str]) -> bytes:
    """Return sums as ``sha256sum --check`` reads them."""
    lines = []
    for path, digest in sorted(sums.items()):
        name = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if name != path else ''}{digest}  {name}\n")
    return os.fsencode("".join(lines))


def read_sums(content: bytes) -> dict[str, str]:
    """Return sums as they were written."""
    sums = {}
    for line in os.fsdecode(content).split("\n")[:-1]:
        digest, _spaces, path = line.lstrip("\\").partition("  ")
        if line.startswith("\\"):
            path = path.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
        sums[path] = digest
    return sums


# In each tree that is put back, for root alone: what is to come, and what was there before. On the same disk, so that
# one takes the place of the other at once.
STAGE = ".restore"
NEW, BEFORE = f"{STAGE}/new", f"{STAGE}/before"


def mounts(tree: str, table: str = "/proc/self/mountinfo") -> set[str]:
    """Return the disks that are mounted below a directory."""
    with open(table, encoding="utf-8", errors="surrogateescape") as stream:
        points = [line.split()[4] for line in stream]
    # The kernel writes white space as its number.
    paths = {re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point) for point in points}
    return {path for path in paths if path.startswith(tree + "/")}


def units(tree: str, apart: Collection[str], table: str = "/proc/self/mountinfo") -> list[str]:
    """Return the paths in a tree that are put back as a whole, each in the place of what is there.

    These are the entries of the tree. What is ``apart`` is not touched, nor is a disk of its own: around it, the
    entries are those of the directories that it is in.
    """
    disks = mounts(tree, table) - set(apart)
    for disk in sorted(disks):
        if os.path.lexists(os.path.join(tree, NEW, os.path.relpath(disk, tree))):
            raise OSError(0, "is a disk of its own, which cannot be exchanged; name it in galaxy_backup_paths", disk)
    apart = {*apart, *disks}
    found: list[str] = []
    left = [""]
    while left:
        path = left.pop()
        names: set[str] = set()
        for root in (tree, os.path.join(tree, NEW)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                names.update(os.listdir(os.path.join(root, path)))
        for name in names - ({STAGE} if not path else set()):
            below = os.path.join(path, name)
            place = os.path.join(tree, below)
            if any(other.startswith(place + "/") for other in apart):
                left.append(below)
            elif place not in apart:
                found.append(below)
    return sorted(found)


def make_stage(tree: str) -> None:
    """Make room for what is to come. The tree is Galaxy's: what is there in our place may be a link to another."""
    stage = os.path.join(tree, STAGE)
    os.makedirs(tree, exist_ok=True)
    if os.path.islink(stage) or (os.path.lexists(stage) and os.lstat(stage).st_uid != os.geteuid()):
        remove(stage)
    os.makedirs(stage, 0o700, exist_ok=True)
    remove(os.path.join(tree, NEW))


def exchange(tree: str, unit: str, added: bool) -> None:
    """Put what is new in the place of what is there, and keep that. Done twice, it is as if done once.

    What was ``added`` by an earlier attempt was not there before, and is not kept.
    """
    new, place, before = (os.path.join(tree, part, unit) for part in (NEW, "", BEFORE))
    if os.path.lexists(place):
        if not added and not os.path.lexists(before):
            os.makedirs(os.path.dirname(before), 0o700, exist_ok=True)
            os.rename(place, before)
        elif os.path.lexists(new):
            remove(place)
    if os.path.lexists(new):
        _make_parents(tree, unit)
        os.rename(new, place)


def exchange_back(tree: str, unit: str, added: bool) -> None:
    """Put back what was there before."""
    place, before = os.path.join(tree, unit), os.path.join(tree, BEFORE, unit)
    if added or os.path.lexists(before):
        remove(place)
    if os.path.lexists(before):
        os.rename(before, place)


def remove(path: str) -> None:
    """Remove a file, a link, or a directory with all that is in it, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def take_owner(tree: str) -> None:
    """Give a tree the owner and the mode that it is to have, if it is there now."""
    new = os.path.join(tree, NEW)
    if os.path.isdir(new):
        _become(tree, new)


def _make_parents(tree: str, unit: str) -> None:
    """Make the directories that a path is in, as the new tree has them."""
    path = ""
    for name in os.path.dirname(unit).split("/"):
        path = os.path.join(path, name)
        place = os.path.join(tree, path)
        if path and not os.path.isdir(place):
            os.mkdir(place, 0o700)
            _become(place, os.path.join(tree, NEW, path))


def _become(path: str, model: str) -> None:
    info = os.lstat(model)
    os.chown(path, info.st_uid, info.st_gid)
    os.chmod(path, stat.S_IMODE(info.st_mode))
