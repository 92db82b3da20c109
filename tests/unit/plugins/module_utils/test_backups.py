# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance with SQLite is backed up, changed, and put back."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import backups, dumps, restoring, snapshot, trees
from ansible_collections.dagobah.galaxy.plugins.module_utils.backups import BackupError, Instance
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError

ME = pwd.getpwuid(os.geteuid()).pw_name


class Server:
    """The files of an instance."""

    def __init__(self, root: Path) -> None:
        self.data, self.config, self.directory = root / "data", root / "config", root / "backups"
        self.disk, self.dumps, self.record = root / "disk", root / "dumps", root / "galaxy.restore.json"
        self.database = Database(f"sqlite:///{self.data}/galaxy.sqlite", ME, sys.executable)

    def make(self) -> None:
        for path in (self.data, self.config, self.directory, self.disk, self.dumps):
            path.mkdir(mode=0o750)
        self.write("data/objects/1.dat", "one")
        self.write("data/config/shed_tool_conf.xml", "<tools/>")
        self.write("data/tmp/upload", "half of it")
        self.write("disk/2.dat", "two")
        self.write("config/secrets.json", '{"id_secret": "s3cret"}')
        self.user("student@example.org")

    def write(self, name: str, text: str) -> None:
        path = self.data.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def user(self, name: str) -> None:
        with sqlite3.connect(self.database.name) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", [name])

    @property
    def users(self) -> list[str]:
        return self.database.revisions()

    def back_up(self, datasets: bool = True) -> str:
        left = [] if datasets else [str(self.data / "objects")]
        facts = {"instance": "galaxy", "galaxy": "26.1.2", "release": "26.1.2-a"}
        data = [str(self.data), str(self.disk), "/no/such/directory"]
        files, without = [str(self.config)], [str(self.data / "tmp")]
        return backups.make(str(self.directory), Instance([self.database], files, data, without, left, facts))[0]

    def stage(self, backup: str) -> None:
        restoring.stage(backup, str(self.record), (os.geteuid(), os.getegid()))

    def change(self, backup: str) -> None:
        facts = {"release": "/releases/26.1.2-a"}
        restoring.change(backup, str(self.record), [self.database], [str(self.config)], [], str(self.dumps), facts)

    def restore(self, backup: str) -> None:
        self.stage(backup)
        self.change(backup)

    def ruin(self) -> None:
        """What happens to a server after a backup."""
        self.write("data/objects/1.dat", "ONE")
        self.write("data/objects/3.dat", "three")
        self.write("data/jobs_directory/1", "a job")
        self.write("config/secrets.json", '{"id_secret": "another"}')
        self.write("disk/2.dat", "TWO")
        self.user("late@example.org")

    def state(self) -> dict[str, Any]:
        files = {
            str(path.relative_to(root.parent)): path.read_text()
            for root in (self.data, self.config, self.disk)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix != ".sqlite"
        }
        return {**files, "users": self.users}


BACKED_UP = {
    "data/objects/1.dat": "one",
    "data/config/shed_tool_conf.xml": "<tools/>",
    "disk/2.dat": "two",
    "config/secrets.json": '{"id_secret": "s3cret"}',
    "users": ["student@example.org"],
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    names = iter(f"2026112{day}T000000Z" for day in range(10))
    monkeypatch.setattr(time, "strftime", lambda *_arguments: next(names))
    server = Server(tmp_path)
    server.make()
    return server


def test_a_backup_says_what_it_is(server: Server) -> None:
    (server.directory / ".new-1/trees").mkdir(parents=True)  # what a run left that was killed
    backup = Path(server.back_up())
    assert os.listdir(server.directory) == [backup.name]
    assert sorted(os.listdir(backup)) == ["SHA256SUMS", "backup.json", "files.tar.gz", "galaxy.dump", "trees"]
    assert [path.stat().st_mode & 0o077 for path in (backup, *filter(Path.is_file, backup.iterdir()))] == [0] * 5
    said = json.loads((backup / "backup.json").read_text())
    assert (said["instance"], said["galaxy"], said["release"]) == ("galaxy", "26.1.2", "26.1.2-a")
    assert (said["files"], said["revisions"]) == (5, ["student@example.org"])
    assert [tree["path"] for tree in said["trees"]] == [str(server.data), str(server.disk)]
    assert not (backup / f"trees{server.data}/galaxy.sqlite").exists()
    assert (
        subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=backup, check=False
        ).returncode
        == 0
    )
    backups.verify(str(backup))
    # No secret is in what it says of itself.
    assert "s3cret" not in (backup / "backup.json").read_text() + (backup / "SHA256SUMS").read_text()


