# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's URL, and what it allows."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    database_connection,
    processes,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.postgresql import NAME, NAMES
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import handler_list
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def check_database(variables: Variables) -> Iterator[Problem]:
    """Check the database's URL, and what it allows."""
    name, url = database_connection(variables)
    if url is None:
        return
    allowed = "has to be a URL of SQLAlchemy's, such as postgresql:///galaxy?host=/var/run/postgresql"
    if not isinstance(url, str) or re.search(r"\s", url):
        yield problem(name, url, allowed)
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        yield problem(name, url, allowed)
        return
    try:
        port = parts.port
    except ValueError:
        yield problem(name, url, "the port has to be a number from 1 to 65535")
        return
    if not parts.scheme or "://" not in url:
        yield problem(name, url, allowed)
        return
    if parts.scheme not in ("postgresql", "postgresql+psycopg2", "sqlite"):
        hint = "postgres is called postgresql; " if parts.scheme == "postgres" else ""
        yield problem(
            name, url, f"{hint}the database has to be postgresql://... (or sqlite:///... for a single process)"
        )
        return
    if "%" in url:
        yield problem(
            name,
            url,
            "may hold no percent sign, which Galaxy's database migrations take for the start of a substitution; use a"
            " password of letters, digits, hyphens and underscores, or the Unix socket, which needs none",
        )
    if not parts.path.strip("/"):
        yield problem(name, url, "names no database; " + allowed)
    elif parts.scheme != "sqlite" and not NAME.fullmatch(parts.path[1:]):
        yield problem(name, url, f"the name of the database has to be of {NAMES}")
    if parts.username and not NAME.fullmatch(parts.username):
        yield problem(name, url, f"the name of the user has to be of {NAMES}")
    if port == 0:
        yield problem(name, url, "the port has to be a number from 1 to 65535")
    if parts.scheme == "sqlite":
        yield from _check_sqlite(name, url, variables)


def _check_sqlite(name: str, url: str, variables: Variables) -> Iterator[Problem]:
    reason = (
        "SQLite lets one process write at a time, and has no way for handlers to take jobs from it; use PostgreSQL, or"
    )
    data = variables.get("galaxy_mutable_data_dir")
    path = urlsplit(str(url)).path[1:]
    if data is not None and not inside(os.path.normpath(path), str(data)):
        yield problem(
            name, url, f"the file has to be in galaxy_mutable_data_dir, such as sqlite:///{data}/galaxy.sqlite"
        )
    where, number = processes(variables)
    if number > 1:
        yield problem(name, url, f"{reason} set uwsgi_processes to 1 ({where} is {number})")
    try:
        handlers = len(handler_list(variables.get("galaxy_handlers")))
    except InputError:
        return
    if handlers:
        yield problem(
            name, url, f"{reason} set galaxy_handlers to 0 (there are {handlers}; the web process then runs the jobs)"
        )
