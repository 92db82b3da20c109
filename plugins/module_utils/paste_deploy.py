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
from collections.abc import Iterable, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, PlainValueError, plain, shown

APP_SECTION = "app:main"
UWSGI_SECTION = "uwsgi"

# In galaxy.yml the section is called galaxy; PasteDeploy wants it as app:main.
SECTION_ALIASES = {"galaxy": APP_SECTION}

# What stands first in the file, in this order. Everything else follows as given.
FIRST_SECTIONS = (UWSGI_SECTION, APP_SECTION)

SECTION_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/ -]*[A-Za-z0-9_])?")
# PasteDeploy has "set debug" and "get x"; its URL maps have paths as keys.
KEY_NAME = re.compile(r"(?:(?:set|get) )?[A-Za-z0-9_/][A-Za-z0-9_./-]*")
UWSGI_KEY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

# Line breaks that text files know are handled one by one; no reader wants any other control character.
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufeff]")

# uWSGI acts on these while it reads them, before it looks for $(VARIABLE), @(file) and %(option).
UWSGI_IMMEDIATE = frozenset(
    [
        "autoload",
        "blacklist",
        "config",
        "connect-and-read",
        "declare-option",
        "dlopen",
        "early-envdir",
        "end-blacklist",
        "end-for",
        "end-if",
        "end-whitelist",
        "endfor",
        "endif",
        "exit",
        "extract",
        "fallback-config",
        "flock",
        "flock-wait",
        "flock2",
        "flock-wait2",
        "for",
        "for-glob",
        "for-readline",
        "for-times",
        "if-dir",
        "if-directory",
        "if-env",
        "if-exists",
        "if-file",
        "if-hostname",
        "if-hostname-match",
        "if-not-dir",
        "if-not-env",
        "if-not-exists",
        "if-not-file",
        "if-not-hostname",
        "if-not-hostname-match",
        "if-not-opt",
        "if-not-plugin",
        "if-not-reload",
        "if-opt",
        "if-plugin",
        "if-reload",
        "ifdir",
        "ifenv",
        "ifexists",
        "ifplugin",
        "immediate-gid",
        "immediate-uid",
        "include",
        "ini",
        "ini-paste",
        "ini-paste-logged",
        "inject-after",
        "inject-before",
        "iprint",
        "js",
        "json",
        "listen",
        "need-plugin",
        "need-plugins",
        "pcre-jit",
        "plugin",
        "plugin-dir",
        "plugins",
        "plugins-dir",
        "resolve",
        "set",
        "set-ph",
        "set-placeholder",
        "spooler-processes",
        "strict",
        "umask",
        "whitelist",
        "xml",
        "xmlconfig",
        "yaml",
        "yml",
    ]
)

# uWSGI's triggers for environment variables and files, and the placeholders that hide them from it.
HIDDEN_TRIGGERS = {"$(": ("galaxy-dollar", "$"), "@(": ("galaxy-at", "@")}
HIDING_PLACEHOLDERS = tuple(name for name, _char in HIDDEN_TRIGGERS.values())
UWSGI_PLACEHOLDER = re.compile(r"%\(([^)]+)\)")


class PasteDeployError(InputError):
    """The sections cannot be written as galaxy.ini."""


def _where(section: str, key: str | None = None) -> str:
    return f"galaxy.ini [{section}]" if key is None else f"galaxy.ini [{section}] {key}"


# --- Merging -------------------------------------------------------------------------------------


def _sections(sections: t.Any, name: str) -> dict[str, dict[str, t.Any]]:
    """Return the sections as plain dictionaries, under their names in galaxy.ini."""
    sections = plain(sections)
    if sections is None or sections == "":
        return {}
    if not isinstance(sections, dict):
        raise PasteDeployError(f"{name}: {shown(sections)} is not a dictionary of sections by name")
    result: dict[str, dict[str, t.Any]] = {}
    given: dict[str, str] = {}
    for section, options in sections.items():
        if not isinstance(section, str):
            raise PasteDeployError(f"{name}: the section name {shown(section)} is not a string; quote it")
        if options is not None and not isinstance(options, dict):
            raise PasteDeployError(f"{name}: section {section} is {shown(options)}; it has to be a dictionary")
        target = SECTION_ALIASES.get(section, section)
        merged = result.setdefault(target, {})
        for key, value in (options or {}).items():
            if not isinstance(key, str):
                raise PasteDeployError(
                    f"{name}: section {section}, key {shown(key)}: not a string; quote it (YAML reads a bare"
                    " yes, no, on, off or number as something else)"
                )
            if key in merged and merged[key] != value:
                raise PasteDeployError(
                    f"{name}: section {section}, key {key}: also given in section {given[target]} with another"
                    f" value ({section} and {given[target]} are one section); give it once"
                )
            merged[key] = value
        given[target] = section
    return result


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