def test_a_backup_shares_what_has_not_changed(server: Server) -> None:
    first = Path(server.back_up())
    server.write("data/objects/3.dat", "three")
    second = Path(server.back_up())
    name = f"trees{server.data}/objects/1.dat"
    assert (first / name).samefile(second / name)
    backups.verify(str(second))
    assert backups.prune(str(server.directory), 1) == [str(first)]
    backups.verify(str(second))


def test_a_tree_that_lies_in_another(server: Server) -> None:
    server.disk = server.data / "more"
    server.write("data/more/2.dat", "two")
    backup = server.back_up()
    server.back_up()
    server.write("data/more/2.dat", "TWO")
    server.write("data/objects/1.dat", "ONE")
    server.restore(backup)
    assert (server.data / "more/2.dat").read_text() == "two"
    assert (server.data / "objects/1.dat").read_text() == "one"
    assert not os.path.lexists(server.data / trees.BEFORE / "more")


def test_a_backup_that_fails_leaves_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_files: object) -> bytes:
        raise OSError("no more")

    monkeypatch.setattr(snapshot, "pack", fail)
    with pytest.raises(OSError, match="no more"):
        server.back_up()
    assert os.listdir(server.directory) == []


def test_room_is_looked_for_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "size", lambda _self: 1 << 60)
    with pytest.raises(DatabaseError, match=r"MB left, and the backup \(galaxy_backup_dir\) takes up to"):
        server.back_up()
    assert os.listdir(server.directory) == []


def test_choose(server: Server) -> None:
    with pytest.raises(BackupError, match="has no backup in it"):
        backups.choose(str(server.directory), "latest")
    first, second = server.back_up(), server.back_up()
    (server.directory / "20261231T000000Z").mkdir()  # no backup
    assert backups.choose(str(server.directory), "latest") == second
    assert backups.choose(str(server.directory), os.path.basename(first)) == first
    with pytest.raises(BackupError, match=r"no whole backup 20261231T000000Z.*but 20261120T000000Z, 20261121T000000Z"):
        backups.choose(str(server.directory), "20261231T000000Z")


def cut_short(backup: Path) -> None:
    os.truncate(next(backup.glob("trees/**/1.dat")), 2)


def one_bit(backup: Path) -> None:
    path = backup / "galaxy.dump"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a dataset cut short": (cut_short, "damaged: trees/.*/data/objects/1.dat"),
    "a bit of the dump": (one_bit, "damaged: galaxy.dump"),
    "no files": (lambda backup: (backup / "files.tar.gz").unlink(), "damaged: files.tar.gz"),
    "no data": (lambda backup: shutil.rmtree(backup / "trees"), r"damaged: trees/.*1.dat.*"),
    "sums rewritten": (lambda backup: (backup / "SHA256SUMS").write_text(""), "SHA256SUMS is not the one"),
    "no JSON": (lambda backup: (backup / "backup.json").write_text("{"), "backup.json cannot be read"),
    "nothing said": (lambda backup: (backup / "backup.json").write_text("{}"), "does not say what a backup says"),
}


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found(server: Server, damage: Callable[[Path], object], message: str) -> None:
    backup = server.back_up()
    damage(Path(backup))
    with pytest.raises(BackupError, match=message):
        backups.verify(backup)


def test_owners_that_were_lost_are_noticed(server: Server) -> None:
    backup = server.back_up()
    path = Path(backup, "backup.json")
    said = json.loads(path.read_text())
    said["trees"][0]["owner"] = [4711, 4711]
    path.write_text(json.dumps(said))
    with pytest.raises(BackupError, match=r"lost the owners .* rsync -aH"):
        backups.verify(backup)


@pytest.mark.parametrize(
    "instance, release, data, message",
    [
        ("other", "26.1.2", None, "of the instance galaxy, and not of other"),
        ("galaxy", "26.1.3", None, "galaxy_release is 26.1.3; set galaxy_release: 26.1.2"),
        ("galaxy", "26.1.2", ["/elsewhere"], "this instance has its own in /elsewhere"),
    ],
)
def test_a_backup_of_another(server: Server, instance: str, release: str, data: list[str] | None, message: str) -> None:
    said = backups.read(server.back_up())
    backups.check(said, "galaxy", "26.1.2", [str(server.data), str(server.disk)])
    with pytest.raises(BackupError, match=message):
        backups.check(said, instance, release, data or [str(server.data), str(server.disk)])


def test_put_back(server: Server) -> None:
    backup = server.back_up()
    server.ruin()
    ruined = server.state()
    server.stage(backup)
    assert {key: value for key, value in server.state().items() if ".restore" not in key} == ruined
    server.change(backup)
    assert {key: value for key, value in server.state().items() if ".restore" not in key} == BACKED_UP
    restore = restoring.pending(str(server.record))
    assert restore
    assert Path(restore.dump, "files.tar.gz").exists()
    restoring.finish(str(server.record))
    assert restoring.read(str(server.record)) is None
    assert server.state() == BACKED_UP
    # A backup is not used up.
    backups.verify(backup)


