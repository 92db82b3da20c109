# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user has given, in a shape that several checks ask for."""

from __future__ import annotations

import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import is_classic
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import TRUE_WORDS
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import (
    APP_SECTION,
    SECTION_ALIASES,
    UWSGI_SECTION,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import ALIASES

Variables = dict[str, t.Any]
Spec = dict[str, t.Any]


def account(variables: Variables) -> dict[str, t.Any]:
    """Return galaxy_user as a dictionary."""
    user = variables.get("galaxy_user")
    return dict(user) if isinstance(user, dict) else {"name": user}


def is_true(value: t.Any) -> bool:
    """Tell whether a value that passed for a boolean is true."""
    return value if isinstance(value, bool) else str(value).strip().lower() in TRUE_WORDS


def is_count(value: t.Any) -> bool:
    """Tell whether a value is a number that every reader takes for the same: digits of ASCII, and nothing else."""
    return not isinstance(value, bool) and str(value).isascii() and str(value).isdigit()


def classic(variables: Variables) -> bool | None:
    """Tell whether Galaxy is a classic one; None if nobody has looked at the checkout yet."""
    release = str(variables.get("galaxy_release") or "")
    return is_classic(release) if release else None


def user_sections(variables: Variables) -> dict[str, dict[str, t.Any]]:
    """Return what the user sets in galaxy.ini, nulls included, as far as it can be read."""
    result: dict[str, dict[str, t.Any]] = {}
    config = variables.get("galaxy_config")
    for section, options in config.items() if isinstance(config, dict) else ():
        if isinstance(section, str) and isinstance(options, dict):
            result.setdefault(SECTION_ALIASES.get(section, section), {}).update(options)
    return result


def galaxy_options(variables: Variables) -> dict[str, t.Any]:
    """Return the user's options of Galaxy."""
    return user_sections(variables).get(APP_SECTION, {})


def uwsgi_options(variables: Variables) -> dict[str, tuple[str, t.Any]]:
    """Return the user's options of uWSGI, each with the variable that sets it; galaxy_config wins."""
    result: dict[str, tuple[str, t.Any]] = {}
    options = variables.get("uwsgi_options")
    for name, value in options.items() if isinstance(options, dict) else ():
        result[str(name)] = (f"uwsgi_options.{name}", value)
    for name, value in user_sections(variables).get(UWSGI_SECTION, {}).items():
        result[str(name)] = (f"galaxy_config uwsgi.{name}", value)
    return result


def effective(variables: Variables, option: str, variable: str) -> tuple[str, t.Any]:
    """Return where an option of uWSGI is given, and its value: as an option, or else by the variable made for it."""
    names = [option, *(alias for alias, name in ALIASES.items() if name == option)]
    options = uwsgi_options(variables)
    for name in names:
        if name in options and options[name][1] is not None:
            return options[name]
    return variable, variables.get(variable)


def sockets(variables: Variables) -> list[tuple[str, str]]:
    """Return uWSGI's sockets, each with the place where it is given."""
    where, value = effective(variables, "socket", "uwsgi_socket")
    return [(where, str(item)) for item in (value if isinstance(value, list) else [value]) if item not in (None, "")]


def nginx_listens(variables: Variables) -> list[tuple[str, str]]:
    """Return where nginx listens, each with the variable in which it is given."""
    names = ["nginx_listen"] + (["nginx_tls_listen"] if variables.get("nginx_tls", "off") != "off" else [])
    return [(name, str(item)) for name in names for item in variables.get(name) or []]


def http(variables: Variables) -> tuple[str, str]:
    """Return where uWSGI's own HTTP is given, and its address; "" if there is none."""
    where, value = effective(variables, "http", "uwsgi_http")
    return ("uwsgi_http", str(variables["uwsgi_http"])) if variables.get("uwsgi_http") else (where, str(value or ""))


def processes(variables: Variables) -> tuple[str, int]:
    """Return where the number of uWSGI's workers is given, and the number; 1 if it is none."""
    where, value = effective(variables, "processes", "uwsgi_processes")
    return where, int(value) if is_count(value) else 1


def database_connection(variables: Variables) -> tuple[str, t.Any]:
    """Return the variable that names the database, and its value. Galaxy's own option wins."""
    options = galaxy_options(variables)
    if options.get("database_connection") is not None:
        return "galaxy_config app:main.database_connection", options["database_connection"]
    return "galaxy_database_connection", variables.get("galaxy_database_connection")


def is_sqlite(variables: Variables) -> bool:
    """Tell whether the database is SQLite."""
    return str(database_connection(variables)[1]).startswith("sqlite:")


def same(value: t.Any, other: t.Any) -> bool:
    """Tell whether two values are written alike."""
    return str(value).strip() == str(other).strip()
