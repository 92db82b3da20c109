# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module checkout, on a repository made here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunModule = Callable[..., dict[str, Any]]
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@b")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a classic Galaxy, for which nobody is asked for a client."""
    path = tmp_path / "galaxy"
    (path / "lib/galaxy/dependencies").mkdir(parents=True)
    (path / "lib/galaxy/version.py").write_text('VERSION_MAJOR = "20.05"\nVERSION_MINOR = None\n')
    (path / "lib/galaxy/dependencies/pinned-requirements.txt").write_text("mako==1.1.2\n")
    for command in (
        ("init", "--quiet", "--initial-branch=dev"),
        ("add", "--all"),
        (*IDENTITY, "commit", "--quiet", "-m", "x"),
    ):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path


def test_it_looks_and_lays_out(run_module: RunModule, repository: Path, tmp_path: Path) -> None:
    found = run_module("checkout", {"repo": str(repository), "commit": "dev"})
    assert not found.get("failed"), found
    assert not found["changed"]
    assert found["release"] == "20.5.0"
    assert found["requirements"] == "mako==1.1.2\n"
    assert found["client"] == {}
    given = {"repo": str(repository), "commit": found["commit"], "dest": str(tmp_path / "release/galaxy")}
    assert run_module("checkout", given, check=True)["changed"]
    assert not (tmp_path / "release").exists()
    assert run_module("checkout", given)["changed"]
    assert (tmp_path / "release/galaxy/lib/galaxy/version.py").exists()
    assert not run_module("checkout", given)["changed"]


def test_another_release_than_is_said(run_module: RunModule, repository: Path) -> None:
    given = {"repo": str(repository), "commit": "dev"}
    assert not run_module("checkout", {**given, "release": "20.05"}).get("failed")
    found = run_module("checkout", {**given, "release": "26.1.2"})
    assert found["failed"]
    assert found["msg"] == 'galaxy_release: "26.1.2": galaxy_commit_id is of Galaxy 20.5.0; leave galaxy_release out'


def test_check_mode_without_git(
    run_module: RunModule, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    given = {"repo": str(repository), "commit": "dev", "fallback": "26.1.2"}
    found = run_module("checkout", given, check=True)
    assert not found.get("failed"), found
    assert (found["commit"], found["release"], found["client"]) == ("", "26.1.2", {})
    assert "git is not installed" in str(found["warnings"])


def test_a_commit_that_is_not_there(run_module: RunModule, repository: Path) -> None:
    found = run_module("checkout", {"repo": str(repository), "commit": "release_26.1"})
    assert found["failed"]
    assert found["msg"].startswith('galaxy_commit_id: "release_26.1": is no branch and no tag')
