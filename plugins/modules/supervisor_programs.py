#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module supervisor_programs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: supervisor_programs
short_description: Bring a group of supervisor to what its configuration says
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Takes up the new configuration of a group, starts what does not run, and restarts what is older than
    the files it is started with.
  - The state of the processes decides, not what an earlier task changed. A run that was cut off is finished by
    the next one.
  - Other groups are left alone, also when their configuration changed.
  - If supervisord has loaded the plugin of the role C(dagobah.galaxy.supervisor), only those processes are stopped
    and started of which the configuration changed. Supervisor by itself stops and starts the whole group.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be done without doing it.
    support: full
  diff_mode:
    description: Returns details on what was changed in diff mode.
    support: none
options:
  group:
    description: Name of the group.
    type: str
    required: true
  programs:
    description: The processes of the group, in the order in which they are restarted, one after the other.
    type: list
    elements: dict
    required: true
    suboptions:
      names:
        description: Names of processes within the group.
        type: list
        elements: str
        required: true
      inputs:
        description:
          - Files and directories that these processes are started with. A process is restarted if one of them changed
            after it was started.
          - A link counts itself, not what it leads to.
        type: list
        elements: path
        default: []
      needs:
        description:
          - What these processes have to know. The program is asked before any process is touched. A name that it does
            not know is an error, and nothing is restarted.
        type: dict
        suboptions:
          command:
            description: A command that prints all names that the program knows, one on a line.
            type: list
            elements: str
            required: true
          names:
            description: Names that have to be among them.
            type: list
            elements: str
            required: true
          kind:
            description: What they are the names of, for the message.
            type: str
            default: option
      successor:
        description:
          - How a program tells what has become of a restart that it does by itself, by starting a successor at SIGHUP
            and leaving when that one serves. Such a program is sent the signal, and not stopped.
          - supervisor restarts the program if it is not given.
        type: dict
        suboptions:
          state:
            description: The file, in JSON, in which the program says so.
            type: path
            required: true
          timeout:
            description: Seconds in which the successor has to serve.
            type: float
            default: 600.0
          log:
            description: The log that tells why one does not.
            type: path
  handover:
    description:
      - Command that gives the work of processes that are gone to those that are there. It gets one more argument,
        V(look), V(reassign) or V(refuse), and prints an object in JSON.
      - It runs after the processes that are gone have stopped, and before others are started.
    type: dict
    suboptions:
      argv:
        description: The command.
        type: list
        elements: str
        required: true
      stdin:
        description: What it reads.
        type: str
        default: ""
      refuse:
        description: Have nothing handed over. If processes that are gone have work, fail before anything is stopped.
        type: bool
        default: false
  restart:
    description: Names of processes to restart even if nothing changed.
    type: list
    elements: str
    default: []
  socket:
    description: Unix socket of supervisor.
    type: path
    default: /var/run/supervisor.sock
"""

EXAMPLES = r"""
- name: Run Galaxy as configured
  dagobah.galaxy.supervisor_programs:
    group: gx
    programs:
      - names: [galaxy]
        inputs: [/srv/galaxy/venv, /srv/galaxy/config/galaxy.ini, /srv/galaxy/server/lib]
        needs:
          command: [/srv/galaxy/venv/bin/uwsgi, --dump-options]
          names: [master, processes, threads]
          kind: uWSGI's option
      - names: [handler0, handler1]
        inputs: [/srv/galaxy/venv, /srv/galaxy/config/galaxy.ini]
"""

RETURN = r"""
actions:
  description: What was done and why, one line each.
  returned: always
  type: list
  elements: str
  sample:
    - "restart gx:galaxy: /srv/galaxy/config/galaxy.ini is newer than the process"
