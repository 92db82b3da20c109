#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release_change."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_change
short_description: Keep the record of a change from one release of Galaxy to another
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Tells whether a run changes the release that serves, notes how far it has come, and puts the files back if it fails.
  - The record says what it takes to undo the change - the release before, its files, the dump of its database and the
    revisions that this had. It is written before anything is touched, so that a run that was cut off at any moment is
    finished or undone by the next.
attributes:
  check_mode:
    description: In check mode it only tells what is under way.
    support: full
  diff_mode:
    support: none
    description: Nothing that it writes is for people to compare.
options:
  step:
    description:
      - V(look) tells what there is to be done.
      - V(begin) keeps the O(files) as they are, and notes that the change begins.
      - V(undo) notes that what is under way, or else the last change, is to be undone.
      - V(put_back) puts the files and the link back.
      - V(finish) notes that all has come to its end, and removes releases and dumps beyond the numbers to keep.
    type: str
    choices: [look, begin, undo, put_back, finish]
    required: true
  record:
    description: Where the record is. Other instances have theirs in the same directory if they share the releases.
    type: path
    required: true
  link:
    description: The link to the release that serves.
    type: path
    required: true
  release:
    description: The release that is to serve.
    type: path
    required: true
  files:
    description: Files and directories that the change touches.
    type: list
    elements: path
    default: []
  dump:
    description: The dump of the database, a directory. The files are kept in it.
    type: path
  revisions:
    description: Revisions of the database before.
    type: list
    elements: str
    default: []
  reversible:
    description: Whether the migration of the database can be run backwards, if that is known.
    type: bool
  group:
    description: Group of supervisor whose programs are noted.
    type: str
  socket:
    description: Unix socket of supervisor.
    type: path
    default: /var/run/supervisor.sock
  keep_releases:
    description: How many releases to keep. That which serves, and that which served before, stay in any case.
    type: int
    default: 2
  keep_dumps:
    description: How many dumps to keep.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Tell whether another release is to serve
  dagobah.galaxy.release_change:
    step: look
    record: /srv/galaxy/releases/galaxy.json
    link: /srv/galaxy/venv
    release: /srv/galaxy/releases/26.1.2-0a1b2c3d
"""

RETURN = r"""
plan:
  description:
    - V(install) - no release serves yet. V(same) - it is this one. V(upgrade) - it is another.
    - V(resume) - an earlier run was cut off after it had begun the same change.
    - V(undo) - an earlier run was cut off, and what it has begun has to be undone first.
  returned: always
  type: str
built:
  description: Whether the release is there.
  returned: always
  type: bool
serving:
  description: The release that serves.
  returned: always
  type: str
serving_galaxy:
  description: Its number.
  returned: always
  type: str
change:
  description: What is under way, or else was done last.
  returned: always
  type: dict
pending:
  description: Whether it is under way.
  returned: always
  type: bool
removed:
  description: Releases and dumps that were removed.
  returned: always
  type: list
  elements: str
put_back:
  description: Files that were put back.
  returned: always
  type: list
  elements: str
"""

import os
import xmlrpc.client
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import (
    dumps,
    release_change,
    release_pruning,
    snapshot,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_rpc import connect


def programs(socket: str, group: str | None) -> list[str]:
    """Return the programs of a group that supervisor has; none if it does not run."""
    try:
        return [info["name"] for info in connect(socket).getAllProcessInfo() if info["group"] == group]
    except (OSError, xmlrpc.client.Fault):
        return []


def prune(params: dict[str, Any], record: release_change.Record) -> list[str]:
    """Remove what nobody needs any more."""
    directory = os.path.dirname(params["record"])
    needed = {params["release"], release_change.linked(params["link"]) or ""}
    needed |= release_change.mentioned(params["record"]) | release_pruning.in_use(directory)
    removed = release_pruning.remove(release_pruning.superfluous(directory, params["keep_releases"], needed))
    used = [item.dump for item in record.past[-1:] if item.dump]
    if used:
        removed += dumps.prune(os.path.dirname(used[-1]), params["keep_dumps"], used)
    record.past = [item for item in record.past if os.path.isdir(item.source)]
    return removed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["look", "begin", "undo", "put_back", "finish"], "required": True},
            "record": {"type": "path", "required": True},
            "link": {"type": "path", "required": True},
            "release": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "dump": {"type": "path"},
            "revisions": {"type": "list", "elements": "str", "default": []},
            "reversible": {"type": "bool"},
            "group": {"type": "str"},
            "socket": {"type": "path", "default": "/var/run/supervisor.sock"},
            "keep_releases": {"type": "int", "default": 2},
            "keep_dumps": {"type": "int", "default": 3},
        },
        required_if=[("step", "begin", ["dump"])],
        supports_check_mode=True,
    )
    params = module.params
    path, link = params["record"], params["link"]
    removed: list[str] = []
    put_back: list[str] = []
    try:
        record = release_change.read(path)
        before = release_change.Record(record.change, list(record.past))
        step = "look" if module.check_mode else params["step"]
        if step == "begin":
            archive = os.path.join(params["dump"], "files.tar.gz")
            release_change.replace(archive, snapshot.pack(params["files"]))
            change = release_change.Change(
                source=release_change.linked(link) or "",
                target=params["release"],
                revisions=params["revisions"],
                dump=params["dump"],
                snapshot=archive,
                reversible=params["reversible"],
                programs=programs(params["socket"], params["group"]),
            )
            release_change.begin(record, change)
        elif step == "undo":
            release_change.undo(record, release_change.linked(link))
        elif step == "put_back" and record.change:
            with open(record.change.snapshot, "rb") as stream:
                put_back = snapshot.put_back(stream.read(), params["files"])
            if release_change.linked(link) != record.change.source:
                release_change.link_to(link, record.change.source)
                put_back.append(link)
        elif step == "finish":
            release_change.finish(record)
            if os.path.isdir(os.path.dirname(path)):
                removed = prune(params, record)
        if record != before or step == "undo":
            release_change.write(path, record)
        result = release_change.describe(record, release_change.linked(link), params["release"])
    except (OSError, ValueError, TypeError) as error:
        module.fail_json(msg=f"The record of upgrades, {path}: {error}")
    built = os.path.exists(os.path.join(params["release"], "release.json"))
    changed = bool(removed or put_back or (record != before and step != "finish"))
    module.exit_json(changed=changed, built=built, removed=removed, put_back=put_back, **result)


if __name__ == "__main__":
    main()
