# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job configuration: made, read, and held against the handlers."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import HandlersError, handler_list
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import (
    check,
    check_processes,
    job_config,
    job_processes,
    parse,
)


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
            1, {"handling": {"processes": {"a": {}}}}, ["handling.processes", "galaxy_handlers"], id="a missing handler"
        ),
        pytest.param(
            0, {"handling": {"max_grab": 1}}, ["handling", "galaxy_handlers names none"], id="handling of nothing"
        ),
        pytest.param(
            1, {"handling": {"assign": ["mem-self"]}}, ["mem-self", "db-skip-locked"], id="jobs in the web process"
        ),
        pytest.param(
            0, {"handling": {"assign": ["db-preassign"]}}, ["no handlers", "db-self"], id="handlers of nothing"
        ),
        pytest.param(0, {"handling": {"assign": ["db-skip-locked"]}}, ["no handlers", "db-self"], id="nobody to grab"),
        pytest.param(1, {"handling": {"assign": ["db-skip"]}}, ["db-skip", "db-skip-locked"], id="unknown method"),
        pytest.param(
            [{"name": "p", "pools": ["job-handlers"]}],
            {"handling": {"assign": ["db-preassign"]}},
            ["db-preassign", "pools (p)"],
            id="a pool, preassigned",
        ),
        pytest.param(
            ["h", {"name": "p", "pools": ["job-handlers"]}], {}, ["job-handlers.handlers", "_default_"], id="idle pool"
        ),
        pytest.param([{"name": "s", "jobs": False}], {}, ["at least one", "take jobs"], id="nobody takes jobs"),
        pytest.param(
            [{"name": "a", "plugins": ["slurm"]}], {}, ["galaxy_handlers", "runner slurm", "local"], id="its runner"
        ),
        pytest.param(
            1,
            {"execution": {"environments": {"local": {"resubmit": [{"handler": "x"}]}}}},
            ["environments.local.resubmit", "handler x"],
            id="a handler for another try",
        ),
        pytest.param(1, {"handling": {"ready_window_size": 0}}, ["ready_window_size", "from 1"], id="no window"),
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


POOL = [{"name": "p", "pools": ["job-handlers"]}, {"name": "big0", "pools": ["job-handlers.big"]}]


def test_pool_handlers_do_not_stand_in_the_job_configuration() -> None:
    assert job_config(POOL)["handling"] == {"assign": ["db-skip-locked"], "max_grab": 16}
    tools = [{"id": "a", "handler": "big"}, {"id": "b", "handler": "_default_"}]
    assert job_config(POOL, {"tools": tools})["tools"] == tools


def test_a_pool_handler_joins_named_ones() -> None:
    handling = job_config(["handler0", {"name": "p", "pools": ["job-handlers.handlers"]}])["handling"]
    assert handling["default"] == "handlers"
    assert list(handling["processes"]) == ["handler0"]


def test_handlers_that_only_schedule_workflows_stand_nowhere() -> None:
    assert list(job_config(["handler0", {"name": "s", "jobs": False}])["handling"]["processes"]) == ["handler0"]


def test_the_option_of_galaxy_is_merged_last() -> None:
    config = job_config(
        1,
        {"handling": {"max_grab": 4, "ready_window_size": 8}},
        inline={
            "handling": {"max_grab": 2, "processes": {"handler0": {"tags": ["handlers"]}}},
            "runners": {"slurm": {"load": "x"}},
        },
    )
    assert config["handling"]["max_grab"] == 2
    assert config["handling"]["ready_window_size"] == 8
    assert set(config["runners"]) == {"local", "slurm"}


def test_errors_name_the_option_if_it_is_what_was_given() -> None:
    with pytest.raises(HandlersError, match=r"galaxy_config app:main\.job_config: "):
        job_config(1, inline={"tools": [{"id": "a", "handler": "x"}]})


@pytest.mark.parametrize(
    "processes, words",
    [
        ({}, ["lacks handler0, handler1"]),
        ({"handler0": None, "handler1": {"tags": ["handlers"]}}, ["tags of handler0", "handlers"]),
        ({"handler0": {"tags": ["x"]}, "handler1": {"tags": ["handlers"]}}, ["tags of handler0"]),
        ({"handler0": {"tags": ["handlers"]}}, ["lacks handler1 of galaxy_handlers"]),
        (
            {name: {"tags": ["handlers"]} for name in ("handler0", "handler1", "other")},
            ['"other"', "no such handler runs", "handler0, handler1"],
        ),
        (["handler0"], ["dictionary"]),
        ({"handler0": ["handlers"]}, ["handler0 has to be a dictionary"]),
    ],
)
def test_processes_have_to_be_those_of_supervisor(processes: t.Any, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        job_config(2, {"handling": {"processes": processes}})
    assert str(error.value).startswith("galaxy_job_config handling.processes: ")
    for word in words:
        assert word in str(error.value)


XML = """<?xml version="1.0"?>
<job_conf>
    <plugins workers="4">
        <plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner"/>
        <plugin id="slurm" type="runner" load="galaxy.jobs.runners.slurm:SlurmJobRunner" workers="2">
            <param id="drmaa_library_path">/x</param>
        </plugin>
    </plugins>
    <handlers default="handlers" assign_with="db-skip-locked" max_grab="8">
        <handler id="handler0" tags="handlers"/>
        <handler id="handler1" tags="handlers"><plugin id="local"/></handler>
    </handlers>
    <destinations default="local">
        <destination id="local" runner="local"/>
        <destination id="cluster" runner="slurm" tags="a, b">
            <resubmit condition="walltime_reached" destination="local" handler="handlers"/>
        </destination>
    </destinations>
    <tools><tool id="upload1" handler="handler0" destination="local"/></tools>
    <limits><limit type="registered_user_concurrent_jobs">2</limit></limits>
</job_conf>
"""


def test_xml_says_the_same_as_yaml() -> None:
    assert parse(XML, "job_conf.xml.j2", "v") == {
        "runners": {
            "local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": 4},
            "slurm": {"load": "galaxy.jobs.runners.slurm:SlurmJobRunner", "workers": 2},
        },
        "handling": {
            "processes": {"handler0": {"tags": ["handlers"]}, "handler1": {"tags": ["handlers"], "plugins": ["local"]}},
            "assign": ["db-skip-locked"],
            "default": "handlers",
            "max_grab": 8,
        },
        "execution": {
            "default": "local",
            "environments": {
                "local": {"runner": "local"},
                "cluster": {
                    "runner": "slurm",
                    "tags": ["a", "b"],
                    "resubmit": [{"condition": "walltime_reached", "handler": "handlers", "environment": "local"}],
                },
            },
        },
        "tools": [{"id": "upload1", "handler": "handler0", "environment": "local"}],
        "limits": [{"type": "registered_user_concurrent_jobs"}],
    }


