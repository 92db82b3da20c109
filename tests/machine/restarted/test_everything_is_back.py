# SPDX-License-Identifier: GPL-3.0-or-later
"""After the machine was turned off and on again: everything is back by itself."""

from __future__ import annotations

import pytest
from support import KEPT, KEPT_TEXT, Galaxy, Machine, Student


def test_the_machine_was_restarted(machine: Machine) -> None:
    """Or else the rest proves nothing."""
    running = machine.python("""
import json, os
with open("/proc/1/stat") as init, open("/proc/uptime") as up:
    started = int(init.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    print(json.dumps(float(up.read().split()[0]) - started))
""")
    assert running < 900


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
    """The tests before the restart have made them."""
    kept = student.datasets(student.history(KEPT))
    assert kept
    assert student.download(kept[0]).text == KEPT_TEXT


def test_jobs_run(student: Student) -> None:
    assert student.upload("after\n", student.history("After a restart"), "after.txt").state == "ok"
