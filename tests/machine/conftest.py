# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of a Molecule scenario, and the Galaxy on it.

    GALAXY_TEST_MACHINE=galaxy-default pytest tests/machine/provisioned

asks a machine that is running (script/test --keep --scenario default leaves one).
"""

from __future__ import annotations

import os

import pytest
from support import KEPT, KEPT_TEXT, Dataset, Galaxy, Machine, Student


@pytest.fixture(scope="session")
def machine() -> Machine:
    scenario = os.environ.get("MOLECULE_SCENARIO_NAME", "default")
    return Machine(os.environ.get("GALAXY_TEST_MACHINE", f"galaxy-{scenario}"))


@pytest.fixture(scope="session")
def galaxy(machine: Machine) -> Galaxy:
    """Galaxy as people reach it: through nginx."""
    galaxy = Galaxy(machine.url())
    galaxy.wait()
    return galaxy


@pytest.fixture(scope="session")
def student(galaxy: Galaxy) -> Student:
    """Someone with an account. It is the same one before and after a restart."""
    return Student(galaxy, "student@example.org", "a-Password-0f-the-tests")


@pytest.fixture(scope="session")
def kept(student: Student) -> Dataset:
    """A dataset that stays. It is the same one before and after a restart."""
    history = student.history(KEPT)
    found = student.datasets(history)
    return found[0] if found else student.upload(KEPT_TEXT, history, "kept.txt")
