# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own files, which are copied to where Galaxy is told to look for them, as the exercises do it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.jobs import Files, check_jobs, own_files

JOB_CONF = """<job_conf>
    <plugins><plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner"/></plugins>
    <handlers default="handlers" assign_with="db-skip-locked">
        <handler id="handler0" tags="handlers"/>
        <handler id="handler1" tags="handlers"/>
    </handlers>
    <destinations default="local"><destination id="local" runner="local"/></destinations>
    {}
</job_conf>
"""
SCHEDULERS = """<workflow_schedulers default="core"><core id="core"/>
    <handlers><handler id="{}"/></handlers></workflow_schedulers>"""


def variables(handlers: t.Any = 2, **others: t.Any) -> dict[str, t.Any]:
    """Return the variables of an exercise."""
    return {
        "galaxy_handlers": handlers,
        "galaxy_config_dir": "/srv/galaxy/config",
        "uwsgi_processes": 2,
        "galaxy_config": {
            "app:main": {
                "job_config_file": "/srv/galaxy/config/job_conf.xml",
                "workflow_schedulers_config_file": "/srv/galaxy/config/w.xml",
            }
        },
        "galaxy_config_files": [
            {"src": "files/job_conf.xml", "dest": "/srv/galaxy/config/job_conf.xml"},
            {"src": "files/other.xml", "dest": "/srv/galaxy/config/other.xml"},
        ],
        "galaxy_config_templates": [{"src": "templates/w.xml.j2", "dest": "/srv/galaxy/config/w.xml"}],
        **others,
    }


def found(given: dict[str, t.Any], job_conf: str = JOB_CONF.format(""), schedulers: str = "handler0") -> list[str]:
    texts = {"job_config_file": job_conf, "workflow_schedulers_config_file": SCHEDULERS.format(schedulers)}
    files: Files = {
        option: (variable, name, texts[option]) for option, (variable, name, _is_template) in own_files(given).items()
    }
    return [problem.text for problem in check_jobs(given, None, files)]


def test_files_are_found_by_where_they_go() -> None:
    assert own_files(variables()) == {
        "job_config_file": ("galaxy_config_files", "files/job_conf.xml", False),
        "workflow_schedulers_config_file": ("galaxy_config_templates", "templates/w.xml.j2", True),
    }
    assert own_files({"galaxy_config_files": "x", "galaxy_config": {"app:main": {"job_config_file": 1}}}) == {}


def test_files_that_agree_with_the_handlers() -> None:
    assert found(variables()) == []


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"handlers": 3},
            ["galaxy_config_files files/job_conf.xml handling.processes", "lacks handler2 of galaxy_handlers"],
        ),
        ({"handlers": 1}, ['"handler1": no such handler runs', "galaxy_handlers names handler0"]),
        ({"handlers": [{"name": "p", "pools": ["job-handlers"]}]}, ["no such handler runs"]),
        ({"galaxy_job_config": {"tools": []}}, ["galaxy_job_config", "galaxy_config_files", "write it there"]),
        ({"galaxy_workflow_schedulers": ["handler0"]}, ["galaxy_workflow_schedulers", "give one"]),
        (
            {"galaxy_config_files": []},
            ["galaxy_config app:main.job_config_file", "/srv/galaxy/config/job_conf.yml", "galaxy_job_config_template"],
        ),
        (
            {"galaxy_config_templates": []},
            ["galaxy_config app:main.workflow_schedulers_config_file", "galaxy_workflow_schedulers"],
        ),
    ],
)
def test_files_that_do_not(changes: dict[str, t.Any], words: list[str]) -> None:
    problems = found(variables(**changes))
    assert any(all(word in text for word in words) for text in problems), problems


def test_a_tool_in_a_file_is_sent_to_a_handler_that_is_missing() -> None:
    (problem,) = found(variables(), job_conf=JOB_CONF.format('<tools><tool id="a" handler="x"/></tools>'))
    assert problem == (
        'galaxy_config_files files/job_conf.xml: {"id": "a", "handler": "x"}: the handler x is neither a handler nor a '
        "tag: handler0, handler1, handlers"
    )


def test_a_scheduler_in_a_file_that_is_missing() -> None:
    (problem,) = found(variables(), schedulers="x")
    assert problem.startswith('galaxy_config_templates: "x": no such handler runs')
