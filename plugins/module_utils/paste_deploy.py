# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""galaxy.ini: merging its sections, and rendering them for its three readers.

The readers are Galaxy (a strict configparser that lowers the case of keys), PasteDeploy (a strict
configparser that does not) and uWSGI (a reader of its own, in C). What they have in common:

- ``%%`` is a percent sign in each. uWSGI replaces ``%x`` for any x *in the whole file*, other sections
  and comments included, so that each percent sign is doubled everywhere.
- A key given twice is an error in the strict parsers, wherever it stands. For them an indented line
  goes on with the value of the line before; for uWSGI it is a line like any other. So an option that
  uWSGI is to see several times is written once, and again on indented lines.
- uWSGI takes every line that begins with ``[`` for a section, indented or not. No line of a value may
  begin like that.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import (
    ALIASES,
    OPTION_NAME,
    ConfigFileError,
    check_text,
    exported_text,
    hidden_triggers,
    is_alive,
    pairs,
    scalar,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import PlainValueError, plain, shown

APP_SECTION = "app:main"
UWSGI_SECTION = "uwsgi"

# In galaxy.yml the section is called galaxy; PasteDeploy wants it as app:main.
SECTION_ALIASES = {"galaxy": APP_SECTION}

# What stands first in the file, in this order. Everything else follows as given.
FIRST_SECTIONS = (UWSGI_SECTION, APP_SECTION)

SECTION_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/ -]*[A-Za-z0-9_])?")
# PasteDeploy has "set debug" and "get x"; its URL maps have paths as keys.
KEY_NAME = re.compile(r"(?:(?:set|get) )?[A-Za-z0-9_/][A-Za-z0-9_./-]*")


def _where(section: str, key: str | None = None) -> str:
    return f"galaxy.ini [{section}]" if key is None else f"galaxy.ini [{section}] {key}"


# --- Merging -------------------------------------------------------------------------------------


def _sections(sections: t.Any, name: str) -> dict[str, dict[str, t.Any]]:
    """Return the sections as plain dictionaries, under their names in galaxy.ini."""
    sections = plain(sections)
    if sections is None or sections == "":
        return {}
    if not isinstance(sections, dict):
        raise ConfigFileError(f"{name}: {shown(sections)} is not a dictionary of sections by name")
    result: dict[str, dict[str, t.Any]] = {}
    given: dict[str, str] = {}
    for section, options in sections.items():
        if not isinstance(section, str):
            raise ConfigFileError(f"{name}: the section name {shown(section)} is not a string; quote it")
        if options is not None and not isinstance(options, dict):
            raise ConfigFileError(f"{name}: section {section} is {shown(options)}; it has to be a dictionary")
        target = SECTION_ALIASES.get(section, section)
        merged = result.setdefault(target, {})
        for given_key, value in (options or {}).items():
            key = ALIASES.get(given_key, given_key) if target == UWSGI_SECTION else given_key
            if not isinstance(key, str):
                raise ConfigFileError(
                    f"{name}: section {section}, key {shown(key)}: not a string; quote it (YAML reads a bare"
                    " yes, no, on, off or number as something else)"
                )
            if key in merged and merged[key] != value:
                raise ConfigFileError(
                    f"{name}: section {section}, key {given_key}: also given with another value,"
                    f" {_as_what(section, given.get(target), key)}; give it once"
                )
            merged[key] = value
        given[target] = section
    return result


def _as_what(section: str, other: str | None, key: str) -> str:
    """Say under which other name a key was given before."""
    return f"in section {other}, which is the same" if other and other != section else f"as {key}, which is the same"


def combine_sections(defaults: t.Any, *layers: t.Any, name: str = "galaxy_config") -> dict[str, dict[str, t.Any]]:
    """Merge sections of galaxy.ini, key by key; later layers win.

    A key whose value is None in a later layer is removed. Values are replaced as a whole, lists too.
    """
    result = _sections(defaults, "the defaults")
    for layer in layers:
        for section, options in _sections(layer, name).items():
            merged = result.setdefault(section, {})
            for key, value in options.items():
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
    return result


# --- Rendering -----------------------------------------------------------------------------------


