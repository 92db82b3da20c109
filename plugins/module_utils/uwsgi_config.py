# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One dictionary of uWSGI's options, rendered for each of uWSGI's ways to be configured.

All of them end in one list of names and texts, uWSGI's "exported options", in which uWSGI replaces ``$(VARIABLE)``,
``@(file)`` and ``%(placeholder)``, in this order, before it applies them (core/uwsgi.c, uwsgi_setup). What the ways
differ in is what happens to a text before it gets there:

- Files are searched for "magic variables", a percent sign and a character, as a whole, before they are parsed.
- INI knows comments at the beginning of a line only.
- uWSGI's own YAML parser, which is in the wheel, knows neither quotes nor lists, and takes a number sign for the
  beginning of a comment wherever it stands; libyaml, which is in Debian's, wants plain scalars to follow YAML's rules.
- uWSGI reads of an XML element what stands before its first entity or its first node.
- A flag on the command line takes no value.
- Variables of the environment have a name each, and supervisor takes them from a line of an INI file.

A character that a way cannot carry is written as a placeholder, which is defined on the command line.
"""

from __future__ import annotations

import itertools
import json
import re
import typing as t
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import COMMENT
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain, shown

# Line breaks that text files know are handled one by one; no reader wants any other control character.
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufeff]")

OPTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

METHODS = ("paste_deploy", "ini", "yaml", "xml", "json", "command_line", "environment")

# Other names that uWSGI has for an option which other parts need to know (core/uwsgi.c, uwsgi_base_options).
ALIASES = {"workers": "processes", "uwsgi-socket": "socket"}

# How a file of a method is called.
FILE_NAMES = {"ini": "uwsgi.ini", "yaml": "uwsgi.yml", "xml": "uwsgi.xml", "json": "uwsgi.json"}

# uWSGI acts on these while it reads them, before it looks for $(VARIABLE), @(file) and %(option).
IMMEDIATE = frozenset(
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
        "flock-wait2",
        "flock2",
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

# Options that load plugins, which may bring options of their own.
PLUGIN_OPTIONS = ("plugin-dir", "plugins-dir", "plugin", "plugins", "need-plugin", "need-plugins")

# uWSGI's triggers for environment variables and files, and the placeholders that hide them from it.
HIDDEN_TRIGGERS = {"$(": ("galaxy-dollar", "$"), "@(": ("galaxy-at", "@")}
PLACEHOLDER = re.compile(r"%\(([^)]+)\)")
# Placeholders for what a method cannot carry.
CARRIED = {
    "galaxy-amp": "&",
    "galaxy-apostrophe": "'",
    "galaxy-empty": "",
    "galaxy-hash": "#",
    "galaxy-less": "<",
    "galaxy-quote": '"',
    "galaxy-semicolon": ";",
}
HIDING_PLACEHOLDERS = (*(name for name, _char in HIDDEN_TRIGGERS.values()), *CARRIED)

# Where a value begins that YAML's plain scalars may not begin with. A percent sign is among them, and so a placeholder.
YAML_INDICATOR = re.compile(r"""[-?:,\[\]{}&*!|>'"%@`]""")
EMPTY_VARIABLE = "GALAXY_EMPTY"
XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class ConfigFileError(InputError):
    """A configuration cannot be written as asked."""


@dataclass
class Rendering:
    """What uWSGI is started with."""

    # Text of the method's file; None if it has none, or none of its own.
    text: str | None = None
    # What follows the name of the program.
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    # Path of the file.
    file: str | None = None


# --- Values ----------------------------------------------------------------------------------------


def scalar(value: t.Any, where: str, key: str) -> str:
    """Return one value as text, before escaping."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        kind = "a dictionary" if isinstance(value, dict) else "a list"
        raise ConfigFileError(
            f"{where} {key}: {shown(value, key)}: {kind} cannot stand here in an INI file; keep it in a"
            " file of its own and name that file (most such options of Galaxy have a companion ending in _file)"
        )
    return value


def check_text(text: str, where: str, key: str) -> None:
    """Refuse what a parser of configuration files would lose or change."""
    control = CONTROL_CHARACTER.search(text)
    if control:
        raise ConfigFileError(
            f"{where} {key}: {shown(text, key)}: the character U+{ord(control.group()):04X} cannot stand in an INI file"
        )
    if text != text.strip():
        raise ConfigFileError(
            f"{where} {key}: {shown(text, key)}: begins or ends with white space, which INI files do not keep"
        )


def is_alive(key: str, placeholders: bool | Collection[str]) -> bool:
    """Tell whether uWSGI may fill in placeholders in the values of an option."""
    return placeholders if isinstance(placeholders, bool) else key in placeholders


def exported_text(value: t.Any, key: str, keys: Collection[str], alive: bool, where: str = "[uwsgi]") -> str:
    """Return the text that is to be uWSGI's exported option, with everything hidden that it would act on."""
    text = scalar(value, where, key)
    if "\n" in text:
        raise ConfigFileError(f"{where} {key}: {shown(text, key)}: a uWSGI option has one line")
    check_text(text, where, key)
    if alive or key in IMMEDIATE:
        return text
    for found in PLACEHOLDER.finditer(text):
        name = found.group(1)
        if name in keys or " " in name or name in {"ini-paste", *HIDING_PLACEHOLDERS}:
            raise ConfigFileError(
                f"{where} {key}: {shown(text, key)}: uWSGI would put the value of its option {name}"
                f" in place of {found.group()}, and has no way to write that text itself; write the value out"
            )
    for trigger, (placeholder, _char) in HIDDEN_TRIGGERS.items():
        # uWSGI looks for $( and @( first and for %( last, and does not go back.
        text = text.replace(trigger, f"%({placeholder})(")
    return text


def pairs(options: Mapping[str, t.Any], where: str = "[uwsgi]") -> Iterator[tuple[str, t.Any]]:
    """Yield names and values, an option of a list once for each of its items."""
    for key, value in options.items():
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            if item is None:
                raise ConfigFileError(f"{where} {key}: item {number + 1} of the list is null")
            yield key, item


def declared_names(options: Mapping[str, t.Any]) -> set[str]:
    """Return the options that the configuration itself makes, with declare-option (name=option=$1;...)."""
    value = options.get("declare-option") or []
    return {str(item).partition("=")[0] for item in (value if isinstance(value, list) else [value])}


def known_names(options: t.Any) -> list[str]:
    """Return the names that uWSGI itself has to know."""
    given = {key: value for key, value in plain(options).items() if value not in (None, [])}
    return sorted({"paste", *given} - declared_names(given))


def listing_arguments(options: t.Any) -> list[str]:
    """Return the arguments with which uWSGI, with the same plugins, tells the names of all of its options."""
    given = plain(options)
    plugins = {key: given[key] for key in PLUGIN_OPTIONS if given.get(key) is not None}
    return [*(f"--{key}={scalar(value, '[uwsgi]', key)}" for key, value in pairs(plugins)), "--dump-options"]


def hidden_triggers(texts: Collection[str]) -> list[tuple[str, str]]:
    """Return the placeholders, and what they stand for, that texts of exported_text use."""
    return [(name, char) for name, char in HIDDEN_TRIGGERS.values() if any(f"%({name})(" in text for text in texts)]


# --- Rendering -------------------------------------------------------------------------------------


def render(
    method: str,
    options: t.Any,
    config_dir: str,
    galaxy_ini: str,
    flags: Collection[str] = (),
    placeholders: bool | Collection[str] = (),
) -> Rendering:
    """Return what uWSGI is started with.

    :param method: One of METHODS.
    :param options: uWSGI's options: text, number, boolean, or a list of these for an option that is given repeatedly.
    :param config_dir: Directory of the method's own file; its name is that of FILE_NAMES.
    :param galaxy_ini: Path of galaxy.ini, with the application, and for paste_deploy with the options; "" for a uWSGI
        that has no application.
    :param flags: Names of options that take no value on the command line.
    :param placeholders: Names of options in whose values uWSGI may fill in its placeholders; True for all.
    """
    if method not in METHODS:
        raise ConfigFileError(f"uwsgi_config_method: {shown(method)}: allowed are {', '.join(METHODS)}")
    if method == "paste_deploy":
        return Rendering(arguments=["--ini-paste", galaxy_ini])
    # What --ini-paste means besides reading the file (plugins/python/python_plugin.c, uwsgi_opt_ini_paste).
    given = {
        **({"paste": f"config:{galaxy_ini}"} if galaxy_ini else {}),
        **{key: value for key, value in plain(options).items() if value is not None},
    }
    where = f"uWSGI's options ({method})"
    for key in given:
        if not OPTION_NAME.fullmatch(key):
            raise ConfigFileError(f"{where}: {shown(key)} is not a name for an option")
    exported: list[tuple[str, t.Any, str]] = []
    for key, value in pairs(given, where):
        alive = is_alive(key, placeholders)
        text = exported_text(value, key, given, alive, where)
        if alive and method in ("command_line", "environment") and re.search(r"%[^(]", text):
            raise ConfigFileError(
                f"{where} {key}: {shown(text, key)}: uWSGI fills in a percent sign and a letter only in files; write"
                " the value out, or use another uwsgi_config_method"
            )
        exported.append((key, value, text))
    file = f"{config_dir}/{FILE_NAMES[method]}" if method in FILE_NAMES else None
    target = Target(method, file or "", frozenset(flags), placeholders, where)
    helpers = hidden_triggers([text for _key, _value, text in exported])
    rendering = RENDERERS[method](exported, helpers, target)
    rendering.file = file
    return rendering


@dataclass(frozen=True)
class Target:
    """What the renderers need to know besides the options."""

    method: str
    config_file: str
    flags: frozenset[str]
    placeholders: bool | Collection[str]
    where: str

    def magic(self, key: str, text: str) -> str:
        """Return a text as it has to stand in a file, where a percent sign is the beginning of a magic variable."""
        return text if is_alive(key, self.placeholders) else text.replace("%", "%%")

    def refuse(self, key: str, text: str, reason: str) -> t.NoReturn:
        """Say why this method cannot carry a value."""
        raise ConfigFileError(f"{self.where} {key}: {shown(text, key)}: {reason}; use another uwsgi_config_method")


Exported = list[tuple[str, t.Any, str]]
Helpers = list[tuple[str, str]]


def _definitions(helpers: Helpers) -> list[tuple[str, str]]:
    return [("set-placeholder", f"{name}={char}") for name, char in helpers]


def _arguments(names: Collection[str]) -> list[str]:
    """Return the definitions of placeholders that a file cannot hold itself."""
    return [f"--set-placeholder={name}={char}" for name, char in CARRIED.items() if name in names]


def _hide(key: str, text: str, pattern: str, name: str, target: Target) -> str:
    """Put a placeholder where a method cannot carry a character."""
    if not re.search(pattern, text):
        return text
    if key in IMMEDIATE:
        target.refuse(
            key, text, f"uWSGI acts on {key} before it knows placeholders, and this method cannot carry the text"
        )
    return re.sub(pattern, f"%({name})", text)


def _used(texts: Collection[str]) -> list[str]:
    return [name for name in CARRIED if any(f"%({name})" in text for text in texts)]


def _ini(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    lines = ["[uwsgi]", *(f"{key} = {text}" for key, text in _definitions(helpers))]
    lines += [f"{key} = {target.magic(key, text)}".rstrip() for key, _value, text in exported]
    return Rendering("\n".join(lines) + "\n", ["--ini", target.config_file])


def _yaml(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    """Plain scalars, one to a line; an option that is given again has its line again.

    The first parser that sees a file is not known, so that it is written for both: uWSGI's own and libyaml.
    """
    lines = ["uwsgi:"]
    variables: dict[str, str] = {}
    used: list[str] = []
    everything = [*_definitions(helpers), *((key, text) for key, _value, text in exported)]
    for key, plain_text in everything:
        # An empty value would end uWSGI's own parser, and is no value for libyaml.
        text = _hide(key, plain_text, "^$", "galaxy-empty", target)
        text = _hide(key, text, "#", "galaxy-hash", target)
        text = _hide(key, text, r"(?<=:)(?=\s|$)", "galaxy-empty", target)
        used += _used([text])
        if YAML_INDICATOR.match(text):
            if key in IMMEDIATE:
                target.refuse(key, text, "a value of YAML may not begin like that")
            variables[EMPTY_VARIABLE] = ""
            text = f"$({EMPTY_VARIABLE}){text}"
        lines.append(f"  {key}: {target.magic(key, text)}")
    return Rendering("\n".join(lines) + "\n", [*_arguments(used), "--yaml", target.config_file], variables)


def _xml(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    lines = ["<uwsgi>"]
    used: list[str] = []
    for key, plain_text in [*_definitions(helpers), *((key, text) for key, _value, text in exported)]:
        if not XML_NAME.fullmatch(key):
            target.refuse(key, plain_text, "an element of XML cannot be called like that")
        # An empty element is uWSGI's true.
        text = _hide(key, plain_text, "^$", "galaxy-empty", target)
        text = _hide(key, text, r"(?<=\]\])(?=>)", "galaxy-empty", target)
        # Neither an entity nor a section of CDATA: of a text in several pieces, uWSGI reads the first.
        text = _hide(key, text, "&", "galaxy-amp", target)
        text = _hide(key, text, "<", "galaxy-less", target)
        used += _used([text])
        lines.append(f"  <{key}>{target.magic(key, text)}</{key}>")
    return Rendering("\n".join([*lines, "</uwsgi>"]) + "\n", [*_arguments(used), "--xml", target.config_file])


def _json(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    given: dict[str, list[str]] = {}
    for key, text in [*_definitions(helpers), *((key, text) for key, _value, text in exported)]:
        # Backslashes and quotes are escaped before uWSGI looks for percent signs, which JSON leaves alone.
        given.setdefault(key, []).append(target.magic(key, text))
    section = {key: texts if len(texts) > 1 else texts[0] for key, texts in given.items()}
    return Rendering(
        json.dumps({"uwsgi": section}, indent=2, ensure_ascii=False) + "\n", ["--json", target.config_file]
    )


def _command_line(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    arguments = [f"--set-placeholder={name}={char}" for name, char in helpers]
    for key, value, text in exported:
        if key not in target.flags:
            arguments.append(f"--{key}={text}")
        elif value is True:
            arguments.append(f"--{key}")
        else:
            # A flag takes no value there; this is uWSGI's way to give it one.
            arguments.append(f"--set={key}={text}")
    return Rendering(arguments=arguments)


def _environment(exported: Exported, helpers: Helpers, target: Target) -> Rendering:
    """Variables in the order of the options. uWSGI takes their names in either case, so that one can be given again."""
    environment: dict[str, str] = {}
    used: list[str] = []
    spellings: dict[str, Iterator[str]] = {}
    for key, text in [*_definitions(helpers), *((key, text) for key, _value, text in exported)]:
        if "_" in key or "." in key or key != key.lower():
            target.refuse(key, text, "the name of a variable of the environment cannot be that option's")
        spelling = next(spellings.setdefault(key, _spellings(key)), None)
        if spelling is None:
            target.refuse(key, text, "there are not enough ways to write its name for all of its values")
        # supervisor takes these for the end of the value, or of the line.
        carried = _hide(key, text, '"', "galaxy-quote", target)
        carried = _hide(key, carried, r"^'|'$", "galaxy-apostrophe", target)
        while found := COMMENT.search(carried):
            char = carried[found.end() - 1]
            name = "galaxy-hash" if char == "#" else "galaxy-semicolon"
            carried = _hide(key, carried, rf"(?<=\s){char}", name, target)
        used += _used([carried])
        environment[spelling] = carried
    return Rendering(arguments=_arguments(used), environment=environment)


def _spellings(key: str) -> Iterator[str]:
    """Yield the names of variables that uWSGI takes for one option: UWSGI_MAP, UWSGI_MAp, UWSGI_MaP ..."""
    letters = [(char.upper(), char.lower()) if char.isalpha() else ("_" if char == "-" else char,) for char in key]
    for spelling in itertools.product(*letters):
        yield "UWSGI_" + "".join(spelling)


Renderer = t.Callable[[Exported, Helpers, Target], Rendering]
RENDERERS: dict[str, Renderer] = {
    "ini": _ini,
    "yaml": _yaml,
    "xml": _xml,
    "json": _json,
    "command_line": _command_line,
    "environment": _environment,
}
