# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who schedules workflows."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import HandlersError, handler_list
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.workflow_schedulers import check_file, workflow_schedulers

DEDICATED = ["handler0", {"name": "scheduler", "count": 2, "jobs": False}]
POOLED = ["handler0", {"name": "scheduler0", "pools": ["workflow-schedulers"]}]


def test_every_handler_schedules_if_none_is_named() -> None:
    assert workflow_schedulers(2, []) == ""
    assert workflow_schedulers(2, None) == ""
    assert workflow_schedulers([{"name": "a", "pools": ["job-handlers"]}], []) == ""


@pytest.mark.parametrize(
    "handlers, given, names",
    [
        (DEDICATED, ["scheduler0", "scheduler1"], ["scheduler0", "scheduler1"]),
        (2, ["handlers"], ["handler0", "handler1"]),
        (2, ["handler1", "handlers"], ["handler1", "handler0"]),
        (2, "handler1", ["handler1"]),
        (POOLED, [], []),
        (POOLED, ["handler0"], ["handler0"]),
    ],
)
def test_names_and_tags(handlers: t.Any, given: t.Any, names: list[str]) -> None:
    root = ElementTree.fromstring(workflow_schedulers(handlers, given, job_config(handlers)))
    assert [item.get("id") for item in root.iter("handler")] == names
    assert {item.get("tags") for item in root.iter("handler")} <= {"workflow-schedulers"}
    element = root.find("handlers")
    assert element is not None
    assert element.attrib == {"assign_with": "db-skip-locked", "default": "workflow-schedulers"}
    # Invocations that were begun before remember the name of their scheduler.
    assert root.get("default") == "default"
    assert [item.get("id") for item in root.iter("core")] == ["default"]


def test_workflows_are_assigned_as_jobs_are() -> None:
    text = workflow_schedulers(2, ["handler0"], job_config(2, {"handling": {"assign": ["db-preassign"]}}))
    assert 'assign_with="db-preassign"' in text


@pytest.mark.parametrize(
    "handlers, given, words",
    [
        (2, ["handler2"], ["handler2", "handler0, handler1, handlers", "web processes"]),
        (2, ["main"], ["main", "web processes schedule no workflows"]),
        (0, ["main"], ["there is none"]),
        (POOLED, ["scheduler0"], ["scheduler0", "workflow-schedulers"]),
        (DEDICATED, ["scheduler0"], ["scheduler1", "neither jobs nor workflows"]),
        (2, {"a": 1}, ["list"]),
    ],
)
def test_refuses(handlers: t.Any, given: t.Any, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        workflow_schedulers(handlers, given)
    for word in ("galaxy_workflow_schedulers", *words):
        assert word in str(error.value)


FILE = '<workflow_schedulers default="core"><core id="core"/><handlers>{}</handlers></workflow_schedulers>'


def test_a_file_that_fits() -> None:
    check_file(FILE.format('<handler id="handler0"/>'), "w.xml", handler_list(2), "v")
    check_file(FILE.format(""), "w.xml", handler_list(POOLED), "v")


@pytest.mark.parametrize(
    "text, words",
    [
        ("handlers: []", ["is no XML"]),
        ("<job_conf/>", ["job_conf", "workflow_schedulers"]),
        (FILE.format(""), ["names no handlers"]),
        (FILE.format('<handler id="x"/>'), ['"x"', "no such handler runs", "handler0, handler1"]),
    ],
)
def test_a_file_that_does_not(text: str, words: list[str]) -> None:
    with pytest.raises(HandlersError) as error:
        check_file(text, "w.xml", handler_list(2), "galaxy_config_files")
    for word in ("galaxy_config_files", *words):
        assert word in str(error.value)
