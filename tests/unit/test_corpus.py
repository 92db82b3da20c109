# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of wrong and hostile input (tests/corpus): no variable is without an entry."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator

import corpus
import pytest
import yaml

ENTRIES = corpus.entries()

# What shells, nginx, INI files, SQL, YAML, XML, Jinja or uWSGI take for more than text.
HOSTILE = re.compile(r"[\0\n'\"`$;{}<>|&%#\\()*]")


def texts(options: dict[str, t.Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield each variable, and each key of one, that may hold text."""
    for name, option in options.items():
        if option.get("options"):
            yield from texts(option["options"], (*path, name))
        elif option.get("elements", option.get("type", "str")) in ("str", "path", "raw", "dict"):
            yield (*path, name)


def is_hostile(value: t.Any, path: tuple[str, ...]) -> bool:
    """Tell whether there is hostile text at a place in a value."""
    if isinstance(value, list):
        return any(is_hostile(item, path) for item in value)
    if path:
        return isinstance(value, dict) and path[0] in value and is_hostile(value[path[0]], path[1:])
    if isinstance(value, dict):
        return any(is_hostile(part, ()) for pair in value.items() for part in pair)
    return isinstance(value, str) and bool(HOSTILE.search(value))


def specified() -> Iterator[tuple[str, ...]]:
    for path in sorted(corpus.ROOT.glob("roles/*/meta/argument_specs.yml")):
        specs = yaml.safe_load(path.read_text())["argument_specs"]
        yield from texts(specs.get("main", {}).get("options") or {})


@pytest.mark.parametrize("path", sorted(set(specified())), ids=".".join)
def test_each_text_has_a_hostile_entry(path: tuple[str, ...]) -> None:
    assert any(is_hostile(entry.given, path) for entry in ENTRIES)


def test_each_variable_has_an_entry() -> None:
    specs = (yaml.safe_load(path.read_text()) for path in corpus.ROOT.glob("roles/*/meta/argument_specs.yml"))
    names = {name for spec in specs for name in spec["argument_specs"].get("main", {}).get("options") or {}}
    assert names - {name for entry in ENTRIES for name in entry.given} == set()


def test_names_are_given_once() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(names) >= 80
    assert sorted(set(names)) == sorted(names)
    assert [entry.name for entry in ENTRIES if (entry.error is None) == (entry.carried is None)] == []
