# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI's options: that they can be written, and that they agree with the variables."""

from __future__ import annotations

import os.path
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    classic,
    is_count,
    uwsgi_options,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import check_path
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    FALSE_WORDS,
    TRUE_WORDS,
    Problem,
    problem,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import (
    APP_SECTION,
    UWSGI_SECTION,
    combine_sections,
    to_paste_deploy,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import (
    OPTION_NAME,
    PLUGIN_OPTIONS,
    declared_names,
    render,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_table import read_table
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, did_you_mean

# Options of uWSGI that cannot work here, and why. A tuple gives values that are allowed all the same.
_FOREGROUND = "supervisor needs the process in the foreground"
_LOADED = "galaxy.ini already says what is served"
UWSGI_REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "daemonize": ((), _FOREGROUND),
    "daemonize2": ((), _FOREGROUND),
    "ini-paste": ((), _LOADED),
    "ini-paste-logged": ((), _LOADED),
    "paste": ((), _LOADED),
    "wsgi-file": ((), _LOADED),
    "wsgi": ((), _LOADED),
    "module": ((), _LOADED),
    "gevent": ((), "Galaxy is served by threads"),
    "asyncio": ((), "Galaxy is served by threads"),
    "async": ((), "Galaxy is served by threads"),
    "ugreen": ((), "Galaxy is served by threads"),
    "loop": ((), "Galaxy is served by threads"),
    "uid": ((), "supervisor already starts it as galaxy_user"),
    "gid": ((), "supervisor already starts it as galaxy_user"),
    "master": (TRUE_WORDS, "without a master nothing loads Galaxy once and restarts its workers"),
    "need-app": (TRUE_WORDS, "without it a Galaxy that does not load is tried again for ever"),
    "die-on-term": (TRUE_WORDS, "without it supervisor's signal to stop would restart uWSGI"),
    "enable-threads": (TRUE_WORDS, "Galaxy has threads of its own"),
    "py-call-osafterfork": ((), "it kills every worker of Python 3.13; py-call-uwsgi-fork-hooks does its work"),
}

# The same, where it differs for classic Galaxy, which runs on no Python 3.13.
CLASSIC_RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "py-call-osafterfork": (TRUE_WORDS, "without it neither workers nor mules of classic Galaxy can be stopped"),
}

# Options that count something.
NUMBERS = ("processes", "workers", "threads")
# Options that other parts stand on, and which may not be taken out.
NEEDED = (
    *NUMBERS,
    "socket",
    "uwsgi-socket",
    "buffer-size",
    *(name for name, rule in UWSGI_REFUSED.items() if rule[0]),
)

# What the collection itself sets (__uwsgi_default_options), so that %(name) would stand for its value.
COLLECTIONS_OWN = (
    *("socket", "chmod-socket", "processes", "threads", "master", "need-app", "die-on-term", "enable-threads"),
    *(
        "listen",
        "single-interpreter",
        "py-call-uwsgi-fork-hooks",
        "skip-atexit-teardown",
        "binary-path",
        "worker-reload-mercy",
    ),
    *("thunder-lock", "buffer-size", "socket-timeout", "ignore-sigpipe", "ignore-write-errors", "vacuum", "strict"),
    *("logto", "logfile-chmod", "stats", "master-fifo"),
)

# The lowest and highest that uWSGI's protocol (and nginx, which takes it over) can do with.
BUFFER_SIZE = (4096, 65535)


def check_sections(variables: Variables) -> Iterator[Problem]:
    """Check that galaxy.ini can be written, and that its options agree with the variables."""
    layers = [variables.get("galaxy_config")]
    options = variables.get("uwsgi_options")
    if options:
        layers.insert(0, {UWSGI_SECTION: options})
    try:
        sections = combine_sections({}, *layers)
    except InputError as error:
        yield Problem(str(error))
        return
    # It is moved to a file of its own.
    sections.get(APP_SECTION, {}).pop("job_config", None)
    placeholders = variables.get("uwsgi_placeholders") or ()
    before = len(found := [*_render_each(sections, placeholders)])
    yield from found
    if not before:
        # What only shows when options stand beside each other.
        try:
            to_paste_deploy({**sections, UWSGI_SECTION: _beside(sections.get(UWSGI_SECTION, {}))}, placeholders)
        except InputError as error:
            yield Problem(f"galaxy_config: {error}")
    yield from _check_uwsgi_options(variables)
    for name in placeholders:
        if not OPTION_NAME.fullmatch(str(name)):
            yield problem("uwsgi_placeholders", name, "has to be the name of an option of uWSGI's")


