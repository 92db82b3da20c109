# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Run:
    """Return a function that ensures entries below a temporary directory."""
    mine = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}

    def run(*entries: dict[str, Any], check: bool = False) -> dict[str, Any]:
        placed = [{**mine, **entry, "path": str(tmp_path / entry["path"])} for entry in entries]
        result = run_module("layout", {"entries": placed}, check)
        result["paths"] = [os.path.relpath(path, tmp_path) for path in result.get("changed_paths", ())]
        return result

    return run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


EVERYTHING: list[dict[str, Any]] = [
    {"path": "root"},
    {"path": "root/data", "mode": "0750"},
    {"path": "root/galaxy.ini", "content": "brand = Gälaxy\n", "mode": "0640"},
    {"path": "root/venv", "target": "releases/1"},
]


def test_makes_everything_once(run: Run, tmp_path: Path) -> None:
    assert run(*EVERYTHING)["paths"] == ["root", "root/data", "root/galaxy.ini", "root/venv"]
    root = tmp_path / "root"
    assert [mode(root), mode(root / "data"), mode(root / "galaxy.ini")] == [0o755, 0o750, 0o640]
    assert (root / "galaxy.ini").read_text(encoding="utf-8") == "brand = Gälaxy\n"
    assert os.readlink(root / "venv") == "releases/1"
    times = [(root / name).lstat().st_ctime_ns for name in ("data", "galaxy.ini", "venv")]
    second = run(*EVERYTHING)
    assert (second["changed"], second["paths"], second["diff"]) == (False, [], [])
    # What is older than a process makes supervisor restart it: nothing may be touched without need.
    assert [(root / name).lstat().st_ctime_ns for name in ("data", "galaxy.ini", "venv")] == times


def test_check_mode_makes_nothing(run: Run, tmp_path: Path) -> None:
    assert run(*EVERYTHING, check=True)["paths"] == ["root", "root/data", "root/galaxy.ini", "root/venv"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("check", [False, True])
def test_mends_what_differs(run: Run, tmp_path: Path, check: bool) -> None:
    run(*EVERYTHING)
    root = tmp_path / "root"
    (root / "data").chmod(0o777)
    (root / "data" / "kept").touch()
    (root / "galaxy.ini").write_text("brand = x\n", encoding="utf-8")
    (root / "venv").unlink()
    (root / "venv").symlink_to("releases/0")
    result = run(*EVERYTHING, check=check)
    assert result["paths"] == ["root/data", "root/galaxy.ini", "root/venv"]
    assert [(item["before"], item["after"]) for item in result["diff"]] == [
        ("brand = x\n", "brand = Gälaxy\n"),
        ("releases/0\n", "releases/1\n"),
    ]
    assert (root / "data" / "kept").exists()
    assert os.readlink(root / "venv") == ("releases/0" if check else "releases/1")
    assert run(*EVERYTHING)["changed"] is check


def test_a_secret_is_not_shown(run: Run) -> None:
    entry = {"path": "galaxy.ini", "content": "id_secret = hush\n", "mode": "0640", "secret": True}
    result = run(entry)
    assert result["changed"]
    assert "hush" not in str(result["diff"])
    assert "hush" not in str(run({**entry, "content": "id_secret = other\n"})["diff"])


def test_a_secret_is_not_returned_as_a_parameter(run: Run, tmp_path: Path) -> None:
    entry = {"path": "galaxy.ini", "content": "id_secret = hush\n", "secret": True}
    assert "hush" not in str(run(entry))
    (tmp_path / "x").mkdir()
    failed = run(entry, {"path": "x", "content": "hush"})
    assert failed["failed"]
    assert "hush" not in str(failed)


def test_a_content_can_be_kept(run: Run, tmp_path: Path) -> None:
    entry = {"path": "uwsgi.log", "content": "", "mode": "0640", "keep": True}
    assert run(entry)["changed"]
    (tmp_path / "uwsgi.log").write_text("a line\n", encoding="utf-8")
    assert not run(entry)["changed"]
    (tmp_path / "uwsgi.log").chmod(0o666)
    assert run(entry)["changed"]
    assert (tmp_path / "uwsgi.log").read_text(encoding="utf-8") == "a line\n"
    assert mode(tmp_path / "uwsgi.log") == 0o640


def test_missing_parents_are_made(run: Run, tmp_path: Path) -> None:
    assert run({"path": "data/apps/galaxy", "mode": "0750"})["changed"]
    assert [mode(tmp_path / "data"), mode(tmp_path / "data/apps/galaxy")] == [0o755, 0o750]


def test_a_content_that_is_not_valid_does_not_replace_the_old_one(run: Run, tmp_path: Path) -> None:
    entry = {"path": "site", "validate": "grep -q server %s"}
    assert run({**entry, "content": "server {}\n"})["changed"]
    refused = run(
        {**entry, "content": "nonsense\n", "validate": "sh -c 'grep -q server $0 || { echo no server >&2; false; }' %s"}
    )
    assert refused["failed"]
    assert f"{tmp_path}/site was left as it is" in refused["msg"]
    assert "no server" in refused["msg"]
    assert (tmp_path / "site").read_text(encoding="utf-8") == "server {}\n"


def test_a_directory_of_files_holds_nothing_else(run: Run, tmp_path: Path) -> None:
    package = {"path": "package", "files": {"bridge.py": "x = 1\n", "__init__.py": ""}}
    assert run(package)["paths"] == ["package/__init__.py", "package/bridge.py", "package"]
    assert mode(tmp_path / "package" / "bridge.py") == 0o644
    assert run(package)["changed"] is False
    (tmp_path / "package" / "old.py").touch()
    (tmp_path / "package" / "__pycache__").mkdir()
    assert run(package, check=True)["paths"] == ["package/old.py"]
    assert run(package)["paths"] == ["package/old.py"]
    assert sorted(item.name for item in (tmp_path / "package").iterdir()) == ["__init__.py", "__pycache__", "bridge.py"]


@pytest.mark.parametrize(
    "entry, there, message",
    [
        ({"path": "x"}, "file", "is to be a directory"),
        ({"path": "x", "content": ""}, "directory", "is to be a file"),
        ({"path": "x", "target": "y"}, "directory", "is to be a link"),
        ({"path": "x", "target": "y"}, "file", "is to be a link"),
        ({"path": "x/y/z", "content": ""}, "directory", "No such file or directory"),
        ({"path": "x", "files": {"../evil.py": ""}}, "directory", "not the name of a file"),
        ({"path": "x", "files": {"..": ""}}, "directory", "not the name of a file"),
    ],
)
def test_what_is_in_the_way_is_named_and_kept(
    run: Run, tmp_path: Path, entry: dict[str, Any], there: str, message: str
) -> None:
    if there == "file":
        (tmp_path / "x").write_text("precious", encoding="utf-8")
    else:
        (tmp_path / "x").mkdir()
    result = run(entry)
    assert result["failed"]
    assert message in result["msg"]
    assert str(tmp_path / "x") in result["msg"]
    assert (tmp_path / "x").is_file() == (there == "file")