def _galaxy_value(value: t.Any, section: str, key: str) -> list[str]:
    """Return the lines of a value in a section that Galaxy or PasteDeploy reads."""
    where = _where(section)
    if isinstance(value, list):
        items = [scalar("" if item is None else item, where, key) for item in value]
        for item in items:
            check_text(item, where, key)
            if "," in item or "\n" in item or (not item and len(items) > 1):
                raise ConfigFileError(
                    f"{_where(section, key)}: {shown(item, key)}: the items of a list are joined by commas, so that"
                    " none may be empty or contain a comma or a line break"
                )
        return [",".join(items)]
    # A block scalar of YAML ends with a line break that nobody meant to be part of the value.
    text = scalar(value, where, key).rstrip("\n")
    check_text(text, where, key)
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line != line.rstrip() or (number and line != line.lstrip()):
            raise ConfigFileError(
                f"{_where(section, key)}: {shown(line, key)}: a line of a value begins or ends with white space,"
                " which INI files do not keep"
            )
        if number and line.startswith(("#", ";", "[")):
            raise ConfigFileError(
                f"{_where(section, key)}: {shown(line, key)}: a line of a value begins with {line[0]}, which a"
                " reader of the file would take for a " + ("section" if line[0] == "[" else "comment")
            )
    return lines


def _uwsgi_lines(options: Mapping[str, t.Any], placeholders: bool | Collection[str]) -> list[str]:
    where = _where(UWSGI_SECTION)
    lines: list[str] = []
    texts: list[str] = []
    last = ""
    for key, value in pairs(options, where):
        alive = is_alive(key, placeholders)
        texts.append(exported_text(value, key, options, alive, where))
        text = texts[-1] if alive else texts[-1].replace("%", "%%")
        lines.append(("    " if key == last else "") + f"{key} = {text}".rstrip())
        last = key
    helpers = [f"set-placeholder = {name}={char}" for name, char in hidden_triggers(texts)]
    if helpers and "set-placeholder" in options:
        # The key is there already: go on where it ends, on indented lines.
        end = max(number for number, line in enumerate(lines) if line.lstrip().startswith("set-placeholder ="))
        return lines[: end + 1] + ["    " + line for line in helpers] + lines[end + 1 :]
    return [("    " if number else "") + line for number, line in enumerate(helpers)] + lines


def _section_lines(section: str, options: Mapping[str, t.Any], placeholders: bool | Collection[str]) -> list[str]:
    if not SECTION_NAME.fullmatch(section):
        raise ConfigFileError(f"galaxy.ini: {shown(section)} is not a name for a section")
    pattern = OPTION_NAME if section == UWSGI_SECTION else KEY_NAME
    seen: dict[str, str] = {}
    given: dict[str, t.Any] = {}
    for key, value in options.items():
        if not pattern.fullmatch(key):
            raise ConfigFileError(
                f"{_where(section)}: {shown(key)} is not a name for an option (letters, digits, dot, hyphen,"
                " underscore)"
            )
        if key.lower() in seen:
            raise ConfigFileError(
                f"{_where(section, key)}: differs from {seen[key.lower()]} only in case, and Galaxy takes them for one"
            )
        seen[key.lower()] = key
        if value is not None:
            given[key] = value
    lines = [f"[{section}]"]
    if section == UWSGI_SECTION:
        return lines + _uwsgi_lines(given, placeholders)
    for key, value in given.items():
        first, *rest = _galaxy_value(value, section, key)
        lines.append(f"{key} = {first}".replace("%", "%%").rstrip())
        lines.extend(("    " + line).replace("%", "%%").rstrip() for line in rest)
    return lines


def to_paste_deploy(sections: t.Any, placeholders: bool | Collection[str] = False) -> str:
    """Return the text of galaxy.ini."""
    try:
        given = _sections(sections, "galaxy.ini")
    except PlainValueError as error:
        raise ConfigFileError(f"galaxy.ini: {error}") from error
    names = [name for name in FIRST_SECTIONS if name in given]
    names += [name for name in given if name not in FIRST_SECTIONS]
    return "\n".join("\n".join(_section_lines(name, given[name], placeholders)) + "\n" for name in names)
