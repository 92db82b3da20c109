# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of wrong and of hostile input, and runs of Ansible with it.

Each file in input is a list of entries: a name, the variables that are given, and either the line by which the
preflight refuses them (error), or where and as what they arrive (carried).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Unsafe(str):
    """Text that is no template, whatever is in it (!unsafe)."""

    __slots__ = ()


class Loader(yaml.SafeLoader):
    """YAML as in an inventory."""


class Dumper(yaml.SafeDumper):
    """YAML as in an inventory."""


Loader.add_constructor("!unsafe", lambda loader, node: Unsafe(node.value))
Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


# They say what others mean.
DECIDING = {"galaxy_install_method", "galaxy_repo", "galaxy_user", "nginx_tls", "uwsgi_config_method", "uwsgi_http"}


@dataclass(frozen=True)
class Entry:
    """One input."""

    name: str
    given: dict[str, t.Any]
    # The beginning of the line that refuses it, or what stands in it.
    error: str | None = None
    # The keys by which it is found where it is read ("in"), and what is read there ("as").
    carried: dict[str, t.Any] | None = None
    # Whether the preflight compares its variables with others, so that it needs a host of its own.
    alone: bool = False

    def __post_init__(self) -> None:
        if DECIDING & self.given.keys():
            object.__setattr__(self, "alone", True)


@dataclass
class Host:
    """Entries whose variables do not meet, given to one host."""

    name: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, t.Any]:
        """Everything that is given to the host."""
        return {name: value for entry in self.entries for name, value in entry.given.items()}


def entries() -> list[Entry]:
    """Return the corpus."""
    files = sorted((HERE / "input").glob("*.yml"))
    return [Entry(**item) for path in files for item in yaml.load(path.read_text(), Loader)]  # noqa: S506


def hosts(chosen: list[Entry], most: int) -> list[Host]:
    """Return the entries on as few hosts as their variables allow, so many on each at most."""
    result: list[Host] = []
    for entry in chosen:
        for host in result:
            is_taken = entry.alone or any(other.alone for other in host.entries)
            if not is_taken and len(host.entries) < most and not host.variables.keys() & entry.given.keys():
                host.entries.append(entry)
                break
        else:
            result.append(Host(f"host{len(result):03}", [entry]))
    return result


def run(directory: Path, playbook: Path, chosen: list[Host], *arguments: str, **common: t.Any) -> dict[str, t.Any]:
    """Run a playbook for the hosts, with variables of all of them, and return what Ansible says of it."""
    inventory = {
        "galaxy": {
            "hosts": {
                host.name: {**host.variables, "ansible_host": f"192.0.2.{number % 250}", "ansible_port": number}
                for number, host in enumerate(chosen, 1)
            },
            # By its full name: hosts with "local" are one machine for the check of neighbours.
            "vars": {
                "ansible_connection": "ansible.builtin.local",
                "ansible_python_interpreter": "/usr/bin/python3",
                **common,
            },
        }
    }
    (directory / "inventory.yml").write_text(yaml.dump(inventory, Dumper=Dumper, allow_unicode=True, width=1000))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "inventory.yml", *arguments, str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_HOME": str(directory),
            "ANSIBLE_JSON_INDENT": "0",
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "LC_ALL": "C.UTF-8",
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    (directory / "output").write_text(done.stdout + "\n" + done.stderr)
    begin = done.stdout.find("{")
    assert begin >= 0, done.stdout + done.stderr
    told: dict[str, t.Any] = json.loads(done.stdout[begin:])
    return told
