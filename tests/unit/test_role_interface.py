# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's public interface is its defaults and its argument specification: they say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent for path in (ROOT / "roles").glob("*/defaults"))

# Has the defaults of the variables that more than one role reads.
COMMON = ROOT / "roles/_common"

# Groups of an inventory. Playbooks map them to roles; a role knows none.
GROUPS = ("galaxy_database", "galaxy_web", "galaxy_proxy")

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str, int, float),  # a number where any word would do, as a release or a mode
    "path": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "raw": (object,),
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def defaults(role: Path) -> dict[str, Any]:
    return load(role / "defaults/main.yml") or {}


def specification(role: Path) -> dict[str, Any]:
    """The options of the entry point that every use of the role passes through."""
    entry_points = (load(role / "meta/argument_specs.yml") or {}).get("argument_specs", {})
    chosen = entry_points.get("main") or entry_points.get("preflight") or {}
    options: dict[str, Any] = chosen.get("options", {})
    return options


def wrong_type(value: Any, option: dict[str, Any]) -> bool:
    kind = option.get("type", "str")
    if isinstance(value, str) and "{{" in value:
        return False
    if isinstance(value, bool) and kind not in {"bool", "raw"}:
        return True
    return not isinstance(value, TYPES[kind])


def options_in(options: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every option, those within dictionaries and lists too, by its full name."""
    found = []
    for name, option in options.items():
        found.append((path + name, option))
        found += options_in(option.get("options", {}), f"{path}{name}.")
    return found


def specified_defaults(role: Path) -> dict[str, Any]:
    """The defaults of what the role describes, wherever they stand."""
    everything = defaults(COMMON) | defaults(role)
    return {name: everything[name] for name in specification(role) if name in everything}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_every_default_is_specified_and_nothing_else(self, role: Path) -> None:
        shared = {name for name in defaults(COMMON) if name.startswith(f"{role.name}_")}
        own = set() if role == COMMON else defaults(role).keys()
        assert specification(role).keys() == own | shared

    def test_defaults_have_the_types_of_the_specification(self, role: Path) -> None:
        options = specification(role)
        wrong = {n: v for n, v in specified_defaults(role).items() if v is not None and wrong_type(v, options[n])}
        assert wrong == {}

    def test_the_specification_tells_the_default(self, role: Path) -> None:
        options = specification(role)
        # Where a retired name is read, too, the specification tells what holds without it.
        wrong = {
            name: value
            for name, value in specified_defaults(role).items()
            if "default(" not in str(value) and value != options[name].get("default")
        }
        assert wrong == {}

    def test_choices_hold_for_defaults(self, role: Path) -> None:
        options = specification(role)
        wrong = {n: v for n, v in specified_defaults(role).items() if v not in options[n].get("choices", [v])}
        assert wrong == {}

    def test_every_option_is_described(self, role: Path) -> None:
        assert [name for name, option in options_in(specification(role)) if not option.get("description")] == []

    def test_every_list_says_of_what(self, role: Path) -> None:
        lists = [(n, o) for n, o in options_in(specification(role)) if o.get("type") == "list"]
        assert [name for name, option in lists if "elements" not in option] == []

    def test_every_default_has_a_comment_above_it(self, role: Path) -> None:
        lines = (role / "defaults/main.yml").read_text().splitlines()
        bare = []
        for number, line in enumerate(lines):
            name = re.match(r"([a-z_]+):", line)
            above = lines[number - 1]
            # Variables without a blank line between them share a comment.
            if name and not above.startswith("#") and not re.match(r"[a-z_]+:", above):
                bare.append(name[1])
        assert bare == []

    def test_public_variables_carry_a_name_of_ours(self, role: Path) -> None:
        owners = tuple(f"{other.name}_" for other in ROLES) if role == COMMON else (f"{role.name}_",)
        assert [name for name in defaults(role) if not name.startswith(owners)] == []

    def test_internal_variables_are_marked_as_such(self, role: Path) -> None:
        assert [name for name in load(role / "vars/main.yml") or {} if not name.startswith("__")] == []

    def test_no_variable_is_anothers_too(self, role: Path) -> None:
        others = {name for other in ROLES if other != role for name in defaults(other)}
        assert defaults(role).keys() & others == set()

    def test_no_inventory_group_is_named(self, role: Path) -> None:
        pattern = re.compile(rf"\bgroups\s*[\[.]|\bgroup_names\b|\b({'|'.join(GROUPS)})\b(?![_.])")
        named = [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for path in sorted(role.rglob("*"))
            if path.suffix in {".yml", ".j2"}
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if pattern.search(line)
        ]
        assert named == []
