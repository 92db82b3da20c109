# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof_record

ME = [os.getpid(), os.getppid()]
FACTS = {"job_id": 7, "handler": "handler0"}


@pytest.fixture
def record(tmp_path: Path) -> str:
    (tmp_path / "galaxy.ini").touch()
    time.sleep(0.02)
    path = str(tmp_path / "proof.json")
    proof_record.write(path, ME, FACTS)
    return path


def test_the_same_processes_have_been_proved(record: str, tmp_path: Path) -> None:
    assert proof_record.read(record, reversed(ME), [str(tmp_path / "galaxy.ini")]) == FACTS
    assert Path(record).stat().st_mode & 0o777 == 0o600


def test_other_processes_have_not(record: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert proof_record.read(record, [*ME, other.pid], []) is None
        assert proof_record.read(record, [ME[0], other.pid], []) is None
        other.kill()


def test_a_changed_input_asks_for_another_job(record: str, tmp_path: Path) -> None:
    time.sleep(0.02)
    (tmp_path / "galaxy.ini").write_text("x", encoding="utf-8")
    assert proof_record.read(record, ME, [str(tmp_path / "galaxy.ini")]) is None


@pytest.mark.parametrize("later", [proof_record.LONGEST + 1, -60])
def test_an_old_record_does_not_count_nor_one_of_the_future(
    record: str, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    now = time.time()
    monkeypatch.setattr(proof_record.time, "time", lambda: now + later)
    assert proof_record.read(record, ME, []) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"time": "x"}', "\xff"])
def test_a_damaged_record_does_not_count(record: str, content: str) -> None:
    Path(record).write_text(content, encoding="latin-1")
    assert proof_record.read(record, ME, []) is None
    Path(record).unlink()
    assert proof_record.read(record, ME, []) is None


def test_a_process_that_has_gone_does_not_count(record: str) -> None:
    with subprocess.Popen(["true"]) as other:
        other.wait()
        assert proof_record.read(record, [other.pid], []) is None
