# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools of the administrator's own: galaxy_local_tools, as galaxyproject.galaxy has it."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain, shown

VARIABLE = "galaxy_local_tools"
KEYS = ("file", "section_name", "section_id")
# The section of a tool for which none is given.
SECTION = "Local Tools"

Tool = dict[str, str]


def local_tools(given: t.Any) -> list[Tool]:
    """Return the tools, each a file or a directory below galaxy_local_tools_src_dir, and the section that shows it.

    :param given: names, or dictionaries with the keys file, section_name and section_id
    :raises InputError: if one of them is something else
    """
    given = plain(given or [])
    if not isinstance(given, list):
        raise InputError(f"{VARIABLE}: {shown(given)}: has to be a list of files and directories")
    return [_tool(f"{VARIABLE}[{number}]", entry) for number, entry in enumerate(given)]


def _tool(where: str, entry: t.Any) -> Tool:
    entry = {"file": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str) or not entry["file"]:
        raise InputError(f"{where}: {shown(entry)}: has to be the name of a file, or a dictionary with the key file")
    unknown = sorted(str(key) for key in entry if key not in KEYS)
    if unknown:
        raise InputError(f"{where}: {', '.join(unknown)}: the keys are {', '.join(KEYS)}")
    file = entry["file"].rstrip("/")
    if file.startswith("/") or not file or any(part in ("", ".", "..") for part in file.split("/")):
        raise InputError(f"{where}: {shown(entry['file'])}: has to be a path below galaxy_local_tools_src_dir")
    name = str(entry.get("section_name") or SECTION)
    if not all(str(value).isprintable() for value in entry.values()):
        raise InputError(f"{where}: {shown(entry)}: may hold no line break or other control character")
    identifier = str(entry.get("section_id") or re.sub(r"\W+", "_", name.lower()))
    return {"file": file, "section_name": name, "section_id": identifier}
