# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite is real here; of PostgreSQL the arguments are looked at (the scenario upgrade runs its tools)."""

from __future__ import annotations

import os
import pwd
import sqlite3
import sys
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import databases
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError, run

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    "url, address, environment",
    [
        ("postgresql:///galaxy?host=/var/run/postgresql", "postgresql:///galaxy?host=/var/run/postgresql", {}),
        ("postgresql:///galaxy", "postgresql:///galaxy", {}),
        (
            "postgresql+psycopg2://galaxy:s3cret@db.example.org:5433/gx?sslmode=require",
            "postgresql://galaxy@db.example.org:5433/gx?sslmode=require",
            {"PGPASSWORD": "s3cret"},
        ),
        ("postgresql://g@/gx?password=s3cret", "postgresql://g@/gx", {"PGPASSWORD": "s3cret"}),
    ],
)
def test_no_password_is_an_argument(url: str, address: str, environment: dict[str, str]) -> None:
    assert Database(url, "galaxy").connection() == (address, environment)


@pytest.mark.parametrize(
    "url, name, other",
    [
        ("postgresql:///gx?host=/run", "gx_trial", "postgresql:///gx_trial?host=/run"),
        ("postgresql://g:p@h:1/gx", "gx_trial", "postgresql://g:p@h:1/gx_trial"),
        ("sqlite:////data/gx.sqlite?isolation_level=IMMEDIATE", "/t/0", "sqlite:////t/0?isolation_level=IMMEDIATE"),
    ],
)
def test_another_database_of_the_same_server(url: str, name: str, other: str) -> None:
    assert Database(url, "galaxy").named(name).url == other
    assert Database(url, "galaxy").named(name).name == name


def test_a_role_has_the_name_of_the_user_unless_it_is_given() -> None:
    assert Database("postgresql:///gx", "galaxy").owner() == "galaxy"
    assert Database("postgresql://other@/gx", "galaxy").owner() == "other"
    assert databases.quoted('a"b') == '"a""b"'


def table(path: Path, *rows: str) -> Database:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        connection.execute("DELETE FROM alembic_version")
        connection.executemany("INSERT INTO alembic_version VALUES (?)", [(row,) for row in rows])
    return Database(f"sqlite:///{path}?isolation_level=IMMEDIATE", ME, sys.executable)


def test_sqlite_is_dumped_copied_and_put_back(tmp_path: Path) -> None:
    database = table(tmp_path / "galaxy.sqlite", "b", "a")
    assert database.revisions() == ["a", "b"]
    assert database.size() > 0
    assert database.may_create()
    dump = tmp_path / "dump"
    with open(dump, "wb") as stream:
        database.dump(stream)
    copy = database.named(str(tmp_path / "copy.sqlite"))
    copy.create()
    with open(dump, "rb") as stream:
        copy.load(stream)
    assert copy.revisions() == ["a", "b"]
    copy.drop()
    assert not (tmp_path / "copy.sqlite").exists()
    assert copy.revisions() == []
    table(tmp_path / "galaxy.sqlite", "c")
    assert database.revisions() == ["c"]
    database.restore(str(dump))
    assert database.revisions() == ["a", "b"]


def test_a_tool_that_fails_says_why() -> None:
    script = "echo 'pg_dump: detail: nothing' >&2; echo 'pg_dump: error: no such thing' >&2; exit 3"
    with pytest.raises(DatabaseError, match=r"^sh: error: no such thing$"):
        run(["sh", "-c", script], ME)
    with pytest.raises(DatabaseError, match=r"there is no no_such_tool"):
        run(["no_such_tool"], ME)
    with pytest.raises(DatabaseError, match="sh: 4"):
        run(["sh", "-c", "exit 4"], ME)


def test_a_tool_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "x")
    names = {line.partition("=")[0] for line in run(["env"], ME, {"PGPASSWORD": "y"}).splitlines()}
    assert "OUR_SECRET" not in names
    assert {"PGPASSWORD", "HOME", "USER"} <= names
    assert run(["cat"], ME, stdin=b"text") == "text"


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as stream:
        assert run(["echo", "text"], ME, stdout=stream) == ""
    assert (tmp_path / "out").read_text() == "text\n"


def test_a_classic_schema_has_a_number(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "galaxy.sqlite") as connection:
        connection.execute("CREATE TABLE migrate_version (repository_id TEXT, version INTEGER)")
        connection.execute("INSERT INTO migrate_version VALUES ('Galaxy', 163), ('ToolShedInstall', 17)")
    assert Database(f"sqlite:///{tmp_path}/galaxy.sqlite", ME, sys.executable).revisions() == ["163"]
