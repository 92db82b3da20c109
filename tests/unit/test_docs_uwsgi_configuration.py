# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/uwsgi-configuration.md shows what the collection writes. Its examples run in the scenario methods."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.uwsgi_options import (
    check_config_method,
    check_sections,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import to_paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import command_line
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import METHODS, render
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_table import read_table

PAGE = (Path(__file__).parents[2] / "docs" / "uwsgi-configuration.md").read_text(encoding="utf-8")
CONFIG = "/srv/galaxy/config"


def blocks(text: str) -> list[str]:
    """Return the blocks of code in a part of the page."""
    return re.findall(r"^```\w+\n(.*?)^```$", text, re.M | re.S)


SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.M | re.S))
SHARED: dict[str, t.Any] = yaml.safe_load(blocks(PAGE.partition("\n### ")[0])[0])


def written(method: str) -> str:
    options, placeholders = SHARED["uwsgi_options"], SHARED["uwsgi_placeholders"]
    if method == "paste_deploy":
        return to_paste_deploy({"uwsgi": options}, placeholders)
    rendering = render(method, options, CONFIG, f"{CONFIG}/galaxy.ini", read_table().flags, placeholders)
    if rendering.text is not None:
        return rendering.text
    lines = [f'{name}="{value}"' for name, value in rendering.environment.items()]
    return "\n".join([*lines, command_line(["uwsgi", *rendering.arguments])]) + "\n"


def test_each_way_has_an_example() -> None:
    assert tuple(SECTIONS) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_the_page_shows_what_is_written(method: str) -> None:
    variables, shown = blocks(SECTIONS[method])
    assert yaml.safe_load(variables) == {"uwsgi_config_method": method}
    assert shown == written(method)


def test_the_errors_on_the_page_are_those_that_one_gets() -> None:
    page = " ".join(PAGE.split())
    (unknown,) = check_sections({"uwsgi_options": {"harakiry": 60}})
    (lost,) = check_config_method(
        {"uwsgi_config_method": "yaml", "uwsgi_options": {"include": "#a"}, "uwsgi_placeholders": []}
    )
    assert unknown.text in page
    assert lost.text in page