def _scalar(value: t.Any, section: str, key: str) -> str:
    """Return one value as text, before escaping."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        kind = "a dictionary" if isinstance(value, dict) else "a list"
        raise PasteDeployError(
            f"{_where(section, key)}: {shown(value, key)}: {kind} cannot stand here in an INI file; keep it in a"
            " file of its own and name that file (most such options of Galaxy have a companion ending in _file)"
        )
    return value


def _check_text(text: str, section: str, key: str) -> None:
    """Refuse what a parser of INI files would lose or change."""
    where = _where(section, key)
    control = CONTROL_CHARACTER.search(text)
    if control:
        raise PasteDeployError(
            f"{where}: {shown(text, key)}: the character U+{ord(control.group()):04X} cannot stand in an INI file"
        )
    if text != text.strip():
        raise PasteDeployError(
            f"{where}: {shown(text, key)}: begins or ends with white space, which INI files do not keep"
        )


def _galaxy_value(value: t.Any, section: str, key: str) -> list[str]:
    """Return the lines of a value in a section that Galaxy or PasteDeploy reads."""
    if isinstance(value, list):
        items = [_scalar("" if item is None else item, section, key) for item in value]
        for item in items:
            _check_text(item, section, key)
            if "," in item or "\n" in item or (not item and len(items) > 1):
                raise PasteDeployError(
                    f"{_where(section, key)}: {shown(item, key)}: the items of a list are joined by commas, so that"
                    " none may be empty or contain a comma or a line break"
                )
        return [",".join(items)]
    # A block scalar of YAML ends with a line break that nobody meant to be part of the value.
    text = _scalar(value, section, key).rstrip("\n")
    _check_text(text, section, key)
    lines = text.split("\n")
    for line in lines[1:]:
        if line != line.strip():
            raise PasteDeployError(
                f"{_where(section, key)}: {shown(line, key)}: a line of a value begins or ends with white space,"
                " which INI files do not keep"
            )
        if line.startswith(("#", ";", "[")):
            raise PasteDeployError(
                f"{_where(section, key)}: {shown(line, key)}: a line of a value begins with {line[0]}, which a"
                " reader of the file would take for a " + ("section" if line[0] == "[" else "comment")
            )
    return lines


def _uwsgi_value(value: t.Any, key: str, keys: Iterable[str], placeholders: bool) -> tuple[str, set[str]]:
    """Return a uWSGI option's value, and the triggers of uWSGI's that were hidden in it."""
    text = _scalar(value, UWSGI_SECTION, key)
    if "\n" in text:
        raise PasteDeployError(f"{_where(UWSGI_SECTION, key)}: {shown(text, key)}: a uWSGI option has one line")
    _check_text(text, UWSGI_SECTION, key)
    if placeholders:
        return text, set()
    hidden: set[str] = set()
    if key not in UWSGI_IMMEDIATE:
        for found in UWSGI_PLACEHOLDER.finditer(text):
            name = found.group(1)
            if name in keys or " " in name or name in {"ini-paste", *HIDING_PLACEHOLDERS}:
                raise PasteDeployError(
                    f"{_where(UWSGI_SECTION, key)}: {shown(text, key)}: uWSGI would put the value of its option {name}"
                    f" in place of {found.group()}, and has no way to write that text itself; write the value out"
                )
        text = text.replace("%", "%%")
        for trigger, (placeholder, _char) in HIDDEN_TRIGGERS.items():
            if trigger in text:
                hidden.add(trigger)
                # uWSGI looks for $( and @( first and for %( last, and does not go back.
                text = text.replace(trigger, f"%%({placeholder})(")
    else:
        text = text.replace("%", "%%")
    return text, hidden


def _uwsgi_lines(options: Mapping[str, t.Any], placeholders: bool) -> list[str]:
    lines: list[str] = []
    hidden: set[str] = set()
    options = dict(options)
    for key, value in options.items():
        values = value if isinstance(value, list) else [value]
        for number, item in enumerate(values):
            if item is None:
                raise PasteDeployError(f"{_where(UWSGI_SECTION, key)}: item {number + 1} of the list is null")
            text, found = _uwsgi_value(item, key, options, placeholders)
            hidden |= found
            lines.append(("    " if number else "") + f"{key} = {text}".rstrip())
    helpers = [
        f"set-placeholder = {name}={char}" for trigger, (name, char) in HIDDEN_TRIGGERS.items() if trigger in hidden
    ]
    if helpers and "set-placeholder" in options:
        # The key is there already: go on where it ends, on indented lines.
        last = max(number for number, line in enumerate(lines) if line.lstrip().startswith("set-placeholder ="))
        return lines[: last + 1] + ["    " + line for line in helpers] + lines[last + 1 :]
    return [("    " if number else "") + line for number, line in enumerate(helpers)] + lines


def _section_lines(section: str, options: Mapping[str, t.Any], placeholders: bool) -> list[str]:
    if not SECTION_NAME.fullmatch(section):
        raise PasteDeployError(f"galaxy.ini: {shown(section)} is not a name for a section")
    pattern = UWSGI_KEY_NAME if section == UWSGI_SECTION else KEY_NAME
    seen: dict[str, str] = {}
    given: dict[str, t.Any] = {}
    for key, value in options.items():
        if not pattern.fullmatch(key):
            raise PasteDeployError(
                f"{_where(section)}: {shown(key)} is not a name for an option (letters, digits, dot, hyphen,"
                " underscore)"
            )
        if key.lower() in seen:
            raise PasteDeployError(
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


def to_paste_deploy(sections: t.Any, placeholders: bool = False) -> str:
    """Return the text of galaxy.ini."""
    try:
        given = _sections(sections, "galaxy.ini")
    except PlainValueError as error:
        raise PasteDeployError(f"galaxy.ini: {error}") from error
    names = [name for name in FIRST_SECTIONS if name in given]
    names += [name for name in given if name not in FIRST_SECTIONS]
    return "\n".join("\n".join(_section_lines(name, given[name], placeholders)) + "\n" for name in names)
