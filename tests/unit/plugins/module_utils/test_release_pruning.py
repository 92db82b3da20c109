# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.dagobah.galaxy.plugins.module_utils import release_pruning


def release(directory: Path, name: str, built: int) -> str:
    path = directory / name
    path.mkdir()
    (path / "release.json").write_text("{}")
    os.utime(path / "release.json", (built, built))
    return str(path)


def test_the_oldest_go_and_those_that_are_needed_stay(tmp_path: Path) -> None:
    releases = [release(tmp_path, f"release-{number}", number) for number in range(5)]
    (tmp_path / ".uv").mkdir()
    (tmp_path / "galaxy.json").write_text("{}")

    def superfluous(keep: int, *needed: int) -> list[int]:
        found = release_pruning.superfluous(str(tmp_path), keep, {releases[number] for number in needed})
        return [releases.index(path) for path in found]

    assert superfluous(2, 4, 3) == [0, 1, 2]
    # An old one serves, and one beside it is needed to go back.
    assert superfluous(2, 0, 1) == [2, 3, 4]
    assert superfluous(3, 0, 1) == [2, 3]
    # More are needed than are to be kept.
    assert superfluous(2, 0, 1, 2) == [3, 4]
    assert superfluous(9, 4) == []


def test_what_a_build_left_goes_when_nobody_can_be_at_it_any_more(tmp_path: Path) -> None:
    left = tmp_path / "26.1.2-left"
    left.mkdir()
    now = left.stat().st_mtime
    assert release_pruning.superfluous(str(tmp_path), 2, (), now + 60) == []
    assert release_pruning.superfluous(str(tmp_path), 2, (), now + 2 * 24 * 3600) == [str(left)]
    assert release_pruning.superfluous(str(tmp_path), 2, {str(left)}, now + 2 * 24 * 3600) == []


def test_releases_that_processes_run_from_are_found(tmp_path: Path) -> None:
    for name in ("idle", "cwd", "environment", "argument"):
        (tmp_path / name / "bin").mkdir(parents=True)
    sleep = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, env=env)
        for command, cwd, env in (
            (sleep, tmp_path / "cwd/bin", {}),
            (sleep, "/", {"VIRTUAL_ENV": str(tmp_path / "environment")}),
            ([*sleep, f"{tmp_path}/argument/bin/galaxy"], "/", {}),
        )
    ]
    try:
        for process in started:
            assert process.stdout
            process.stdout.readline()
        found = release_pruning.in_use(str(tmp_path))
    finally:
        for process in started:
            process.communicate()
    assert {os.path.basename(path) for path in found} == {"cwd", "environment", "argument"}
    assert release_pruning.in_use(str(tmp_path)) == set()


def test_removing(tmp_path: Path) -> None:
    path = release(tmp_path, "old", 1)
    assert release_pruning.remove([path]) == [path]
    assert os.listdir(tmp_path) == []