def test_undone(server: Server) -> None:
    backup = server.back_up()
    server.ruin()
    ruined = server.state()
    server.restore(backup)
    server.write("data/tmp/again", "made by what has been restored")
    server.write("data/objects/1.dat", "changed by it")
    assert restoring.undo(str(server.record), [server.database])
    state = server.state()
    # Nobody knows whose it is.
    assert state.pop("data/tmp/again", None) is None
    assert state == ruined
    assert not restoring.undo(str(server.record), [server.database])


def test_cut_off_at_any_moment_and_done_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is what was there at first, however often it takes."""
    backup = server.back_up()
    server.ruin()
    ruined = server.state()
    moments = [(trees, "exchange"), (trees, "take_owner"), (snapshot, "put_back"), (dumps, "restore")]
    for where, name in moments:
        done = getattr(where, name)

        def once(*arguments: Any, done: Callable[..., Any] = done, **more: Any) -> None:
            done(*arguments, **more)
            raise KeyboardInterrupt

        monkeypatch.setattr(where, name, once)
        with pytest.raises(KeyboardInterrupt):
            server.restore(backup)
        monkeypatch.setattr(where, name, done)
        assert restoring.pending(str(server.record))
    server.restore(backup)
    assert {key: value for key, value in server.state().items() if ".restore" not in key} == BACKED_UP
    assert len(backups.find(str(server.directory))) == 1
    assert len([name for name in os.listdir(server.dumps) if not name.startswith(".")]) == 1
    assert restoring.undo(str(server.record), [server.database])
    assert server.state() == ruined


def test_onto_a_bare_machine(server: Server) -> None:
    backup = server.back_up()
    for path in (server.data, server.config, server.disk):
        shutil.rmtree(path)
    server.data.mkdir()
    server.restore(backup)
    assert {key: value for key, value in server.state().items() if ".restore" not in key} == BACKED_UP
    assert server.disk.stat().st_mode & 0o777 == 0o750
    # There is nothing to go back to.
    assert not restoring.undo(str(server.record), [server.database])
    assert restoring.pending(str(server.record))
    restoring.finish(str(server.record))
    assert server.state() == BACKED_UP


def test_datasets_are_left_alone_if_the_backup_has_none(server: Server) -> None:
    backup = server.back_up(datasets=False)
    assert not Path(f"{backup}/trees{server.data}/objects").exists()
    server.ruin()
    server.restore(backup)
    state = {key: value for key, value in server.state().items() if ".restore" not in key}
    assert state == {**BACKED_UP, "data/objects/1.dat": "ONE", "data/objects/3.dat": "three"}


def test_no_room_is_told_before_anything_is_touched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = server.back_up()
    server.ruin()
    ruined = server.state()
    monkeypatch.setattr(trees.Copy, "needed", lambda _self: 1 << 60)
    with pytest.raises(DatabaseError, match="MB left, and what is put back takes up to"):
        server.stage(backup)
    assert server.state() == ruined
    assert restoring.read(str(server.record)) is None


def test_leftovers_of_a_proved_restore_go(server: Server) -> None:
    """A run that was cut off while it removed them is no reason to restore again."""
    backup = server.back_up()
    server.ruin()
    server.restore(backup)
    restore = restoring.pending(str(server.record))
    assert restore
    restore.proved = True
    restoring._write(str(server.record), restore)
    assert restoring.pending(str(server.record)) is None
    server.write("data/objects/4.dat", "since then")
    server.stage(backup)
    assert restoring.read(str(server.record)) is None
    assert not os.path.lexists(server.data / trees.BEFORE)


def test_a_certificate_is_not_replaced_by_an_older_one(server: Server) -> None:
    letsencrypt = server.config.parent / "letsencrypt"
    server.write("letsencrypt/key", "old")
    said = {"instance": "galaxy", "galaxy": "26.1.2"}
    backup, _manifest = backups.make(
        str(server.directory), Instance([server.database], [str(letsencrypt)], [str(server.data)], facts=said)
    )
    for there, expected in ((True, "renewed"), (False, "old")):
        server.write("letsencrypt/key", "renewed")
        if not there:
            shutil.rmtree(letsencrypt)
        server.stage(backup)
        restoring.change(
            backup, str(server.record), [server.database], [], [str(letsencrypt)], str(server.dumps), {"release": "a"}
        )
        assert (letsencrypt / "key").read_text() == expected
        restoring.finish(str(server.record))
