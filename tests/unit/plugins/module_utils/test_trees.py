# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import trees
from ansible_collections.dagobah.galaxy.plugins.module_utils.trees import BEFORE, NEW, Copy

NO_DISKS = "/dev/null"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def copy(source: Path, target: Path, like: Path | None = None, known: dict[str, str] | None = None) -> Copy:
    made = Copy(str(source), str(target), str(like or ""), known=known)
    made.make()
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    write(path, {"objects/1.dat": "one", "objects/2.dat": "two", "config/shed.xml": "<tools/>"})
    (path / "link").symlink_to("objects/1.dat")
    (path / "empty").mkdir()
    (path / "empty").chmod(0o751)
    return path


def test_a_copy_is_what_it_is_of(data: Path, tmp_path: Path) -> None:
    os.utime(data / "objects/1.dat", ns=(1, 123456789))
    (data / "objects/1.dat").chmod(0o640)
    os.link(data / "objects/1.dat", data / "objects/also.dat")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / "socket"))
        made = copy(data, tmp_path / "copy")
    copied = tmp_path / "copy"
    assert contents(copied) == contents(data)
    assert os.readlink(copied / "link") == "objects/1.dat"
    assert (copied / "empty").stat().st_mode & 0o777 == 0o751
    assert (copied / "objects/1.dat").stat().st_mtime_ns == 123456789
    assert (copied / "objects/1.dat").stat().st_mode & 0o777 == 0o640
    assert (copied / "objects/1.dat").samefile(copied / "objects/also.dat")
    assert not (copied / "objects/1.dat").samefile(data / "objects/1.dat")
    assert not (copied / "socket").exists()
    assert made.sums["objects/1.dat"] == subprocess.check_output(["sha256sum", data / "link"], text=True).split()[0]
    assert made.vanished == []


def test_what_has_not_changed_takes_no_room(data: Path, tmp_path: Path) -> None:
    first = copy(data, tmp_path / "first")
    (data / "objects/2.dat").write_text("TWO")
    (data / "config/new.xml").write_text("<new/>")
    second = Copy(str(data), str(tmp_path / "second"), str(tmp_path / "first"), known=first.sums)
    assert second.needed() == len("TWO") + len("<new/>")
    second.make()
    assert contents(tmp_path / "second") == contents(data)
    assert contents(tmp_path / "first")["objects/2.dat"] == "two"
    shared = [name for name in contents(data) if (tmp_path / "first" / name).exists()]
    same = [name for name in shared if (tmp_path / "first" / name).samefile(tmp_path / "second" / name)]
    assert same == ["config/shed.xml", "link", "objects/1.dat"]
    # Nobody has read the file again, and yet its sum is known.
    assert second.sums["objects/1.dat"] == first.sums["objects/1.dat"]
    # What the copy before has no sum of is not trusted.
    third = copy(data, tmp_path / "third", tmp_path / "second", known={})
    assert third.sums == second.sums


def test_owners_get_other_numbers(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "chown", lambda path, user, group, **_more: given.update({path: (user, group)}))
    me = (os.geteuid(), os.getegid())
    Copy(str(data), str(tmp_path / "copy"), owner={me: (41, 42)}.__getitem__).make()
    assert set(given.values()) == {(41, 42)}
    assert len(given) == 8


def test_what_goes_away_meanwhile_is_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    purged = Copy(str(data), str(tmp_path / "copy"))
    below: Callable[[str], list[str]] = purged._below

    def listed(path: str) -> list[str]:
        names = below(path)
        if path == "objects":
            (data / "objects/1.dat").unlink()
        return names

    monkeypatch.setattr(purged, "_below", listed)
    purged.make()
    assert purged.vanished == [str(data / "objects/1.dat")]
    assert sorted(os.listdir(tmp_path / "copy/objects")) == ["2.dat"]


