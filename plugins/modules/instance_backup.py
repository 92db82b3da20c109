#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_backup
short_description: Back an instance of Galaxy up while it serves
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Dumps the database as it is at one moment, and then copies the configuration with its secrets, and the data.
  - A backup is a directory. It gets its name when all of it is on the disk. Only root can read it.
  - A file that has not changed since the backup before is the same file on the disk, under another name.
  - C(backup.json) says what a backup is of. C(SHA256SUMS) has the sum of each file, as C(sha256sum --check) reads it.
attributes:
  check_mode:
    support: full
    description: In check mode nothing is copied.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  directory:
    description: Where backups are kept. It has to be there.
    type: path
    required: true
  keep:
    description: How many backups to keep, this one among them.
    type: int
    default: 7
  instance:
    description: Name of the instance.
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
  link:
    description: The link to the release that serves.
    type: path
    required: true
  record:
    description: The record of M(dagobah.galaxy.release_change).
    type: path
    required: true
  restore_record:
    description: The record of M(dagobah.galaxy.instance_restore).
    type: path
    required: true
  files:
    description: Files and directories of the configuration. What is not there is left out.
    type: list
    elements: path
    required: true
  data:
    description: Directories of data. What is not there is left out.
    type: list
    elements: path
    required: true
  without:
    description: Paths in these directories that are left out, because it is made again what is there.
    type: list
    elements: path
    default: []
  left:
    description: Paths in these directories that are left out, and left alone when the backup is put back.
    type: list
    elements: path
    default: []
  facts:
    description: What else the backup is to say of itself.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Back Galaxy up
  dagobah.galaxy.instance_backup:
    directory: /var/backups/galaxy
    instance: galaxy
    urls: ["postgresql:///galaxy?host=/var/run/postgresql"]
    user: galaxy
    link: /srv/galaxy/venv
    record: /srv/galaxy/releases/galaxy.json
    restore_record: /srv/galaxy/releases/galaxy.restore.json
    files: [/srv/galaxy/config]
    data: [/srv/galaxy/data]
    without: [/srv/galaxy/data/tmp]
"""

RETURN = r"""
backup:
  description: Where the backup is.
  returned: success
  type: str
  sample: /var/backups/galaxy/20261124T141500Z
manifest:
  description: What it says of itself.
  returned: success
  type: dict
removed:
  description: Backups that were removed.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import backups, dumps, release_change, restoring
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError


def check(params: dict[str, object]) -> None:
    """Fail if there is no whole instance to be backed up."""
    if not release_change.linked(str(params["link"])):
        raise backups.BackupError(f"there is no Galaxy here: {params['link']} leads to no release")
    if release_change.read(str(params["record"])).change:
        raise backups.BackupError("an upgrade is under way, or was cut off, which playbooks/site.yml finishes")
    if restoring.pending(str(params["restore_record"])):
        raise backups.BackupError("a restore is under way, or was cut off, which playbooks/restore.yml finishes")


def main() -> None:
    """Run the module."""
    paths = {"type": "list", "elements": "path"}
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "keep": {"type": "int", "default": 7},
            "instance": {"type": "str", "required": True},
            # A URL may hold a password.
            "urls": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "user": {"type": "str", "required": True},
            "link": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
            "restore_record": {"type": "path", "required": True},
            "files": {**paths, "required": True},
            "data": {**paths, "required": True},
            "without": {**paths, "default": []},
            "left": {**paths, "default": []},
            "facts": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    # Galaxy goes first.
    os.nice(10)
    try:
        check(params)
        if module.check_mode:
            module.exit_json(changed=True, backup=params["directory"], manifest={}, removed=[])
        release = os.path.realpath(params["link"])
        facts = {
            **params["facts"],
            "instance": params["instance"],
            "release": os.path.basename(release),
            "galaxy": release_change.version_of(release),
        }
        databases = [Database(url, params["user"]) for url in params["urls"]]
        instance = backups.Instance(
            databases, params["files"], params["data"], params["without"], params["left"], facts
        )
        with dumps.alone(params["directory"]):
            backup, manifest = backups.make(params["directory"], instance)
            removed = backups.prune(params["directory"], params["keep"])
    except (backups.BackupError, DatabaseError, OSError) as error:
        module.fail_json(msg=f"There is no new backup: {error}")
    if manifest["purged"]:
        module.warn(f"These datasets were purged while the backup was made: {', '.join(manifest['purged'])}")
    if manifest["vanished"]:
        module.warn(f"These files went away while the backup was made: {', '.join(manifest['vanished'])}")
    module.exit_json(changed=True, backup=backup, manifest=manifest, removed=removed)


if __name__ == "__main__":
    main()