def _beside(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the options among the names of the collection's own."""
    return {**dict.fromkeys(COLLECTIONS_OWN, ""), **options}


def _render_each(sections: dict[str, dict[str, t.Any]], placeholders: t.Any) -> Iterator[Problem]:
    for section, options in sections.items():
        for key, value in options.items():
            try:
                to_paste_deploy({section: {key: value}}, placeholders)
            except InputError as error:
                variable = "uwsgi_options/galaxy_config" if section == UWSGI_SECTION else "galaxy_config"
                yield Problem(f"{variable}: {error}")


def _check_uwsgi_options(variables: Variables) -> Iterator[Problem]:
    options = uwsgi_options(variables)
    given = {name: value for name, (_where, value) in options.items() if value is not None}
    declared = declared_names(given)
    # What the user's plugins bring, and what Debian's has or a compiler left out, only the machine's uWSGI can tell.
    has_plugins = any(name in given for name in PLUGIN_OPTIONS)
    is_wheel = variables.get("uwsgi_install_method", "wheel") == "wheel" and not has_plugins
    for name, (where, value) in options.items():
        if (value is None and name not in NEEDED) or name in declared or not OPTION_NAME.fullmatch(name):
            continue
        if name in NUMBERS:
            if not is_count(value) or int(value) < 1:
                yield problem(where, value, "has to be a number from 1")
        elif name in ("socket", "uwsgi-socket"):
            if value is None:
                yield problem(where, value, "cannot be taken out; nginx needs it")
        elif name == "buffer-size":
            lowest, highest = BUFFER_SIZE
            if not is_count(value) or not lowest <= int(value) <= highest:
                yield problem(where, value, f"has to be a number of bytes from {lowest} to {highest}")
        elif name == "logto":
            directory = str(variables.get("galaxy_log_dir"))
            if os.path.dirname(os.path.normpath(str(value))) != directory:
                yield problem(where, value, f"Galaxy's user can write logs in galaxy_log_dir only: {directory}")
            else:
                yield from check_path(where, value)
        elif name in UWSGI_REFUSED:
            if name in CLASSIC_RULES and classic(variables) is None:
                continue
            values, reason = (CLASSIC_RULES if classic(variables) else {}).get(name, UWSGI_REFUSED[name])
            if str(value).strip().lower() not in values:
                allowed = f"has to be {values[0]}" if values else "cannot be set"
                yield problem(where, value, f"{allowed}: {reason}")
        else:
            yield from _check_name(name, where, value, has_plugins, is_wheel)


def _check_name(name: str, where: str, value: t.Any, has_plugins: bool, is_wheel: bool) -> Iterator[Problem]:
    """Check an option against what uWSGI knows."""
    table = read_table()
    if name not in table.names:
        if not has_plugins:
            yield problem(
                where, value, f"uWSGI {table.version} has no option {name}{did_you_mean(name, sorted(table.names))}"
            )
    elif name in table.not_in_the_wheel and is_wheel:
        plugin = table.not_in_the_wheel[name]
        part = "of a part of uWSGI" if plugin == "core" else f"of uWSGI's plugin {plugin}"
        yield problem(where, value, f"is an option {part} that the wheel does not have")
    elif name in table.flags and (
        isinstance(value, (list, dict)) or str(value).strip().lower() not in TRUE_WORDS + FALSE_WORDS
    ):
        yield problem(where, value, "has to be true or false")


def check_config_method(variables: Variables) -> Iterator[Problem]:
    """Check that the chosen way to configure uWSGI can carry the options, and the command line those of its router."""
    for name, value in (variables.get("uwsgi_http_options") or {}).items():
        try:
            render("command_line", {} if value is None else {name: value}, "/c", "", read_table().flags)
        except InputError as error:
            yield Problem(f"uwsgi_http_options: {error}")
        else:
            if value is not None:
                yield from _check_name(name, f"uwsgi_http_options.{name}", value, False, False)
    method = variables.get("uwsgi_config_method")
    if method in (None, "paste_deploy"):
        return  # That is checked with the rest of galaxy.ini.
    for name, (where, value) in uwsgi_options(variables).items():
        try:
            render(
                str(method),
                {name: value},
                "/c",
                "/c/galaxy.ini",
                read_table().flags,
                variables.get("uwsgi_placeholders") or (),
            )
        except InputError as error:
            yield Problem(f"{where}: {error}")
