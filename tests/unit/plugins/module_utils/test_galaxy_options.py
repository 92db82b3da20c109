# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's options against the facts of a release."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    check_options,
    check_schema,
    check_secrets,
)

RELEASE: dict[str, t.Any] = {
    "options": {
        "text": {"type": "str"},
        "flag": {"type": "bool"},
        "count": {"type": "int"},
        "share": {"type": "float"},
        "choice": {"type": "str", "enum": ["on", "off"]},
        "items": {"type": "seq"},
        "tree": {"type": "map"},
    },
    "unlisted": ["hidden"],
    "renamed": {"old_text": "text", "old_flag": "flag"},
    "dropped": ["gone"],
}


@pytest.mark.parametrize(
    "options",
    [
        {"text": "a"},
        {"text": 3},
        {"text": True},
        {"text": ["a", "b"]},
        {"flag": True},
        {"flag": "Yes"},
        {"flag": "0"},
        {"flag": None},
        {"count": 3},
        {"count": "-1"},
        {"share": 1},
        {"share": "0.5"},
        {"choice": "off"},
        {"items": ["a"]},
        {"items": "a,b"},
        {"hidden": 1},
        {"paste.app_factory": "x"},
        {"set debug": "x"},
        {"database_engine_option_pool_timeout": 3},
    ],
)
def test_right_options(options: dict[str, t.Any]) -> None:
    assert check_options(options, RELEASE) == []


@pytest.mark.parametrize(
    "options, words, fatal",
    [
        ({"txet": "a"}, ["v.txet", '"a"', "did you mean text?"], True),
        ({"zzzzzz": "a"}, ["v.zzzzzz", "no option"], True),
        ({"flag": "maybe"}, ["v.flag", '"maybe"', "true or false"], True),
        ({"flag": 2}, ["v.flag", "2", "true or false"], True),
        ({"count": 1.5}, ["v.count", "1.5", "whole number"], True),
        ({"count": True}, ["v.count", "true", "whole number"], True),
        ({"count": [1]}, ["v.count", "[1]", "not a list"], True),
        ({"count": "12 GB"}, ["v.count", "12 GB", "whole number"], True),
        ({"share": "half"}, ["v.share", '"half"', "a number"], True),
        ({"text": {"a": 1}}, ["v.text", "not a dictionary"], True),
        ({"choice": "maybe"}, ["v.choice", '"maybe"', "on, off"], True),
        ({"choice": True}, ["v.choice", "true", "on, off", "quote it"], True),
        ({"items": [{"a": 1}]}, ["v.items", "structured"], True),
        ({"tree": {"a": 1}}, ["v.tree", "structured"], True),
        ({"old_text": "a"}, ["v.old_text", "text now"], False),
        ({"old_flag": "maybe"}, ["v.old_flag", "true or false"], True),
        ({"gone": 1}, ["v.gone", "no longer"], False),
        ({"api_tokn": "hunter2", "my_secret": "hunter2"}, ["v.my_secret", "********"], True),
    ],
)
def test_wrong_options(options: dict[str, t.Any], words: list[str], fatal: bool) -> None:
    found = [problem for problem in check_options(options, RELEASE, variable="v") if problem.fatal is fatal]
    assert any(all(word in problem.text for word in words) for problem in found), found


def test_unknown_options_can_be_allowed() -> None:
    assert check_options({"zzz": 1}, RELEASE, allow_unknown=True) == []
    assert len(check_options({"zzz": 1, "flag": "maybe"}, RELEASE, allow_unknown=True)) == 1


@pytest.mark.parametrize(
    "value", ["USING THE DEFAULT IS NOT SECURE!", "changeme", "ChangeThis", " ", "", "abcd", "x" * 57, "ü" * 29]
)
def test_bad_secrets(value: str) -> None:
    (found,) = check_secrets({"id_secret": value})
    assert "id_secret" in found.text
    assert not value.strip() or value not in found.text


@pytest.mark.parametrize("options", [{}, {"id_secret": None}, {"id_secret": "x" * 48}, {"id_secret": "short but mine"}])
def test_good_secrets(options: dict[str, t.Any]) -> None:
    assert check_secrets(options) == []


SCHEMA: dict[str, t.Any] = {
    "type": "map",
    "mapping": {
        "list": {"type": "seq", "sequence": [{"type": "map", "mapping": {"id": {"type": "str", "required": True}}}]},
        "named": {
            "type": "map",
            "mapping": {"regex;(.+)": {"type": "map", "allowempty": True, "mapping": {"n": {"type": "int"}}}},
        },
        "any": {"type": "any"},
        "flag": {"type": "bool"},
        "text": {"type": "str"},
    },
}


@pytest.mark.parametrize(
    "value, words",
    [
        ({}, None),
        ({"list": [{"id": "a"}], "named": {"x": {"n": 1, "more": 2}}, "any": [1], "flag": False, "text": "a"}, None),
        ([], ["v", "[]", "dictionary"]),
        ({"lst": []}, ["v.lst", "unknown", "did you mean list?"]),
        ({"list": {}}, ["v.list", "a list"]),
        ({"list": [{"id": 1}]}, ["v.list[0].id", "1", "text; quote it"]),
        ({"list": [{"x": 1}]}, ["v.list[0].x", "unknown"]),
        ({"list": [{}]}, ["v.list[0].id", "has to be given"]),
        ({"named": {"x": {"n": "1"}}}, ["v.named.x.n", '"1"', "whole number"]),
        ({"named": {"x": [1]}}, ["v.named.x", "[1]", "dictionary"]),
        ({"flag": "yes"}, ["v.flag", '"yes"', "true or false"]),
    ],
)
def test_schema(value: t.Any, words: list[str] | None) -> None:
    found = check_schema(value, SCHEMA, "v")
    if words is None:
        assert found == []
    else:
        assert any(all(word in problem.text for word in words) for problem in found), found
