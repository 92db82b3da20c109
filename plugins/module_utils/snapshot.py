# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they were, to be put back as they were."""

from __future__ import annotations

import contextlib
import grp
import io
import os
import pwd
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


def put_back(content: bytes, paths: Iterable[str], others: bool = True) -> list[str]:
    """Put files and links back as an archive has them, and return those that differed.

    Those that are as they were are not touched: what was started with them need not be started again. Of the
    ``paths``, a file or link that has come since is removed; what has come in a directory stays. Without ``others``,
    only what is at these paths is put back, and nothing removed.
    """
    changed = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = [
            member
            for member in archive.getmembers()
            if others or any(f"/{member.name}/".startswith(f"{path}/") for path in paths)
        ]
        for member in members:
            path = f"/{member.name}"
            owner = _owner(member)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                differs = _attributes(path) != (member.mode, *owner)
                if differs:
                    os.chown(path, *owner)
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
                differs = _read(path) != wanted or _attributes(path) != (member.mode, *owner)
                if differs:
                    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
                    replace(path, wanted, member.mode, owner)
            if differs:
                changed.append(path)
    known = {f"/{member.name}" for member in members}
    for path in paths if others else ():
        if path not in known and os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            os.unlink(path)
            changed.append(path)
    return changed


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    """Return the owner by its names: on another machine, they may have other numbers."""
    user, group = member.uid, member.gid
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam(member.uname).pw_uid
    with contextlib.suppress(KeyError):
        group = grp.getgrnam(member.gname).gr_gid
    return user, group


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
