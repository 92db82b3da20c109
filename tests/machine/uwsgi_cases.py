# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of the scenario methods: the examples of the documentation, and those of methods/cases.yml."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/uwsgi-configuration.md"
CASES = ROOT / "tests/machine/methods/cases.yml"
LONGEST = 900


@dataclass
class Case:
    """One way to configure or to serve."""

    name: str
    variables: dict[str, Any]
    # What this one is not asked for, and why.
    different: dict[str, str] = field(default_factory=dict)
    # Port of the machine at which people reach it.
    port: int = 80


def read_cases() -> list[Case]:
    """Return the examples of the page, of which the first is the measure of the others, and the cases of the file."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
    introduction, *sections = re.split(r"^### (\w+)\n", page, flags=re.M)
    shared = yaml.safe_load(block.findall(introduction)[0])
    cases = [
        Case(name, {**shared, **yaml.safe_load(block.findall(text)[0])})
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    ]
    for name, case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["cases"].items():
        cases.append(Case(name, {**shared, **case.pop("variables")}, **case))
    return cases


@dataclass
class Deployed:
    """A case that is on the machine."""

    case: Case
    output: str
    seconds: float


def play(variables: dict[str, Any], *arguments: str) -> str:
    """Provision the machine, and return what Ansible said. The inventory is that of the scenario."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
    }
    inventories = [f"--inventory={ROOT}/molecule/{name}" for name in ("shared/inventory", "methods/inventory")]
    run = subprocess.run(
        [
            "ansible-playbook",
            *inventories,
            f"{ROOT}/playbooks/site.yml",
            "--extra-vars",
            json.dumps(variables),
            *arguments,
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


class Reference:
    """What the first case gave, against which the others are held."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def same(self, what: str, value: Any) -> None:
        """Check that a value is that of the first case."""
        assert value == self.values.setdefault(what, value)
