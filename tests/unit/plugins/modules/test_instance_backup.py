# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules instance_backup and instance_restore, on an instance with SQLite."""

from __future__ import annotations

import grp
import json
import os
import pwd
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]
ME = pwd.getpwuid(os.geteuid()).pw_name


class Server:
    def __init__(self, run_module: Run, root: Path) -> None:
        self.run_module, self.root = run_module, root
        for name in ("data", "config", "backups", "dumps", "releases/26.1.2-a"):
            (root / name).mkdir(parents=True)
        (root / "venv").symlink_to(root / "releases/26.1.2-a")
        (root / "data/1.dat").write_text("one")
        (root / "config/secrets.json").write_text('{"id_secret": "s3cret"}')
        with sqlite3.connect(root / "data/galaxy.sqlite") as connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES ('r1')")

    @property
    def _shared(self) -> dict[str, Any]:
        root = self.root
        return {
            "directory": str(root / "backups"),
            "instance": "galaxy",
            "urls": [f"sqlite:///{root}/data/galaxy.sqlite"],
            "user": ME,
            "link": str(root / "venv"),
            "files": [str(root / "config")],
            "data": [str(root / "data")],
        }

    def back_up(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        records = {"record": str(self.root / "record"), "restore_record": str(self.root / "restore")}
        return self.run_module("instance_backup", {**self._shared, **records, **arguments}, check)

    def restore(self, step: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        own = {
            "step": step,
            "record": str(self.root / "restore"),
            "release_record": str(self.root / "record"),
            "release": "26.1.2",
            "group": grp.getgrgid(os.getegid()).gr_name,
            "dump_directory": str(self.root / "dumps"),
        }
        return self.run_module("instance_restore", {**self._shared, **own, **arguments}, check)


@pytest.fixture
def server(run_module: Run, tmp_path: Path) -> Server:
    return Server(run_module, tmp_path)


def test_there_and_back(server: Server) -> None:
    made = server.back_up(facts={"url": "http://galaxy.example.org"}, keep=1)
    assert made["changed"], made
    assert (made["manifest"]["galaxy"], made["manifest"]["release"]) == ("26.1.2", "26.1.2-a")
    assert made["manifest"]["url"] == "http://galaxy.example.org"
    (server.root / "data/1.dat").write_text("ONE")

    refused = server.restore("check")
    assert "there is a Galaxy here" in refused["msg"]
    assert "galaxy_restore_replace: true" in refused["msg"]
    assert "the database" in server.restore("change")["msg"]
    checked = server.restore("check", replace=True)
    assert (checked["changed"], checked["backup"], checked["pending"]) == (False, made["backup"], False), checked
    assert server.restore("stage", replace=True)["changed"]
    assert server.restore("change", replace=True)["pending"]
    assert (server.root / "data/1.dat").read_text() == "one"
    assert "playbooks/restore.yml finishes" in server.back_up()["msg"]
    # It has begun, and may end.
    assert not server.restore("check")["changed"]
    assert server.restore("undo")["undone"]
    assert (server.root / "data/1.dat").read_text() == "ONE"

    server.restore("stage", replace=True)
    server.restore("change", replace=True)
    finished = server.restore("finish")
    assert (finished["changed"], finished["pending"]) == (False, False)
    assert (server.root / "data/1.dat").read_text() == "one"
    assert "s3cret" not in json.dumps([made, checked, finished])


def test_check_mode_changes_nothing(server: Server) -> None:
    assert server.back_up(check=True)["changed"]
    assert os.listdir(server.root / "backups") == []
    server.back_up()
    for step in ("check", "stage", "change", "undo", "finish"):
        assert "failed" not in server.restore(step, check=True, replace=True)
    assert sorted(os.listdir(server.root / "data")) == ["1.dat", "galaxy.sqlite"]
    assert not (server.root / "restore").exists()


def test_no_backup_of_half_a_galaxy(server: Server) -> None:
    change = {"source": "/a", "target": "/b"}
    (server.root / "record").write_text(json.dumps({"change": change, "past": []}))
    assert "an upgrade is under way" in server.back_up()["msg"]
    (server.root / "venv").unlink()
    assert "there is no Galaxy here" in server.back_up()["msg"]


def test_no_restore_under_another_release(server: Server) -> None:
    server.back_up()
    assert "set galaxy_release: 26.1.2" in server.restore("check", release="26.1.3", replace=True)["msg"]
    (server.root / "venv").unlink()
    (server.root / "venv").symlink_to(server.root / "releases/26.1.3-b")
    refused = server.restore("check", replace=True)["msg"]
    assert refused.startswith("The backup is not put back, and nothing has been changed: Galaxy 26.1.3 serves here")
    assert "rollback.yml" in refused


def test_no_password_is_told(server: Server) -> None:
    urls = ["postgresql://galaxy:s3cr3t-password@127.0.0.1:9/galaxy"]
    failed = [server.back_up(urls=urls), server.restore("check", urls=urls), server.restore("change", urls=urls)]
    assert all(result["failed"] for result in failed)
    assert "s3cr3t-password" not in json.dumps(failed)
