#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release_trial."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_trial
short_description: Try a release of Galaxy on a copy of the database, before it serves
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Fills a copy of the database from a dump, migrates it with the code of the release, starts a web process and a job
    handler on it, sends a request and a job, stops them, and runs the migration backwards.
  - Everything is in a directory of the trial's own, and is gone afterwards, as is what a killed trial has left.
    Galaxy's options that lead to what serves (datasets, object stores, mail, queues) are taken out.
  - If anything of it fails, the module fails, with the lines of the logs that tell why.
requirements:
  - The right to create a database. On the machine's own server, the superuser C(postgres) does it.
attributes:
  check_mode:
    support: full
    description: In check mode nothing is tried.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  user:
    description: The system user that runs Galaxy.
    type: str
    required: true
  directory:
    description: The trial's own directory, which it makes and removes. Only root may write to the one above.
    type: path
    required: true
  dump:
    description: The dump that the copy is made from.
    type: path
    required: true
  serving:
    description: The release that serves, a directory.
    type: path
    required: true
  release:
    description: The release to try, a directory.
    type: path
    required: true
  galaxy:
    description: Its number.
    type: str
    required: true
  link:
    description: The link to the release that serves.
    type: path
    required: true
  sections:
    description: The sections of C(galaxy.ini) that the release is to be run with.
    type: dict
    required: true
  files:
    description: Text of further files of the configuration, by path.
    type: dict
    default: {}
  bridge:
    description: Text of the bridge's files, by name. Empty for a classic release.
    type: dict
    default: {}
  uwsgi:
    description: The command that is uWSGI, and its first arguments.
    type: list
    elements: str
    required: true
  managed_config:
    description: The directory of the configuration that Galaxy writes. The trial has a copy.
    type: path
    required: true
  working_directory:
    description: Where the processes run.
    type: path
    required: true
  database_script:
    description: Text of C(galaxy_database.py).
    type: str
    required: true
  canary:
    description: Text of C(galaxy_canary.py).
    type: str
    required: true
  revisions:
    description: The revisions of the database before.
    type: list
    elements: str
    default: []
  host:
    description: Server name to ask for.
    type: str
    default: localhost
  prefix:
    description: Path below which Galaxy is served.
    type: str
    default: /
  timeout:
    description: Seconds for Galaxy to load, and again for the job.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Try the release
  dagobah.galaxy.release_trial:
    user: galaxy
    directory: /srv/galaxy/releases/.trial-galaxy
    dump: "{{ dump.dump }}"
    revisions: "{{ dump.revisions }}"
    serving: /srv/galaxy/releases/25.1.3-0a1b2c3d
    release: /srv/galaxy/releases/26.1.2-0a1b2c3d
    galaxy: 26.1.2
    link: /srv/galaxy/venv
    sections: "{{ sections }}"
    uwsgi: [/srv/galaxy/releases/26.1.2-0a1b2c3d/bin/uwsgi]
    managed_config: /srv/galaxy/data/config
    working_directory: /srv/galaxy/server
    database_script: "{{ lookup('ansible.builtin.file', 'galaxy_database.py') }}"
    canary: "{{ lookup('ansible.builtin.file', 'galaxy_canary.py') }}"
"""

RETURN = r"""
reversible:
  description: Whether the migration can be run backwards.
  returned: success
  type: bool
reason:
  description: Why it cannot.
  returned: success
  type: str
times:
  description: How many seconds each step has taken.
  returned: success
  type: dict
"""

import os
import signal

from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps, proof_logs, trial
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import to_paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.unlogged_module import UnloggedModule
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """Run the module."""
    text = {"type": "str", "required": True}
    path = {"type": "path", "required": True}
    module = UnloggedModule(
        argument_spec={
            "user": text,
            "directory": path,
            "dump": path,
            "serving": path,
            "release": path,
            "galaxy": text,
            "link": path,
            "sections": {"type": "dict", "required": True},
            "files": {"type": "dict", "default": {}},
            "bridge": {"type": "dict", "default": {}},
            "uwsgi": {"type": "list", "elements": "str", "required": True},
            "managed_config": path,
            "working_directory": path,
            "database_script": text,
            "canary": text,
            "revisions": {"type": "list", "elements": "str", "default": []},
            "host": {"type": "str", "default": "localhost"},
            "prefix": {"type": "str", "default": "/"},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    # There may be passwords in the configuration, which a verbose run shows as little as the system's log.
    params = dict(module.params)
    module.params.update(sections=None, files=None)
    if module.check_mode:
        module.exit_json(changed=False, reversible=None, reason="", times={})
    signal.signal(signal.SIGTERM, _stop)  # so that it cleans up
    candidate = trial.Candidate(
        **{
            name: params[name]
            for name in ("release", "galaxy", "link", "sections", "files", "bridge", "uwsgi", "managed_config")
        },
        working_directory=params["working_directory"],
        host=params["host"],
        prefix=params["prefix"],
    )
    options = params["sections"]["app:main"]
    urls = [options["database_connection"], options.get("install_database_connection")]
    databases = [Database(url, params["user"]) for url in urls if url]
    secrets = proof_logs.secrets_of_config(to_paste_deploy(params["sections"]))
    try:
        if not all(database.may_create() for database in databases):
            role = databases[0].owner()
            raise DatabaseError(
                f"the role {role} may not create the copy of the database on which it is done. Either let it"
                f" (ALTER ROLE {role} CREATEDB), or do without the trial (galaxy_upgrade_trial: false)"
            )
        with dumps.alone(os.path.dirname(params["dump"])):
            found = trial.hold(
                trial.Trial(candidate, params["directory"], params["user"], databases),
                dump=params["dump"],
                script=params["database_script"],
                canary=params["canary"],
                serving_python=f"{params['serving']}/bin/python",
                revisions=params["revisions"],
                timeout=params["timeout"],
                secrets=secrets,
            )
    except (trial.TrialError, InputError, OSError) as error:
        module.fail_json(msg=proof_logs.mask(f"Galaxy {params['galaxy']} has failed its trial: {error}", secrets))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
