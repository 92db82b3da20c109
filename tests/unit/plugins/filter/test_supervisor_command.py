# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter supervisor_command, read back as supervisor reads it."""

from __future__ import annotations

import configparser
import shlex

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.filter.supervisor_command import supervisor_command
from hypothesis import given
from hypothesis import strategies as st


def read(line: str) -> list[str]:
    """Take a line apart in supervisor's steps (supervisor.options: UnhosedConfigParser, expand, shlex.split)."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(f"[program:x]\ncommand = {line}\n")
    expanded: str = parser["program:x"]["command"] % {}
    return shlex.split(expanded)


@pytest.mark.parametrize(
    "words, line",
    [
        (["/x/run", "uwsgi", "--socket=127.0.0.1:1"], "/x/run uwsgi --socket=127.0.0.1:1"),
        (["a b", "", "50%"], "'a b' '' 50%%"),
        (["a ; b # c", "; x", "#"], "'a ''; b ''# c' '; x' '#'"),
    ],
)
def test_renders(words: list[str], line: str) -> None:
    assert supervisor_command(words) == line
    assert read(line) == words


characters = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp"), include_characters="\t", exclude_characters="\ufeff"
)


@given(st.lists(st.text(characters | st.sampled_from(" \t;#%'\"\\$"), max_size=12), min_size=1))
def test_supervisor_gets_the_words(words: list[str]) -> None:
    assert read(supervisor_command(words)) == words


def test_refuses_line_breaks() -> None:
    with pytest.raises(AnsibleFilterError, match="line break"):
        supervisor_command(["a\nb"])
