#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module database_dump."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_dump
short_description: Dump Galaxy's database before it is migrated, or put it back
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Dumps PostgreSQL with C(pg_dump), as Galaxy's user and by its own connection, and SQLite with its backup API.
  - A dump is a directory with the contents of each database and C(dump.json), which says which release it belongs to
    and which revisions the database has. It gets its name when all of it is on the disk. Only its owner can read it.
  - Passwords are never arguments of a command.
attributes:
  check_mode:
    support: full
    description: In check mode nothing is dumped.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  urls:
    description: SQLAlchemy's URLs of Galaxy's database, and of that for installed tools if that is another.
    type: list
    elements: str
    required: true
  user:
    description: The system user that runs Galaxy.
    type: str
    required: true
  directory:
    description: Where dumps are kept. It has to be there.
    type: path
    required: true
  release:
    description: The release that the database belongs to, a directory.
    type: path
  galaxy:
    description: Its number.
    type: str
  restore:
    description: Put the database back as this dump has it, instead. It is done at once or not at all.
    type: path
"""

EXAMPLES = r"""
- name: Dump the database
  dagobah.galaxy.database_dump:
    urls: ["postgresql:///galaxy?host=/var/run/postgresql"]
    user: galaxy
    directory: /srv/galaxy/backups
    release: /srv/galaxy/releases/25.1.3-0a1b2c3d
    galaxy: 25.1.3
"""

RETURN = r"""
dump:
  description: Where the dump is.
  returned: success
  type: str
  sample: /srv/galaxy/backups/20261124T141500Z-25.1.3-0a1b2c3d
revisions:
  description: The revisions of the database.
  returned: success
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # A URL may hold a password.
            "urls": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "user": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "release": {"type": "path"},
            "galaxy": {"type": "str"},
            "restore": {"type": "path"},
        },
        required_one_of=[("release", "restore")],
        supports_check_mode=True,
    )
    params = module.params
    databases = [Database(url, params["user"]) for url in params["urls"]]
    if module.check_mode:
        module.exit_json(changed=True, dump=params["restore"] or params["directory"], revisions=[])
    try:
        with dumps.alone(params["directory"]):
            if params["restore"]:
                dumps.restore(params["restore"], databases)
            revisions = sorted({revision for database in databases for revision in database.revisions()})
            dump = params["restore"] or dumps.make(
                params["directory"],
                databases,
                {
                    "release": params["release"],
                    "galaxy": params["galaxy"],
                    "revisions": revisions,
                    "databases": [database.name for database in databases],
                    "time": time.time(),
                },
            )
    except (DatabaseError, OSError) as error:
        what = "put back" if params["restore"] else "dumped"
        module.fail_json(msg=f"The database cannot be {what}, and nothing has been changed: {error}")
    module.exit_json(changed=True, dump=dump, revisions=revisions)


if __name__ == "__main__":
    main()
