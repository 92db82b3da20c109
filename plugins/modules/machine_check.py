#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module machine_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_check
short_description: Check that a machine can take an instance, before anything is changed
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Checks that no other process listens where uWSGI and nginx are to listen, and names it if one does. The instance's
    own uWSGI, and nginx, may be there already.
  - Checks that a release which runs on some Pythons only gets one of them.
  - Checks that no restore of a backup was cut off.
  - Checks that uWSGI's user may open the ports, and that a Python for which uWSGI is to be compiled has its headers.
  - Fails once, with everything that is in the way.
options:
  uwsgi:
    description: Addresses at which uWSGI is to listen - C(host:port), or the path of a Unix socket.
    type: list
    elements: dict
    default: []
    suboptions: &address
      variable:
        description: What an error message calls it.
        type: str
        required: true
      address:
        description: The address.
        type: str
        required: true
  nginx:
    description: Addresses at which nginx is to listen, as nginx writes them.
    type: list
    elements: dict
    default: []
    suboptions: *address
  directory:
    description: Working directory of the instance's processes, by which its own uWSGI is known.
    type: path
    required: true
  user:
    description: The user that runs them.
    type: str
    required: true
  releases:
    description: Directory of the instance's releases. Classic Galaxy works in the one in use, below this.
    type: path
  restore:
    description: The record of M(dagobah.galaxy.instance_restore).
    type: path
  python:
    description: An interpreter, and the Pythons that a release runs on.
    type: dict
    suboptions:
      path:
        description: The interpreter.
        type: path
        required: true
      release:
        description: The release.
        type: str
        required: true
      lowest:
        description: The lowest Python for it.
        type: str
        required: true
      highest:
        description: The highest Python for it. Empty if there is none.
        type: str
        required: true
  compile_for:
    description: Interpreter that needs its C headers, because uWSGI is compiled for it.
    type: path
requirements:
  - root, to see the sockets of all processes
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: It never changes anything.
"""

EXAMPLES = r"""
- name: Check the machine
  dagobah.galaxy.machine_check:
    uwsgi:
      - {variable: uwsgi_socket, address: "127.0.0.1:4001"}
    nginx:
      - {variable: nginx_listen, address: "80"}
    directory: /srv/galaxy/server
    user: galaxy
"""

RETURN = r"""
problems:
  description: What is in the way, a sentence each.
  returned: failure
  type: list
  elements: str
  sample: ['nginx_listen: "80": process 812 (apache2 -k start) listens there; stop it, or name another address']
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import machine, restoring


def main() -> None:
    """Run the module."""
    address = {"variable": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}
    addresses = {"type": "list", "elements": "dict", "default": [], "options": address}
    module = AnsibleModule(
        argument_spec={
            "uwsgi": addresses,
            "nginx": addresses,
            "directory": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "releases": {"type": "path"},
            "restore": {"type": "path"},
            "python": {
                "type": "dict",
                "options": {
                    "path": {"type": "path", "required": True},
                    "release": {"type": "str", "required": True},
                    "lowest": {"type": "str", "required": True},
                    "highest": {"type": "str", "required": True},
                },
            },
            "compile_for": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    problems = list(
        machine.check_ports(
            machine.Machine(),
            [(item["variable"], item["address"]) for item in given["uwsgi"]],
            [(item["variable"], item["address"]) for item in given["nginx"]],
            machine.Own(given["directory"], given["user"], given["releases"]),
        )
    )
    unfinished = restoring.pending(given["restore"]) if given["restore"] else None
    if unfinished:
        problems.append(
            "the restore of %s was cut off; playbooks/restore.yml finishes it" % os.path.basename(unfinished.backup)
        )
    if given["python"]:
        wanted = given["python"]
        problem = machine.check_python(wanted["path"], wanted["release"], wanted["lowest"], wanted["highest"])
        problems += [problem] if problem else []
    if given["compile_for"]:
        problem = machine.check_headers(given["compile_for"])
        problems += [problem] if problem else []
    if problems:
        count = "1 thing is" if len(problems) == 1 else "%d things are" % len(problems)
        lines = "\n".join("- %s" % problem for problem in problems)
        module.fail_json(msg="%s in the way; nothing has been changed.\n%s" % (count, lines), problems=problems)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
