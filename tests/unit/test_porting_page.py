# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/porting.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.names import NOT_SHARED, ONE_VALUE, RETIRED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/porting.md").read_text()


def rows(heading: str) -> set[tuple[str, ...]]:
    """The rows of the table below a heading, without marks of code."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return {tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines}


def test_the_tables_are_those_of_the_code() -> None:
    assert rows("Under another name here") == set(RETIRED.items())
    assert rows("Refused") == set(NOT_SHARED.items())
    assert rows("One value only") == {(name, value, reason) for name, (value, reason) in ONE_VALUE.items()}


def test_what_is_called_the_same_is_there() -> None:
    specs: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        specs |= set(yaml.safe_load(path.read_text())["argument_specs"].get("main", {}).get("options") or {})
    names = PAGE.split("## The same\n")[1].split("\n- ")[0].replace("`", "").replace(".", "").split(",")
    assert {name.strip() for name in names} - specs == set()
    assert set(RETIRED.values()) - specs == set()
