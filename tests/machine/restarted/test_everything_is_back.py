# SPDX-License-Identifier: GPL-3.0-or-later
"""After the machine was turned off and on again: everything is back by itself."""

from __future__ import annotations

import pytest
from support import Galaxy, Machine, Student


def test_the_machine_was_restarted(machine: Machine) -> None:
    """Or else the rest proves nothing."""
    assert int(machine.run("ps -o etimes= -p 1 2>/dev/null || echo $(( $(date +%%s) - $(stat -c %%Y /proc/1) ))")) < 900


def test_pages_are_answered(galaxy: Galaxy) -> None:
    assert "Galaxy" in galaxy.get("/").text
    assert galaxy.get("/static/dist/base.css").status_code == 200


def test_all_programs_run(machine: Machine, galaxy: Galaxy) -> None:
    programs = machine.programs()
    assert set(programs) == {"galaxy", "handler0", "handler1"}
    assert set(programs.values()) == {"RUNNING"}


def test_no_unit_failed(machine: Machine) -> None:
    if not machine.succeeds("test -d /run/systemd/system"):
        pytest.skip("there is no systemd on this machine")
    assert machine.run("systemctl list-units --failed --plain --no-legend") == ""


def test_accounts_and_data_are_kept(student: Student) -> None:
    history = student.history("Kept over a restart")
    kept = [d for d in student.api("GET", f"histories/{history}/contents") if d["name"] == "kept.txt"]
    assert kept
    answer = student.download(student.finished(kept[0]["id"]))
    assert answer.text.startswith("line 0\nline 1\n")


def test_jobs_run(student: Student) -> None:
    assert student.upload("after\n", student.history("After a restart"), "after.txt").state == "ok"
