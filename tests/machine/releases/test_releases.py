# SPDX-License-Identifier: GPL-3.0-or-later
"""Each release of the inventory, on each Debian of it, serves pages and does jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Galaxy, Machine, Student

ROOT = Path(__file__).parents[3]
GROUPS = yaml.safe_load((ROOT / "molecule/releases/inventory/hosts.yml").read_text())["galaxy"]["children"]
CASES = [
    (group["vars"]["ansible_host"], name, variables)
    for group in GROUPS.values()
    for name, variables in group["hosts"].items()
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[1]} {case[2]['galaxy_release']}")
def case(request: pytest.FixtureRequest) -> tuple[Machine, str, str, Galaxy]:
    """Return the machine, the instance, its release, and what it answers."""
    machine, host, variables = request.param
    instance = host.split("-")[0]
    here = Machine(machine)
    galaxy = Galaxy(here.url() + ("" if instance == "galaxy" else f"/{instance}"))
    galaxy.wait()
    return here, instance, variables["galaxy_release"], galaxy


def test_it_is_the_release(case: tuple[Machine, str, str, Galaxy]) -> None:
    *_machine, release, galaxy = case
    version: dict[str, Any] = galaxy.get("/api/version").json()
    assert f"{version['version_major']}.{version['version_minor']}" == release


def test_the_page_and_all_that_it_names_are_there(case: tuple[Machine, str, str, Galaxy]) -> None:
    galaxy = case[3]
    page = galaxy.get("/")
    assert page.status_code == 200
    names = set(re.findall(r"""(?:src|href)="(/[^"]*static/[^"]*)""", page.text))
    assert len(names) >= 3
    session, root = galaxy.session(), re.sub(r"(?<=[0-9])/.*", "", galaxy.url)
    wrong = {name: code for name in names if (code := session.get(root + name, timeout=60).status_code) != 200}
    assert wrong == {}


def test_a_handler_does_a_job(case: tuple[Machine, str, str, Galaxy]) -> None:
    machine, instance, _release, galaxy = case
    student = Student(galaxy, "student@example.org", "a-Password-0f-the-tests")
    dataset = student.upload("one\ntwo\nthree\n", student.history("mine"), "mine.txt")
    assert dataset.state == "ok"
    assert student.download(dataset).text == "one\ntwo\nthree\n"
    assert set(machine.sql("SELECT handler FROM job", instance)) == {"handler0"}
