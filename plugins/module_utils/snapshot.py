# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they were, to be put back as they were."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable

from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import linked, replace


def pack(paths: Iterable[str]) -> bytes:
    """Return the files, links and directories at some paths as an archive. What is not there is left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in paths:
            if os.path.lexists(path):
                archive.add(path, arcname=path.lstrip("/"), filter=_wanted)
    return buffer.getvalue()


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("/__pycache__") else member


def put_back(content: bytes, paths: Iterable[str]) -> list[str]:
    """Put files and links back as an archive has them, and return those that differed.

    Those that are as they were are not touched: what was started with them need not be started again. Of the
    ``paths``, a file or link that has come since is removed; what has come in a directory stays.
    """
    changed = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = archive.getmembers()
        for member in members:
            path = f"/{member.name}"
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                differs = _attributes(path) != (member.mode, member.uid, member.gid)
                if differs:
                    os.chown(path, member.uid, member.gid)
                    os.chmod(path, member.mode)
            elif member.issym():
                differs = linked(path) != member.linkname
                if differs:
                    temporary = f"{path}.{os.getpid()}.new"
                    os.symlink(member.linkname, temporary)
                    os.rename(temporary, path)
            else:
                stream = archive.extractfile(member)
                wanted = stream.read() if stream else b""
                differs = _read(path) != wanted or _attributes(path) != (member.mode, member.uid, member.gid)
                if differs:
                    replace(path, wanted, member.mode, (member.uid, member.gid))
            if differs:
                changed.append(path)
    known = {f"/{member.name}" for member in members}
    for path in paths:
        if path not in known and os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            os.unlink(path)
            changed.append(path)
    return changed


def _attributes(path: str) -> tuple[int, int, int]:
    info = os.lstat(path)
    return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid


def _read(path: str) -> bytes | None:
    try:
        if os.path.islink(path):
            return None
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
