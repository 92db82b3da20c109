# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import configparser
import shlex

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.filter.supervisor_environment import supervisor_environment
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import render
from hypothesis import given
from hypothesis import strategies as st


def read(line: str) -> list[tuple[str, str]]:
    """Take a line apart in supervisor's steps (UnhosedConfigParser, expand, datatypes.dict_of_key_value_pairs)."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(f"[program:x]\nenvironment = {line}\n")
    expanded: str = parser["program:x"]["environment"] % {}
    words = list(shlex.shlex(expanded))
    return [(words[at], words[at + 2].strip("'\"")) for at in range(0, len(words), 4)]


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, ""),
        ({"B": "2", "A": 1}, 'B="2",A="1"'),
        ({"RATE": "50%"}, 'RATE="50%%"'),
        ({"GONE": None, "EMPTY": ""}, 'EMPTY=""'),
        ({"PAIR": "a=b,c=d;e#f 'g' h"}, "PAIR=\"a=b,c=d;e#f 'g' h\""),
    ],
)
def test_renders(variables: dict[str, object], expected: str) -> None:
    assert supervisor_environment(variables) == expected


@pytest.mark.parametrize(
    "variables, named",
    [
        ({"A": 'say "hi"'}, "environment variable A"),
        ({"A": "x\n[program:evil]"}, "environment variable A"),
        ({"A": "'x"}, "environment variable A"),
        ({"A": "it's'"}, "environment variable A"),
        ({"A": "x #y"}, "environment variable A"),
        ({"A": "x ;y"}, "environment variable A"),
        ({"A B": "x"}, "'A B'"),
        ({"1A": "x"}, "'1A'"),
    ],
)
def test_refuses_what_supervisor_cannot_read(variables: dict[str, object], named: str) -> None:
    with pytest.raises(AnsibleFilterError, match=named):
        supervisor_environment(variables)


printable = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff")
texts = st.text(printable | st.sampled_from("'\"%;# ()\\"), max_size=12).map(str.strip)


@given(st.dictionaries(st.sampled_from(["procname", "route"]), st.lists(texts, min_size=1, max_size=3), min_size=1))
def test_supervisor_gets_every_option_of_uwsgi(options: dict[str, list[str]]) -> None:
    environment = render("environment", options, "/c", "/c/galaxy.ini").environment
    assert read(supervisor_environment(environment)) == list(environment.items())
