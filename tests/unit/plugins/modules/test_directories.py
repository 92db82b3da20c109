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

RunModule = Callable[..., dict[str, Any]]


def entry(path: Path, mode: str) -> dict[str, str]:
    me = os.geteuid()
    return {
        "path": str(path),
        "owner": pwd.getpwuid(me).pw_name,
        "group": grp.getgrgid(os.getegid()).gr_name,
        "mode": mode,
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_makes_them_once_parents_first(run_module: RunModule, tmp_path: Path) -> None:
    layout = [entry(tmp_path / "root", "0755"), entry(tmp_path / "root" / "data", "0750")]
    first = run_module("directories", {"layout": layout})
    assert first["changed_paths"] == [str(tmp_path / "root"), str(tmp_path / "root" / "data")]
    assert (mode(tmp_path / "root"), mode(tmp_path / "root" / "data")) == (0o755, 0o750)
    second = run_module("directories", {"layout": layout})
    assert (second["changed"], second["changed_paths"]) == (False, [])


def test_mends_a_mode_and_leaves_the_rest(run_module: RunModule, tmp_path: Path) -> None:
    layout = [entry(tmp_path / "a", "0750"), entry(tmp_path / "b", "0750")]
    run_module("directories", {"layout": layout})
    (tmp_path / "b").chmod(0o777)
    (tmp_path / "b" / "kept").touch()
    assert run_module("directories", {"layout": layout})["changed_paths"] == [str(tmp_path / "b")]
    assert mode(tmp_path / "b") == 0o750
    assert (tmp_path / "b" / "kept").exists()


def test_check_mode_makes_nothing(run_module: RunModule, tmp_path: Path) -> None:
    layout = [entry(tmp_path / "root", "0755"), entry(tmp_path / "root" / "data", "0750")]
    result = run_module("directories", {"layout": layout}, check=True)
    assert result["changed_paths"] == [item["path"] for item in layout]
    assert not (tmp_path / "root").exists()


def test_a_file_in_the_way_is_named_and_kept(run_module: RunModule, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("precious", encoding="utf-8")
    result = run_module("directories", {"layout": [entry(tmp_path / "data", "0750")]})
    assert result["failed"]
    assert f"{tmp_path}/data is to be a directory" in result["msg"]
    assert (tmp_path / "data").read_text(encoding="utf-8") == "precious"
