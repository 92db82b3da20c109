# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI's options: that they can be written, and that they agree with the variables."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Variables, same, uwsgi_options
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import TRUE_WORDS, Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import (
    UWSGI_SECTION,
    combine_sections,
    to_paste_deploy,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, shown

# Options of uWSGI that say the same as a variable which other parts need as well.
UWSGI_BY_VARIABLE = {
    "processes": "uwsgi_processes",
    "workers": "uwsgi_processes",
    "p": "uwsgi_processes",
    "threads": "uwsgi_threads",
    "socket": "uwsgi_socket",
    "uwsgi-socket": "uwsgi_socket",
    "s": "uwsgi_socket",
}

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
    "uid": ((), "supervisor already starts it as galaxy_user"),
    "gid": ((), "supervisor already starts it as galaxy_user"),
    "master": (TRUE_WORDS, "without a master nothing loads Galaxy once and restarts its workers"),
    "need-app": (TRUE_WORDS, "without it a Galaxy that does not load is tried again for ever"),
    "die-on-term": (TRUE_WORDS, "without it supervisor's signal to stop would restart uWSGI"),
    "enable-threads": (TRUE_WORDS, "Galaxy has threads of its own"),
    "py-call-osafterfork": ((), "it kills every worker of Python 3.13; py-call-uwsgi-fork-hooks does its work"),
}

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
    before = len(found := [*_render_each(sections)])
    yield from found
    if not before:
        # What only shows when options stand beside each other.
        try:
            to_paste_deploy(sections)
        except InputError as error:
            yield Problem(f"galaxy_config: {error}")
    yield from _check_uwsgi_options(variables)


def _render_each(sections: dict[str, dict[str, t.Any]]) -> Iterator[Problem]:
    for section, options in sections.items():
        for key, value in options.items():
            try:
                to_paste_deploy({section: {key: value}})
            except InputError as error:
                variable = "uwsgi_options/galaxy_config" if section == UWSGI_SECTION else "galaxy_config"
                yield Problem(f"{variable}: {error}")


def _check_uwsgi_options(variables: Variables) -> Iterator[Problem]:
    for name, (where, value) in uwsgi_options(variables).items():
        if name in UWSGI_BY_VARIABLE:
            variable = UWSGI_BY_VARIABLE[name]
            if variables.get(variable) is not None and not same(value, variables[variable]):
                yield problem(
                    where,
                    value,
                    f"contradicts {variable} ({shown(variables[variable])}), which others need too; set {variable}",
                )
        elif name == "buffer-size":
            lowest, highest = BUFFER_SIZE
            if not str(value).isdigit() or not lowest <= int(value) <= highest:
                yield problem(where, value, f"has to be a number of bytes from {lowest} to {highest}")
        elif name in UWSGI_REFUSED:
            values, reason = UWSGI_REFUSED[name]
            if str(value).strip().lower() not in values:
                allowed = f"has to be {values[0]}" if values else "cannot be set"
                yield problem(where, value, f"{allowed}: {reason}")
