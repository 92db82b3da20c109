# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., dict[str, Any]]

ME = pwd.getpwuid(os.geteuid()).pw_name


def test_a_dump_is_made_and_put_back(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('a')")
    arguments = {"urls": [f"sqlite:///{path}"], "user": ME, "directory": str(tmp_path / "backups")}
    about = {"release": "/r/25.1.3-a", "galaxy": "25.1.3"}
    (tmp_path / "backups").mkdir()
    assert run_module("database_dump", {**arguments, **about}, check=True)["changed"]
    assert os.listdir(tmp_path / "backups") == []
    made = run_module("database_dump", {**arguments, **about})
    assert made["revisions"] == ["a"]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'b'")
    restored = run_module("database_dump", {**arguments, "restore": made["dump"]})
    assert restored["revisions"] == ["a"]


def test_a_database_that_is_not_there(run_module: Run, tmp_path: Path) -> None:
    result = run_module(
        "database_dump",
        {"urls": ["sqlite:////no/such"], "user": ME, "directory": str(tmp_path), "release": "/r", "galaxy": "25.1.3"},
    )
    assert result["failed"]
    assert result["msg"].startswith("The database cannot be dumped, and nothing has been changed:")
