# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.database_url import parse_database_url


@pytest.mark.parametrize(
    "url, expected",
    [
        pytest.param(
            "postgresql:///galaxy?host=/var/run/postgresql",
            {
                "dialect": "postgresql",
                "database": "galaxy",
                "user": "",
                "host": "/var/run/postgresql",
                "port": 5432,
                "local": True,
            },
            id="socket, as by default",
        ),
        pytest.param(
            "postgresql:///galaxy",
            {"dialect": "postgresql", "database": "galaxy", "user": "", "host": "", "port": 5432, "local": True},
            id="socket of the library",
        ),
        pytest.param(
            "postgresql+psycopg2://gx:p%40ss@db.example.org:5433/galaxy?sslmode=require",
            {
                "dialect": "postgresql",
                "database": "galaxy",
                "user": "gx",
                "host": "db.example.org",
                "port": 5433,
                "local": False,
            },
            id="external",
        ),
        pytest.param(
            "postgresql://gx@[2001:db8::1]/galaxy",
            {
                "dialect": "postgresql",
                "database": "galaxy",
                "user": "gx",
                "host": "2001:db8::1",
                "port": 5432,
                "local": False,
            },
            id="IPv6",
        ),
        pytest.param(
            "sqlite:////srv/galaxy/data/galaxy.sqlite?isolation_level=IMMEDIATE",
            {
                "dialect": "sqlite",
                "database": "/srv/galaxy/data/galaxy.sqlite",
                "user": "",
                "host": "",
                "port": 5432,
                "local": False,
            },
            id="SQLite, absolute path",
        ),
    ],
)
def test_parts(url: str, expected: dict[str, object]) -> None:
    assert parse_database_url(url) == expected


@pytest.mark.parametrize(
    "url, reason",
    [
        ("galaxy", "no scheme"),
        ("", "no scheme"),
        ("postgres://db/galaxy", "postgresql, not postgres"),
        ("postgresql://db.example.org", "names no database"),
        ("postgresql://db.example.org/", "names no database"),
        ("postgresql://db.example.org:70000/galaxy", "port"),
        ("postgresql://db.example.org:x/galaxy", "port"),
    ],
)
def test_refusals(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_database_url(url)
