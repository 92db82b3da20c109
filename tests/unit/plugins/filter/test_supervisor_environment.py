# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import configparser
import shlex

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.filter.supervisor_environment import supervisor_environment
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, ""),
        ({"B": "2", "A": 1}, 'B="2",A="1"'),
        ({"RATE": "50%"}, 'RATE="50%%"'),
        ({"GONE": None, "EMPTY": ""}, 'EMPTY=""'),
        ({"PAIR": "a=b,c=d;e#f 'g'h"}, "PAIR=\"a=b,c=d;e#f 'g'h\""),
    ],
)
def test_renders(variables: dict[str, object], expected: str) -> None:
    assert supervisor_environment(variables) == expected


@pytest.mark.parametrize(
    "variables, named",
    [
        ({"A": 'say "hi"'}, "environment variable A"),
        ({"A": "x\n[program:evil]"}, "environment variable A"),
        ({"A": "x #y"}, "environment variable A"),
        ({"A": "x ;y"}, "environment variable A"),
        ({"A": "'x"}, "environment variable A"),
        ({"A": "x'"}, "environment variable A"),
        ({"A B": "x"}, "'A B'"),
        ({"1A": "x"}, "'1A'"),
    ],
)
def test_refuses_what_supervisor_cannot_read(variables: dict[str, object], named: str) -> None:
    with pytest.raises(AnsibleFilterError, match=named):
        supervisor_environment(variables)


def read(line: str) -> dict[str, str]:
    """Take a line apart in supervisor's steps (supervisor.options, supervisor.datatypes.dict_of_key_value_pairs)."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(f"[program:x]\nenvironment = {line}\n")
    lexer = shlex.shlex(parser["program:x"]["environment"] % {})
    lexer.wordchars += "/.+-():"
    words = list(lexer)
    return {words[at]: words[at + 2].strip("'\"") for at in range(0, len(words), 4)}


texts = st.text() | st.text("'\"%;#= ,\\$(){}\n[]a", max_size=12)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), texts, max_size=3))
def test_supervisor_reads_just_these_or_there_is_an_error(variables: dict[str, str]) -> None:
    try:
        line = supervisor_environment(variables)
    except AnsibleFilterError:
        return
    assert read(line) == variables