def test_a_file_that_grows_is_copied_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the time of before it was read, so that the next copy does not take it for the same."""
    path = data / "objects/1.dat"
    os.utime(path, ns=(1, 1))
    fstat = os.fstat

    def and_then_write(descriptor: int) -> os.stat_result:
        info = fstat(descriptor)
        if info.st_ino == path.stat().st_ino:
            path.write_text("on")
            path.write_text("one")
        return info

    monkeypatch.setattr(os, "fstat", and_then_write)
    first = copy(data, tmp_path / "first")
    monkeypatch.undo()
    assert (tmp_path / "first/objects/1.dat").stat().st_mtime_ns == 1
    copy(data, tmp_path / "second", tmp_path / "first", first.sums)
    assert not (tmp_path / "first/objects/1.dat").samefile(tmp_path / "second/objects/1.dat")


def test_left_out(data: Path, tmp_path: Path) -> None:
    Copy(str(data), str(tmp_path / "copy"), without=[str(data / "objects"), str(data / "config/shed.xml")]).make()
    assert sorted(os.listdir(tmp_path / "copy")) == ["config", "empty", "link"]
    assert os.listdir(tmp_path / "copy/config") == []


NAMES = ["plain", "with space", "back\\slash", "new\nline", "carriage\rreturn", "\\n", "umlaut-ä", "\udcff-no-text"]


def test_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "tree" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_text(name.encode("utf-8", "surrogateescape").hex())
    made = copy(tmp_path / "tree", tmp_path / "copy")
    content = trees.write_sums(made.sums)
    assert trees.read_sums(content) == made.sums
    check = subprocess.run(
        ["sha256sum", "--check", "--strict"], input=content, cwd=tmp_path / "copy", capture_output=True, check=False
    )
    assert check.returncode == 0, check
    assert check.stdout.count(b": OK") == len(NAMES)


def exchange(tree: Path, added: list[str], apart: tuple[str, ...] = ()) -> list[str]:
    units = trees.units(str(tree), {str(tree / path) for path in apart}, NO_DISKS)
    for unit in units:
        trees.exchange(str(tree), unit, unit in added)
    return units


def test_exchanged_and_back(data: Path) -> None:
    before = contents(data)
    write(data / NEW, {"objects/9.dat": "nine", "tools/new.xml": "<tool/>"})
    assert exchange(data, ["tools"]) == ["config", "empty", "link", "objects", "tools"]
    assert {name: text for name, text in contents(data).items() if not name.startswith(".restore")} == {
        "objects/9.dat": "nine",
        "tools/new.xml": "<tool/>",
    }
    for unit in ("config", "empty", "link", "objects", "tools"):
        trees.exchange_back(str(data), unit, unit == "tools")
        trees.exchange_back(str(data), unit, unit == "tools")
    trees.remove(str(data / trees.STAGE))
    assert contents(data) == before


def test_what_galaxys_user_has_laid_there_is_not_followed(data: Path, tmp_path: Path) -> None:
    write(tmp_path / "etc", {"new/passwd": "root"})
    (data / trees.STAGE).symlink_to(tmp_path / "etc")
    trees.make_stage(str(data))
    assert contents(tmp_path / "etc") == {"new/passwd": "root"}
    assert not (data / trees.STAGE).is_symlink()
    assert (data / trees.STAGE).stat().st_mode & 0o777 == 0o700


def test_cut_off_and_done_again(data: Path) -> None:
    """What was there before is never what an attempt has put there."""
    new = {"objects/9.dat": "nine", "tools/new.xml": "<tool/>"}
    write(data / NEW, new)
    trees.exchange(str(data), "objects", added=False)
    trees.exchange(str(data), "tools", added=True)
    # The next attempt lays everything out again.
    trees.remove(str(data / NEW))
    write(data / NEW, new)
    exchange(data, ["tools"])
    assert {name for name in contents(data) if not name.startswith(".restore")} == set(new)
    assert set(contents(data / BEFORE)) == {"objects/1.dat", "objects/2.dat", "config/shed.xml", "link"}


def test_what_is_apart_is_not_touched(data: Path) -> None:
    write(data / NEW, {"objects/9.dat": "nine", "config/deep/new.xml": "<new/>", "other/deep/1": "1"})
    units = exchange(data, ["config/deep", "other"], ("objects", "config/deep/er", "elsewhere/x"))
    assert units == ["config/deep/new.xml", "config/shed.xml", "empty", "link", "other"]
    assert contents(data / "objects") == {"1.dat": "one", "2.dat": "two"}
    assert contents(data / "config") == {"deep/new.xml": "<new/>"}


def test_a_disk_of_its_own(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    line = "36 35 98:0 / {} rw,noatime - ext4 /dev/sdb rw\n"
    table.write_text(line.format(data) + line.format(f"{data}/jobs\\040here") + line.format(f"{data}2/x"))
    assert trees.mounts(str(data), str(table)) == {f"{data}/jobs here"}
    (data / "jobs here").mkdir()
    # The backup has nothing of it: it stays where it is.
    assert "jobs here" not in trees.units(str(data), (), str(table))
    write(data / NEW, {"jobs here/1": "1"})
    with pytest.raises(OSError, match=r"disk of its own.*galaxy_backup_paths.*jobs here"):
        trees.units(str(data), (), str(table))
    assert trees.units(str(data), [f"{data}/jobs here"], str(table)) == ["config", "empty", "link", "objects"]
