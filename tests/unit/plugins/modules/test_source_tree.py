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
FILES = {"__init__.py": '"""A package, with ümlauts."""\n', "bridge.py": "x = 1\n"}


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Run:
    """Return a function that ensures files in the directory ``package``."""
    owner = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}

    def run(files: dict[str, str] = FILES, check: bool = False) -> dict[str, Any]:
        return run_module("source_tree", {"path": str(tmp_path / "package"), "files": files, **owner}, check)

    return run


def content(path: Path) -> dict[str, str]:
    return {item.name: item.read_text(encoding="utf-8") for item in path.iterdir() if item.is_file()}


def test_writes_once(run: Run, tmp_path: Path) -> None:
    assert run()["changed_files"] == [".", "__init__.py", "bridge.py"]
    assert content(tmp_path / "package") == FILES
    assert stat.S_IMODE((tmp_path / "package").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "package" / "bridge.py").stat().st_mode) == 0o644
    assert run()["changed"] is False


def test_mends_what_differs_and_removes_what_is_left_over(run: Run, tmp_path: Path) -> None:
    run()
    package = tmp_path / "package"
    (package / "bridge.py").write_text("x = 2\n", encoding="utf-8")
    (package / "__init__.py").chmod(0o600)
    (package / "old.py").touch()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "bridge.cpython-311.pyc").touch()
    result = run()
    assert result["changed_files"] == ["__init__.py", "bridge.py", "old.py"]
    assert {item["header"] for item in result["diff"]} == {str(package / "bridge.py"), str(package / "old.py")}
    assert content(package) == FILES
    assert (package / "__pycache__" / "bridge.cpython-311.pyc").exists()


def test_check_mode_writes_nothing(run: Run, tmp_path: Path) -> None:
    assert run(check=True)["changed_files"] == [".", "__init__.py", "bridge.py"]
    assert not (tmp_path / "package").exists()
    run()
    (tmp_path / "package" / "old.py").touch()
    assert run(check=True)["changed_files"] == ["old.py"]
    assert (tmp_path / "package" / "old.py").exists()


@pytest.mark.parametrize("name", ["../evil.py", "a/b.py", "..", ""])
def test_names_are_names(run: Run, tmp_path: Path, name: str) -> None:
    result = run({name: "x"})
    assert result["failed"]
    assert repr(name) in result["msg"]
    assert not list(tmp_path.iterdir())
