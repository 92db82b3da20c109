# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import HandlersError, handler_list

H0 = {"name": "handler0", "tags": ["handlers"]}
H1 = {"name": "handler1", "tags": ["handlers"]}


@pytest.mark.parametrize(
    "given, expected",
    [
        pytest.param(0, [], id="none"),
        pytest.param(None, [], id="null"),
        pytest.param(2, [H0, H1], id="a number"),
        pytest.param("2", [H0, H1], id="a number from the command line"),
        pytest.param([], [], id="empty list"),
        pytest.param(["handler0", {"name": "handler1"}], [H0, H1], id="names"),
        pytest.param([{"name": "big", "tags": ["a", "b"]}], [{"name": "big", "tags": ["a", "b"]}], id="tags"),
        pytest.param([{"name": "big", "tags": "a, b"}], [{"name": "big", "tags": ["a", "b"]}], id="tags as a string"),
        pytest.param([{"name": "big", "tags": ["a", "a"]}], [{"name": "big", "tags": ["a"]}], id="a tag twice"),
        pytest.param([{"name": "a", "tags": ["a"]}], [{"name": "a", "tags": ["a"]}], id="a tag of its own name"),
        pytest.param(
            [{"name": "big", "count": 2, "tags": ["b"], "plugins": ["local"]}],
            [{"name": f"big{n}", "tags": ["b"], "plugins": ["local"]} for n in range(2)],
            id="several of a kind",
        ),
        pytest.param(
            [{"name": "p", "pools": "job-handlers, job-handlers.big"}],
            [{"name": "p", "pools": ["job-handlers", "job-handlers.big"]}],
            id="pools",
        ),
        pytest.param([{"name": "s", "jobs": False}], [{"name": "s", "jobs": False}], id="no jobs"),
        pytest.param([{"name": "s", "jobs": True}], [{"name": "s", "tags": ["handlers"]}], id="jobs"),
    ],
)
def test_handler_list(given: t.Any, expected: list[t.Any]) -> None:
    assert handler_list(given) == expected
    assert handler_list(handler_list(given)) == expected


@pytest.mark.parametrize(
    "given, words",
    [
        pytest.param(-1, ["-1", "from 0"], id="negative"),
        pytest.param("-1", ["-1", "from 0"], id="negative string"),
        pytest.param(100000, ["100000", "256"], id="too many"),
        pytest.param(True, ["true", "a number"], id="boolean"),
        pytest.param(1.5, ["1.5", "a number"], id="fraction"),
        pytest.param("two", ["two", "a number"], id="word"),
        pytest.param({"name": "a"}, ["list"], id="dictionary"),
        pytest.param([3], ["3", "name"], id="number in the list"),
        pytest.param([{"tags": ["a"]}], ["name"], id="no name"),
        pytest.param([{"name": "a", "tag": "b"}], ["unknown key tag", "tags"], id="unknown key"),
        pytest.param(["a", "a"], ["a is given twice"], id="duplicate"),
        pytest.param(["a0", {"name": "a", "count": 2}], ["a0 is given twice"], id="duplicate by count"),
        pytest.param([{"name": "a", "count": 0}], ["count", "from 1"], id="none of a kind"),
        pytest.param([{"name": "a", "count": 200}, {"name": "b", "count": 57}], ["257", "256"], id="too many in all"),
        pytest.param([{"name": "a", "count": "2"}], ["count", "a0"], id="count in quotes"),
        pytest.param([{"name": "a", "pool": "job-handlers"}], ["unknown key pool", "did you mean pools?"], id="pool"),
        pytest.param(
            [{"name": "a", "pools": ["handlers"]}], ["pool handlers gets no work", "job-handlers"], id="a pool"
        ),
        pytest.param([{"name": "a", "pools": ["job-handlers."]}], ["gets no work"], id="a pool of no tag"),
        pytest.param([{"name": "a", "pools": []}], ["pools", "at least one"], id="no pools"),
        pytest.param(
            [{"name": "a", "pools": ["job-handlers"], "tags": ["x"]}], ["leave out tags"], id="pools and tags"
        ),
        pytest.param(
            [{"name": "a", "pools": ["job-handlers"], "jobs": False}], ["leave out jobs"], id="pools and jobs"
        ),
        pytest.param([{"name": "a", "jobs": False, "tags": ["x"]}], ["without jobs", "tags"], id="tags of no jobs"),
        pytest.param([{"name": "a", "jobs": "no"}], ["jobs", "true or false"], id="jobs is a word"),
        pytest.param(
            ["b", {"name": "a", "pools": ["job-handlers.b"]}],
            ["tag b", "another handler"],
            id="a pool's tag is a handler",
        ),
        pytest.param(
            [{"name": "b", "pools": ["job-handlers.b"]}],
            ["tag b", "another handler"],
            id="a pool's tag is its own name",
        ),
        pytest.param(["a b"], ["a b", "letters"], id="space"),
        pytest.param(["a:b"], ["a:b", "letters"], id="colon"),
        pytest.param(["../x"], ["../x", "letters"], id="path"),
        pytest.param(["x\n"], ["x\\n", "letters"], id="line break"),
        pytest.param(["x" * 64], ["63"], id="too long"),
        pytest.param([""], ['""', "letters"], id="empty"),
        pytest.param(["main"], ["main", "web processes"], id="main"),
        pytest.param(["main.1"], ["main.1", "web processes"], id="a web worker's name"),
        pytest.param(["galaxy"], ["galaxy", "web processes"], id="the web program's name"),
        pytest.param(["http"], ["http", "web processes"], id="the other web program"),
        pytest.param([{"name": "a", "tags": []}], ["at least one"], id="no tags"),
        pytest.param([{"name": "a", "tags": [1]}], ["the tag 1"], id="tag is a number"),
        pytest.param(
            [{"name": "a", "tags": ["b"]}, "b"], ["tag b", "name of another handler"], id="a tag is a handler"
        ),
    ],
)
def test_handler_list_refuses(given: t.Any, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        handler_list(given)
    assert str(error.value).startswith("galaxy_handlers: ")
    for word in words:
        assert word in str(error.value)
