# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers and the job configuration."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import HandlersError, handler_list, job_config

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
        pytest.param(["a b"], ["a b", "letters"], id="space"),
        pytest.param(["a:b"], ["a:b", "letters"], id="colon"),
        pytest.param(["../x"], ["../x", "letters"], id="path"),
        pytest.param(["x\n"], ["x\\n", "letters"], id="line break"),
        pytest.param(["x" * 64], ["63"], id="too long"),
        pytest.param([""], ['""', "letters"], id="empty"),
        pytest.param(["main"], ["main", "web processes"], id="main"),
        pytest.param(["main.1"], ["main.1", "web processes"], id="a web worker's name"),
        pytest.param(["galaxy"], ["galaxy", "web processes"], id="the web program's name"),
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


def test_job_config_of_the_exercises() -> None:
    assert job_config(2) == {
        "runners": {"local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": 4}},
        "execution": {"default": "local", "environments": {"local": {"runner": "local"}}},
        "handling": {
            "assign": ["db-skip-locked"],
            "max_grab": 16,
            "default": "handlers",
            "processes": {"handler0": {"tags": ["handlers"]}, "handler1": {"tags": ["handlers"]}},
        },
    }


def test_without_handlers_the_web_process_runs_jobs() -> None:
    assert "handling" not in job_config(0)


def test_default_is_the_first_tag_if_none_is_called_handlers() -> None:
    assert job_config([{"name": "a", "tags": ["x"]}, {"name": "b", "tags": ["y"]}])["handling"]["default"] == "x"


def test_job_config_is_merged_deep() -> None:
    config = job_config(
        1,
        {
            "runners": {"slurm": {"load": "galaxy.jobs.runners.slurm:SlurmJobRunner"}, "local": {"workers": 2}},
            "handling": {"max_grab": None, "ready_window_size": 32},
            "execution": {"default": "slurm", "environments": {"slurm": {"runner": "slurm"}}},
            "tools": [{"id": "upload1", "environment": "local", "handler": "handler0"}],
            "limits": [{"type": "registered_user_concurrent_jobs", "value": 2}],
        },
        workers="3",
    )
    assert config["runners"]["local"] == {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": 2}
    assert config["handling"]["ready_window_size"] == 32
    assert "max_grab" not in config["handling"]
    assert set(config["execution"]["environments"]) == {"local", "slurm"}
    assert config["limits"] == [{"type": "registered_user_concurrent_jobs", "value": 2}]


@pytest.mark.parametrize(
    "handlers, config, words",
    [
        pytest.param(1, ["a"], ["galaxy_job_config", "dictionary"], id="list"),
        pytest.param(1, {"runners": ["a"]}, ["runners", "dictionary"], id="runners is a list"),
        pytest.param(
            1, {"handling": {"processes": {"a": {}}}}, ["handling.processes", "galaxy_handlers"], id="processes"
        ),
        pytest.param(
            0, {"handling": {"max_grab": 1}}, ["handling", "galaxy_handlers names none"], id="handling of nothing"
        ),
        pytest.param(
            1, {"handling": {"assign": ["mem-self"]}}, ["mem-self", "db-skip-locked"], id="jobs in the web process"
        ),
        pytest.param(1, {"handling": {"assign": []}}, ["handling.assign", "at least one"], id="no method"),
        pytest.param(1, {"handling": {"max_grab": 0}}, ["handling.max_grab", "0", "from 1"], id="grabs nothing"),
        pytest.param(1, {"handling": {"default": "x"}}, ["handling.default", "x", "handler0"], id="default of nothing"),
        pytest.param(1, {"runners": {"local": None}}, ["runners", "at least one"], id="no runner"),
        pytest.param(1, {"execution": {"default": "x"}}, ["execution.default", "x", "local"], id="unknown environment"),
        pytest.param(
            1,
            {"execution": {"environments": {"e": {"runner": "slurm"}}}},
            ["environments.e", "slurm", "local"],
            id="runner",
        ),
        pytest.param(1, {"execution": {"environments": {"e": 1}}}, ["environments.e", "dictionary"], id="environment"),
        pytest.param(1, {"tools": [{"id": "a", "handler": "x"}]}, ["handler x", "handler0"], id="a tool's handler"),
        pytest.param(1, {"tools": [{"environment": "local"}]}, ["tools", "id or class"], id="a tool without id"),
    ],
)
def test_job_config_refuses(handlers: t.Any, config: t.Any, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        job_config(handlers, config)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("workers", [0, -1, "many", True, 1.5])
def test_job_config_refuses_workers(workers: t.Any) -> None:
    with pytest.raises(HandlersError, match="galaxy_local_runner_workers"):
        job_config(1, workers=workers)