def test_xml_as_the_exercises_have_it_agrees_with_the_default() -> None:
    config = parse(XML, "job_conf.xml", "v")
    check_processes(config["handling"]["processes"], handler_list(2), "v")
    check(config, handler_list(2), "v")


def test_without_a_method_galaxy_gives_jobs_to_handlers_by_name() -> None:
    config = parse(XML.replace(' assign_with="db-skip-locked" max_grab="8"', ""), "job_conf.xml", "v")
    assert "assign" not in config["handling"]
    check(config, handler_list(2), "v")
    with pytest.raises(HandlersError, match="give jobs to handlers in pools"):
        check(config, handler_list(POOL), "v")


def test_what_galaxy_fills_in_is_filled_in() -> None:
    text = """<job_conf><plugins><plugin id="l" type="runner" load="x"/></plugins><handlers><handler id="h"/></handlers>
    <destinations><destination id="d" runner="l"/></destinations></job_conf>"""
    config = parse(text, "job_conf.xml", "v")
    assert config["execution"]["default"] == "d"
    assert config["handling"]["processes"] == {"h": {"tags": ["_default_"]}}


@pytest.mark.parametrize(
    "text, name, words",
    [
        ("<job_conf>", "job_conf.xml", ["is no XML"]),
        ("<x/>", "job_conf.xml", ["x", "job_conf"]),
        ("<job_conf><macros/></job_conf>", "job_conf.xml", ["macros"]),
        ("a: [", "job_conf.yml", ["is no YAML"]),
        ("a", "job_conf.yml", ["dictionary"]),
        ("handling: [a]", "job_conf.yml", ["handling", "dictionary"]),
    ],
)
def test_a_file_that_cannot_be_read(text: str, name: str, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        parse(text, name, "galaxy_job_config_template")
    for word in ("galaxy_job_config_template", name, *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    "handlers, config, names",
    [
        (2, {}, {"handler0": ["handlers"], "handler1": ["handlers"]}),
        (["a", {"name": "s", "jobs": False}], {}, {"a": ["handlers"]}),
        (POOL, {}, {"p": ["_default_"], "big0": ["big"]}),
        (0, {}, {"main.1": ["_default_"], "main.2": ["_default_"]}),
        (0, {"handling": {"assign": ["mem-self"]}}, {"main.1": ["_default_"], "main.2": ["_default_"]}),
        (
            1,
            {"handling": {"assign": ["db-self"]}},
            {"handler0": ["handlers"], "main.1": ["_default_"], "main.2": ["_default_"]},
        ),
    ],
)
def test_who_takes_jobs(handlers: t.Any, config: t.Any, names: dict[str, list[str]]) -> None:
    found = job_processes(handlers, job_config(handlers, config), 2)
    assert {item["name"]: item["tags"] for item in found} == names


@pytest.mark.parametrize("method", ["db-skip-locked", "db-transaction-isolation", "db-preassign", "db-self"])
def test_methods_with_handlers(method: str) -> None:
    assert job_config(2, {"handling": {"assign": [method]}})["handling"]["assign"] == [method]


@pytest.mark.parametrize("method", ["mem-self", "db-self"])
def test_methods_without_handlers(method: str) -> None:
    assert job_config(0, {"handling": {"assign": [method]}})["handling"] == {"assign": [method]}


def test_with_db_self_nothing_is_sent_to_handlers_unless_it_is_said() -> None:
    """Galaxy takes the default for what a tool is configured with, and gives its jobs to handlers."""
    assert "default" not in job_config(1, {"handling": {"assign": ["db-self"]}})["handling"]
    assert "default" not in job_config(1, inline={"handling": {"assign": ["db-self"]}})["handling"]
    handling = {"assign": ["db-self"], "default": "handlers"}
    assert job_config(1, {"handling": handling})["handling"]["default"] == "handlers"
    assert job_config(1, {"handling": {"assign": ["db-preassign"]}})["handling"]["default"] == "handlers"