"""

import contextlib
import json
import subprocess
import xmlrpc.client
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof_logs
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_programs import (
    Handover,
    Needs,
    Outcome,
    Program,
    converge,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_rpc import connect
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_restart import Successor
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

# Exit status of a handover that found work and was asked to refuse.
REFUSED = 3


def _needs(given: dict[str, Any] | None) -> Needs | None:
    return Needs(tuple(given["command"]), tuple(given["names"]), given["kind"]) if given else None


def _successor(given: dict[str, Any] | None) -> Successor | None:
    return Successor(given["state"], given["timeout"]) if given else None


class Logs:
    """The logs of programs that replace themselves: what they have written since the module began."""

    def __init__(self, given: list[dict[str, Any]]) -> None:
        self._paths = [item["successor"]["log"] for item in given if (item["successor"] or {}).get("log")]
        self._inputs = [path for item in given if item["successor"] for path in item["inputs"]]
        self._sizes = proof_logs.sizes(self._paths)

    def quote(self) -> str:
        """Return the telling lines, below a heading each; nothing if there are none."""
        secrets: set[str] = set()
        for path in self._inputs:
            with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as stream:
                secrets |= proof_logs.secrets_of_config(stream.read())
        quoted = ""
        for path in self._paths:
            lines = proof_logs.excerpt(path, self._sizes[path], secrets=secrets, only_recent=True)
            quoted += "".join(f"\n{line}" for line in ([f"{path} says:", *lines] if lines else []))
        return quoted


def handover_by(command: dict[str, Any], check_mode: bool) -> Handover:
    """Return what runs the command."""

    def run(action: str) -> dict[str, Any]:
        done = subprocess.run(
            [*command["argv"], action], input=command["stdin"], capture_output=True, text=True, cwd="/", check=False
        )
        if done.returncode == REFUSED or (done.returncode and not check_mode):
            raise InputError(done.stderr.strip() or f"{command['argv'][0]} ended with {done.returncode}")
        # In check mode there may be nothing yet that could be asked.
        report: dict[str, Any] = {} if done.returncode else json.loads(done.stdout)
        return report

    return run


def main() -> None:
    """Run the module."""
    program_options = {
        "names": {"type": "list", "elements": "str", "required": True},
        "inputs": {"type": "list", "elements": "path", "default": []},
        "needs": {
            "type": "dict",
            "options": {
                "command": {"type": "list", "elements": "str", "required": True},
                "names": {"type": "list", "elements": "str", "required": True},
                "kind": {"type": "str", "default": "option"},
            },
        },
        "successor": {
            "type": "dict",
            "options": {
                "state": {"type": "path", "required": True},
                "timeout": {"type": "float", "default": 600.0},
                "log": {"type": "path"},
            },
        },
    }
    module = AnsibleModule(
        argument_spec={
            "group": {"type": "str", "required": True},
            "programs": {"type": "list", "elements": "dict", "required": True, "options": program_options},
            "handover": {
                "type": "dict",
                "options": {
                    "argv": {"type": "list", "elements": "str", "required": True},
                    "stdin": {"type": "str", "default": ""},
                    "refuse": {"type": "bool", "default": False},
                },
            },
            "restart": {"type": "list", "elements": "str", "default": []},
            "socket": {"type": "path", "default": "/var/run/supervisor.sock"},
        },
        supports_check_mode=True,
    )
    group, socket = module.params["group"], module.params["socket"]
    programs = [
        Program(name, tuple(item["inputs"]), _needs(item["needs"]), _successor(item["successor"]))
        for item in module.params["programs"]
        for name in item["names"]
    ]
    handover = module.params["handover"]
    logs = Logs(module.params["programs"])
    try:
        outcome = converge(
            connect(socket),
            group,
            programs,
            module.check_mode,
            handover_by(handover, module.check_mode) if handover else None,
            refuse=bool(handover and handover["refuse"]),
            restart=module.params["restart"],
            groups=connect(socket, interface="dagobah"),
        )
    except InputError as error:
        module.fail_json(msg=f"{error}{logs.quote()}")
    except OSError as error:
        if not module.check_mode:
            module.fail_json(msg=f"supervisor does not answer at {socket} ({error}). Is it running?")
        outcome = Outcome([f"start {group}:*: supervisor does not run yet"])
    except xmlrpc.client.Fault as error:
        module.fail_json(msg=f"supervisor refuses: {error.faultString}. Its configuration: /etc/supervisor/conf.d")
    module.exit_json(changed=outcome.changed, actions=outcome.actions)


if __name__ == "__main__":
    main()
