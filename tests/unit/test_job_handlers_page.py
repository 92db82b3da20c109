# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/job-handlers.md, as they stand there."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils import preflight
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import handler_list
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.workflow_schedulers import schedulers

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / "collections"
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


# Prints what the roles write, with the variables of each example: a host for each.
PLAYBOOK = """
- hosts: all
  gather_facts: false
  connection: local
  vars_files: [{roles}/galaxy/defaults/main.yml, {roles}/supervisor/defaults/main.yml, {roles}/supervisor/vars/main.yml]
  roles: [dagobah.galaxy._common]
  tasks:
    # What much else refers to, worked out once.
    - ansible.builtin.set_fact:
        __galaxy_sections: "{{{{ __galaxy_sections }}}}"
    - ansible.builtin.copy:
        dest: "{out}/{{{{ inventory_hostname }}}}.json"
        content: >-
          {{{{ dict(job_config=__galaxy_job_config,
                    sections=__galaxy_sections,
                    file=__galaxy_job_config_text or lookup('template', '{roles}/galaxy/templates/job_conf.yml.j2'),
                    schedulers=lookup('template', '{roles}/galaxy/templates/workflow_schedulers_conf.xml.j2')
                               if __galaxy_workflow_schedulers else '',
                    supervisor=lookup('template', '{roles}/supervisor/templates/galaxy.conf.j2'),
                    handover=__galaxy_jobs_command) | to_json }}}}
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, t.Any]]:
    """Return what is written for each example, by one run of Ansible."""
    directory = tmp_path_factory.mktemp("rendered")
    (directory / "templates").mkdir()
    (directory / "templates" / "job_conf.xml.j2").write_text(XML)
    (directory / "playbook.yml").write_text(PLAYBOOK.format(roles=ROLES, out=directory))
    hosts = {f"example{number}": example for number, example in enumerate(YAML)}
    (directory / "inventory.yml").write_text(
        json.dumps({"all": {"hosts": hosts, "vars": {"ansible_python_interpreter": sys.executable}}})
    )
    done = subprocess.run(
        [*(sys.executable, "-m", "ansible", "playbook"), "-i", "inventory.yml", "playbook.yml"],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_HOME": str(directory),
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((directory / f"{host}.json").read_text()) for host in hosts]


@pytest.mark.skipif(not COLLECTIONS.is_dir(), reason="needs a checkout")
class TestRendered:
    """What is written for the examples is what Galaxy and supervisor understand."""

    def test_supervisor_runs_each_handler_as_galaxy_is_to_know_it(self, rendered: list[dict[str, t.Any]]) -> None:
        for example, result in zip(YAML, rendered, strict=True):
            config = configparser.RawConfigParser()
            config.read_string(result["supervisor"])
            programs = {config[s]["process_name"]: config[s] for s in config.sections() if s.startswith("program:")}
            handlers = {handler["name"]: handler for handler in handler_list(example.get("galaxy_handlers", 2))}
            assert set(programs) == {"galaxy", *handlers}
            for name, handler in handlers.items():
                command = programs[name]["command"].split()
                assert f"--server-name={name}" in command
                pools = [word.partition("=")[2] for word in command if word.startswith("--attach-to-pool=")]
                assert pools == handler.get("pools", [])

    def test_the_job_configuration_names_those_that_are_in_no_pool(self, rendered: list[dict[str, t.Any]]) -> None:
        for example, result in zip(YAML, rendered, strict=True):
            handlers = handler_list(example.get("galaxy_handlers", 2))
            named = {handler["name"] for handler in handlers if "tags" in handler}
            text = result["file"]
            if "galaxy_job_config_template" in example:
                assert {item.get("id") for item in ElementTree.fromstring(text).iter("handler")} == named
                assert result["sections"]["app:main"]["job_config_file"] == "/srv/galaxy/config/job_conf.xml"
            else:
                assert set((yaml.safe_load(text).get("handling") or {}).get("processes") or {}) == named
                assert result["sections"]["app:main"]["job_config_file"] == "/srv/galaxy/config/job_conf.yml"
            assert "job_config" not in result["sections"]["app:main"]

    def test_galaxys_section_is_in_the_file(self, rendered: list[dict[str, t.Any]]) -> None:
        results = [result for example, result in zip(YAML, rendered, strict=True) if "galaxy_config" in example]
        assert [yaml.safe_load(result["file"])["limits"] for result in results] == [
            [{"type": "registered_user_concurrent_jobs", "value": 2}]
        ]

    def test_schedulers_are_in_their_file_and_galaxy_is_told_of_it(self, rendered: list[dict[str, t.Any]]) -> None:
        found = []
        for result in rendered:
            option = result["sections"]["app:main"].get("workflow_schedulers_config_file")
            assert bool(option) == bool(result["schedulers"])
            if option:
                root = ElementTree.fromstring(result["schedulers"])
                found.append([item.get("id") for item in root.iter("handler")])
        assert found == [["scheduler0"], []]

    def test_who_can_take_over_is_known(self, rendered: list[dict[str, t.Any]]) -> None:
        for example, result in zip(YAML, rendered, strict=True):
            words = result["handover"]
            handlers = handler_list(example.get("galaxy_handlers", 2))
            for handler in handlers:
                takes = any(word.startswith(f"--process={handler['name']}=") for word in words)
                assert takes == (handler.get("jobs", True) and handler.get("pools") != ["workflow-schedulers"])
            assert any(word == "--process=main.1=_default_" for word in words) == (not handlers)
