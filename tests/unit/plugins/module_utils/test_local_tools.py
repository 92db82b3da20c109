# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrator's own tools."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.local_tools import local_tools
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def test_names_and_dictionaries() -> None:
    assert local_tools(["wc.xml", {"file": "plots/", "section_name": "Graphs & more", "section_id": "g"}]) == [
        {"file": "wc.xml", "section_name": "Local Tools", "section_id": "local_tools"},
        {"file": "plots", "section_name": "Graphs & more", "section_id": "g"},
    ]


def test_a_section_without_an_id_gets_one() -> None:
    assert local_tools([{"file": "a.xml", "section_name": "Graphs & more"}])[0]["section_id"] == "graphs_more"


def test_none() -> None:
    assert local_tools([]) == local_tools(None) == []


@pytest.mark.parametrize(
    "given, words",
    [
        ("wc.xml", 'galaxy_local_tools: "wc.xml": has to be a list'),
        ([3], "galaxy_local_tools[0]: 3: has to be the name of a file"),
        ([{"section_name": "Graphs"}], "a dictionary with the key file"),
        ([{"file": ["wc.xml"]}], "a dictionary with the key file"),
        (["wc.xml", ""], "galaxy_local_tools[1]"),
        ([{"file": "wc.xml", "section": "Graphs"}], "section: the keys are file, section_name, section_id"),
        (["/etc/passwd"], "has to be a path below galaxy_local_tools_src_dir"),
        (["../wc.xml"], "has to be a path below"),
        (["plots/../../wc.xml"], "has to be a path below"),
        (["plots//wc.xml"], "has to be a path below"),
        (["/"], "has to be a path below"),
        ([{"file": "wc.xml", "section_name": "a\0b"}], "may hold no line break or other control character"),
    ],
)
def test_what_is_no_tool(given: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        local_tools(given)
    assert words in str(error.value)
