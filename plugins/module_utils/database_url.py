# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a SQLAlchemy database URL apart."""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import parse_qs, unquote, urlsplit


class DatabaseUrl(TypedDict):
    """The parts of a database URL that the roles ask about."""

    dialect: str
    """``postgresql`` or ``sqlite`` (the driver, as in ``postgresql+psycopg2``, is left out)."""
    database: str
    """Name of the database, or path of the SQLite file."""
    user: str
    """Login name, empty for the account that connects (peer authentication)."""
    host: str
    """Host name, or the directory of the Unix socket; empty for the library's default socket."""
    port: int
    """Port, 5432 by default."""
    local: bool
    """Whether the server is PostgreSQL on this machine, reached over its Unix socket."""


def parse_database_url(url: str) -> DatabaseUrl:
    """Return the parts of a SQLAlchemy URL (`RFC 1738`_ with a driver in the scheme).

    :raises ValueError: if the URL has no scheme, or no database name.

    .. _RFC 1738: https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls
    """
    parts = urlsplit(url)
    dialect = parts.scheme.split("+")[0]
    if not dialect:
        raise ValueError("it has no scheme (postgresql://... or sqlite:///...)")
    if dialect == "postgres":  # Accepted by libpq; SQLAlchemy wants the long name.
        raise ValueError("the scheme is postgresql, not postgres")
    # sqlite:///relative.sqlite and sqlite:////absolute.sqlite: the first slash only separates.
    database = unquote(parts.path[1:])
    if not database:
        raise ValueError("it names no database")
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise ValueError(f"its port is not a number from 1 to 65535 ({error})") from error
    socket_dir = parse_qs(parts.query).get("host", [""])[0]
    host = unquote(parts.hostname or "") or socket_dir
    return DatabaseUrl(
        dialect=dialect,
        database=database,
        user=unquote(parts.username or ""),
        host=host,
        port=port,
        local=dialect == "postgresql" and (not host or host.startswith("/")),
    )
