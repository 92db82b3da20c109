# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, as Ansible reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"

ROSTER = """seat;student;address;uwsgi_threads
seat01;Ada Lovelace;192.0.2.11;
seat02;Grace {{ 7 * 7 }};192.0.2.12:2222;4
"""


@pytest.fixture
def school(tmp_path: Path) -> Path:
    (tmp_path / "class.cohort.yml").write_text("plugin: dagobah.galaxy.cohort\n")
    (tmp_path / "roster.csv").write_text(ROSTER)
    return tmp_path


def read(school: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    command = ["ansible-inventory", "--inventory", str(school / "class.cohort.yml"), "--list", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=school)


def listed(school: Path, *arguments: str) -> dict[str, Any]:
    run = read(school, *arguments)
    assert run.returncode == 0, run.stderr
    # Text from outside is marked, so that no template in it is filled in.
    return dict(json.loads(run.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item)))


def test_seats_are_hosts_with_all_they_need(school: Path) -> None:
    found = listed(school)
    assert found["cohort"]["hosts"] == found["galaxy"]["hosts"] == ["seat01", "seat02"]
    first, second = (found["_meta"]["hostvars"][seat] for seat in ("seat01", "seat02"))
    assert (first["ansible_host"], first["cohort_student"]) == ("192.0.2.11", "Ada Lovelace")
    assert "ansible_port" not in first
    assert "uwsgi_threads" not in first
    assert (second["ansible_host"], second["ansible_port"], second["uwsgi_threads"]) == ("192.0.2.12", 2222, 4)
    for name in ("password", "admin_password", "login_password"):
        assert re.fullmatch(r"([a-z2-9]{4}-){2}[a-z2-9]{4}", first[f"cohort_{name}"])
        assert first[f"cohort_{name}"] != second[f"cohort_{name}"]
    for name in ("api_key", "admin_api_key"):
        assert re.fullmatch(r"[0-9a-f]{32}", first[f"cohort_{name}"])


def test_secrets_stay_and_are_the_instructors(school: Path) -> None:
    before = listed(school)["_meta"]["hostvars"]
    assert (school / "cohort-secrets.yml").stat().st_mode & 0o777 == 0o600
    (school / "roster.csv").write_text(ROSTER + "seat03;Hedy Lamarr;192.0.2.13;\n")
    after = listed(school)["_meta"]["hostvars"]
    assert {seat: after[seat] for seat in before} == before
    # A seat that comes back has what it had.
    (school / "roster.csv").write_text("seat\nseat03\n")
    listed(school)
    (school / "roster.csv").write_text(ROSTER)
    assert listed(school)["_meta"]["hostvars"] == before


def test_a_roster_runs_nothing(school: Path) -> None:
    run = subprocess.run(
        [
            "ansible",
            "--inventory",
            str(school / "class.cohort.yml"),
            "seat02",
            "-m",
            "debug",
            "-a",
            "var=cohort_student",
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
        cwd=school,
    )
    assert "49" not in run.stdout


def test_secrets_in_a_vault(school: Path) -> None:
    (school / "class.cohort.yml").write_text("plugin: dagobah.galaxy.cohort\nvault: true\n")
    run = read(school)
    assert run.returncode != 0
    assert "there is no vault password" in run.stderr
    assert not (school / "cohort-secrets.yml").exists()
    (school / "password").write_text("a vault's password\n")
    vault = ("--vault-password-file", str(school / "password"))
    before = listed(school, *vault)["_meta"]["hostvars"]
    assert (school / "cohort-secrets.yml").read_text().startswith("$ANSIBLE_VAULT;")
    (school / "roster.csv").write_text(ROSTER + "seat03;;192.0.2.13;\n")
    after = listed(school, *vault)["_meta"]["hostvars"]
    assert {seat: after[seat] for seat in before} == before
    assert (school / "cohort-secrets.yml").read_text().startswith("$ANSIBLE_VAULT;")


@pytest.mark.parametrize(
    "roster, words",
    [
        ("seat\nA B\n", ["roster.csv, line 2", '"A B"']),
        (None, ["roster.csv", "No such file"]),
    ],
)
def test_a_wrong_roster_ends_it(school: Path, roster: str | None, words: list[str]) -> None:
    (school / "roster.csv").unlink()
    if roster is not None:
        (school / "roster.csv").write_text(roster)
    run = read(school)
    assert run.returncode != 0
    for word in words:
        assert word in run.stderr


def test_damaged_secrets_are_left_alone(school: Path) -> None:
    (school / "cohort-secrets.yml").write_text("- what\n")
    run = read(school)
    assert run.returncode != 0
    assert "no file of a class's secrets" in run.stderr
    assert yaml.safe_load((school / "cohort-secrets.yml").read_text()) == ["what"]
