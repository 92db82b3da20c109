# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release_schema, run by Ansible on a release made here."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"

pytestmark = pytest.mark.skipif(not COLLECTIONS.is_dir(), reason="needs a checkout")


def run(directory: Path, release: Path, *arguments: str) -> dict[str, t.Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "adhoc", "localhost", "-i", "localhost,", "-c", "local"),
            *("-m", "dagobah.galaxy.release_schema", "-a", f"path={release}", *arguments),
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_HOME": str(directory),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "{" in done.stdout, done.stdout + done.stderr
    result: dict[str, t.Any] = json.loads(done.stdout[done.stdout.index("=> {") + 3 :])
    return result


def make_release(directory: Path, program: str) -> Path:
    release = directory / "release"
    python = release / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return release


def test_the_release_reads_itself(tmp_path: Path) -> None:
    # Stands for the release's Python: shows that it was given the program, and answers.
    release = make_release(tmp_path, """grep -q 'def read_release' && echo '{"options": {"a": {}}}'""")
    result = run(tmp_path, release)
    assert result["schema"] == {"options": {"a": {}}}
    assert result["changed"] is False


def test_no_release(tmp_path: Path) -> None:
    result = run(tmp_path, tmp_path / "missing")
    assert "there is no release here" in result["msg"]
    assert run(tmp_path, tmp_path / "missing", "--check")["schema"] == {}


def test_a_release_that_cannot_be_read(tmp_path: Path) -> None:
    result = run(
        tmp_path, make_release(tmp_path, "cat > /dev/null; echo 'galaxy.config is not installed here' >&2; exit 1")
    )
    assert "galaxy.config is not installed here" in result["msg"]
