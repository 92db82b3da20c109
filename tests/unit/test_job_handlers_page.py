# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/job-handlers.md, as they stand there."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils import preflight
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import handler_list
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.workflow_schedulers import schedulers

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
PAGE = (ROOT / "docs" / "job-handlers.md").read_text()
YAML = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
(XML,) = re.findall(r"^```xml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RELEASE = json.loads((ROLES / "galaxy/files/releases/26.1.2/options.json").read_text())


def problems(example: dict[str, t.Any]) -> list[str]:
    specs: dict[str, t.Any] = {}
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        specs.update(yaml.safe_load(path.read_text())["argument_specs"].get("main", {}).get("options") or {})
    values = {name: spec["default"] for name, spec in specs.items() if "{{" not in str(spec.get("default", "{{"))}
    values.update(galaxy_config_dir="/srv/galaxy/config", **example)
    template = example.get("galaxy_job_config_template")
    files = {"job_config_file": ("galaxy_job_config_template", template, XML)} if template else None
    return [problem.text for problem in preflight.check(specs, values, names=example, release=RELEASE, files=files)]


@pytest.mark.parametrize("example", YAML, ids=" ".join)
def test_examples_are_in_order(example: dict[str, t.Any]) -> None:
    assert problems(example) == []


def test_there_are_examples_of_each_kind() -> None:
    assert len(YAML) >= 10
    assert {name for example in YAML for name in example} >= {
        "galaxy_handlers",
        "galaxy_workflow_schedulers",
        "galaxy_job_config",
        "galaxy_job_config_template",
        "galaxy_removed_handlers",
        "galaxy_config",
    }


@pytest.mark.parametrize("example", [example for example in YAML if "galaxy_handlers" in example])
def test_the_handlers_are_what_the_page_calls_them(example: dict[str, t.Any]) -> None:
    for handler in handler_list(example["galaxy_handlers"]):
        assert re.search(rf"\b{re.sub(r'[0-9]+$', '', handler['name'])}", PAGE)


def test_names_and_tags() -> None:
    example = next(example for example in YAML if "big" in str(example))
    config = job_config(example["galaxy_handlers"], example["galaxy_job_config"])
    assert list(config["handling"]["processes"]) == ["handler0", "big0", "big1"]
    assert config["handling"]["default"] == "handlers"
    assert {tool["handler"] for tool in config["tools"]} == {"big"}


def test_schedulers() -> None:
    example = next(example for example in YAML if "galaxy_workflow_schedulers" in example)
    assert schedulers(example["galaxy_handlers"], example["galaxy_workflow_schedulers"]) == ["scheduler0"]


def test_a_missing_handler_is_found_in_each_form() -> None:
    """The same examples, with one handler fewer."""
    one = {"galaxy_handlers": 1}
    inline = next(example for example in YAML if "galaxy_config" in example)
    assert any('"handler1": no such handler runs' in text for text in problems({**inline, **one}))
    template = next(example for example in YAML if "galaxy_job_config_template" in example)
    found = problems({**template, **one})
    assert found == [
        "galaxy_job_config_template templates/job_conf.xml.j2 handling.processes: "
        '"handler1": no such handler runs: galaxy_handlers names handler0; name it there, too'
    ]
    processes = {"handler0": {"tags": ["handlers"]}, "handler1": {"tags": ["handlers"]}}
    found = problems({"galaxy_job_config": {"handling": {"processes": processes}}, **one})
    assert len(found) == 1
    assert '"handler1": no such handler runs' in found[0]
