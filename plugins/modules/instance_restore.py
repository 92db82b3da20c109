#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_restore."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_restore
short_description: Put a backup of M(dagobah.galaxy.instance_backup) back
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Checks a backup, puts it in the place of what is there, and keeps that until it is told that all has been proved.
  - A record says what has been exchanged, so that a run that was cut off at any moment is finished by the next.
attributes:
  check_mode:
    support: full
    description: In check mode nothing but O(step=check) is done.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  step:
    description:
      - V(check) fails unless the backup is whole, and of this instance, and may replace what is there.
      - V(stage) lays its data out beside those that are there, as links to those that are the same.
      - V(change) exchanges data, files and the database. Nothing that uses them may run.
      - V(undo) puts back what was there before, if anything was.
      - V(finish) removes what was there before.
    type: str
    choices: [check, stage, change, undo, finish]
    required: true
  directory:
    description: Where backups are kept.
    type: path
    required: true
  backup:
    description: Name of one of them, or V(latest).
    type: str
    default: latest
  replace:
    description: Whether there may be an instance with data already.
    type: bool
    default: false
  record:
    description: Where the record of this module is.
    type: path
    required: true
  release_record:
    description: The record of M(dagobah.galaxy.release_change).
    type: path
    required: true
  link:
    description: The link to the release that serves.
    type: path
    required: true
  instance:
    description: Name of the instance.
    type: str
    required: true
  release:
    description: The release of Galaxy that is to serve, for example V(26.1.2).
    type: str
    required: true
  urls:
    description: SQLAlchemy's URLs of Galaxy's database, and of that for installed tools if that is another.
    type: list
    elements: str
    required: true
  user:
    description: The system user that runs Galaxy.
    type: str
    required: true
  group:
    description: Its group.
    type: str
    required: true
  files:
    description: Files and directories of the configuration that are put back, if the backup has them.
    type: list
    elements: path
    default: []
  missing:
    description: Those that are put back only if they are not there.
    type: list
    elements: path
    default: []
  data:
    description: The instance's directories of data.
    type: list
    elements: path
    required: true
  dump_directory:
    description: Where the database is dumped to as it was before.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Check a backup
  dagobah.galaxy.instance_restore:
    step: check
    directory: /var/backups/galaxy
    backup: 20261124T141500Z
    record: /srv/galaxy/releases/galaxy.restore.json
    release_record: /srv/galaxy/releases/galaxy.json
    link: /srv/galaxy/venv
    instance: galaxy
    release: 26.1.2
    urls: ["postgresql:///galaxy?host=/var/run/postgresql"]
    user: galaxy
    group: galaxy
    data: [/srv/galaxy/data]
    dump_directory: /srv/galaxy/backups
"""

RETURN = r"""
backup:
  description: Where the backup is.
  returned: success
  type: str
pending:
  description: Whether a restore is under way.
  returned: success
  type: bool
undone:
  description: Whether what was there before has been put back.
  returned: success
  type: bool
"""

import grp
import os
import pwd
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import backups, dumps, release_change, restoring
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError

REPLACE = "galaxy_restore_replace: true lets the backup replace it"


def check(params: dict[str, Any], backup: str) -> None:
    """Fail unless a backup is whole, and may be put back here."""
    backups.check(backups.read(backup), params["instance"], params["release"], params["data"])
    serving = release_change.linked(params["link"])
    if release_change.read(params["release_record"]).change:
        raise backups.BackupError("an upgrade is under way, or was cut off, which playbooks/site.yml finishes")
    if serving and not restoring.pending(params["record"]):
        if not params["replace"]:
            raise backups.BackupError(f"there is a Galaxy here ({params['link']}); {REPLACE}")
        if release_change.version_of(serving) != params["release"]:
            raise backups.BackupError(
                f"Galaxy {release_change.version_of(serving)} serves here, and the backup is of {params['release']};"
                " go back with playbooks/rollback.yml first"
            )
    backups.verify(backup)


def change(params: dict[str, Any], backup: str, databases: list[Database]) -> None:
    """Put a backup in the place of what is there."""
    filled = [database.name for database in databases if database.revisions()]
    if filled and not params["replace"] and not restoring.pending(params["record"]):
        raise backups.BackupError(f"the database {', '.join(filled)} is not empty; {REPLACE}")
    serving = release_change.linked(params["link"])
    facts = {
        "release": serving or params["release"],
        "galaxy": release_change.version_of(serving) if serving else params["release"],
        "databases": [database.name for database in databases],
        "time": time.time(),
    }
    files, missing = params["files"], params["missing"]
    restoring.change(backup, params["record"], databases, files, missing, params["dump_directory"], facts)


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the module does, and return its result."""
    params = module.params
    step, record = params["step"], params["record"]
    databases = [Database(url, params["user"]) for url in params["urls"]]
    result: dict[str, Any] = {"changed": step not in ("check", "finish"), "undone": False, "backup": ""}
    if step in ("check", "stage", "change"):
        result["backup"] = backup = backups.choose(params["directory"], params["backup"])
    if step == "check":
        check(params, backup)
    elif not module.check_mode and (step in ("stage", "change") or os.path.exists(record)):
        with dumps.alone(params["dump_directory"]):
            if step == "stage":
                owner = pwd.getpwnam(params["user"]).pw_uid, grp.getgrnam(params["group"]).gr_gid
                restoring.stage(backup, record, owner)
            elif step == "change":
                change(params, backup, databases)
            elif step == "undo":
                result["undone"] = result["changed"] = restoring.undo(record, databases)
            else:
                restoring.finish(record)
    result["pending"] = restoring.pending(record) is not None
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["check", "stage", "change", "undo", "finish"], "required": True},
            "directory": {"type": "path", "required": True},
            "backup": {"type": "str", "default": "latest"},
            "replace": {"type": "bool", "default": False},
            "record": {"type": "path", "required": True},
            "release_record": {"type": "path", "required": True},
            "link": {"type": "path", "required": True},
            "instance": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            # A URL may hold a password.
            "urls": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "user": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "missing": {"type": "list", "elements": "path", "default": []},
            "data": {"type": "list", "elements": "path", "required": True},
            "dump_directory": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except backups.BackupError as error:
        module.fail_json(msg=f"The backup is not put back, and nothing has been changed: {error}.")
    except (DatabaseError, OSError) as error:
        module.fail_json(msg=f"The step {module.params['step']} of the restore has failed: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
