# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError

ME = pwd.getpwuid(os.geteuid()).pw_name
FACTS = {"release": "/srv/galaxy/releases/25.1.3-a", "galaxy": "25.1.3"}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    path = tmp_path / "galaxy.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    return Database(f"sqlite:///{path}", ME, sys.executable)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "backups"
    path.mkdir(mode=0o700)
    return path


def test_a_dump_says_what_it_belongs_to(directory: Path, database: Database) -> None:
    (directory / ".new-1").mkdir()  # what a run left that was killed
    (directory / ".new-1/galaxy.dump").write_text("half of it")
    dump = Path(dumps.make(str(directory), [database, database], FACTS))
    assert dump.name.endswith("Z-25.1.3-a")
    assert sorted(os.listdir(dump)) == ["dump.json", "galaxy.dump", "install.dump"]
    assert json.loads((dump / "dump.json").read_text()) == FACTS
    assert [(dump / name).stat().st_mode & 0o777 for name in os.listdir(dump)] == [0o600] * 3
    assert os.listdir(directory) == [dump.name]
    dumps.restore(str(dump), [database])


def test_a_dump_that_fails_leaves_nothing(directory: Path) -> None:
    with pytest.raises(DatabaseError):
        dumps.make(str(directory), [Database("sqlite:////no/such/file", ME, sys.executable)], FACTS)
    assert os.listdir(directory) == []


def test_room_is_looked_for_first(directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "size", lambda _self: 1 << 60)
    with pytest.raises(DatabaseError, match=r"backups has \d+ MB left, and the dump \(galaxy_dump_dir\) takes up to"):
        dumps.make(str(directory), [database], FACTS)


def test_the_oldest_go(directory: Path) -> None:
    paths = [directory / f"2026110{day}T000000Z-25.1.3-a" for day in range(1, 6)]
    for path in paths:
        path.mkdir()
        (path / "dump.json").write_text("{}")
    (directory / ".lock").touch()
    assert dumps.prune(str(directory), 3, [str(paths[0])]) == [str(paths[1]), str(paths[2])]
    assert dumps.prune(str(directory), 1, [str(paths[0])]) == [str(paths[3]), str(paths[4])]
    assert sorted(os.listdir(directory)) == [".lock", paths[0].name]


def test_one_at_a_time(directory: Path) -> None:
    order = []

    def second() -> None:
        with dumps.alone(str(directory)):
            order.append("second")

    with dumps.alone(str(directory)):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
        with pytest.raises(DatabaseError, match="another run"), dumps.alone(str(directory), 0.1):
            pass
    thread.join(10)
    assert order == ["first", "second"]
