# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter job_config."""

from __future__ import annotations

DOCUMENTATION = r"""
name: job_config
short_description: Make the job configuration of Galaxy from its handlers
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes the content of C(job_conf.yml) from the handlers of an instance. They take jobs from the database
    (V(db-skip-locked)) and run them with the local runner.
  - Without handlers there is no section C(handling), and the one web process runs the jobs.
positional: _input, config
options:
  _input:
    description: The handlers, as for P(dagobah.galaxy.handler_list#filter).
    type: raw
    required: true
  config:
    description:
      - Job configuration to merge over it, deep. A value of null removes a key; lists are replaced.
      - What it says in C(handling.processes) has to be what the handlers say.
    type: dict
  inline:
    description: Job configuration to merge over that, the option C(job_config) of Galaxy's.
    type: dict
  workers:
    description: Jobs that the local runner of one handler works on at the same time.
    type: int
    default: 4
"""

EXAMPLES = r"""
- name: Write the job configuration
  ansible.builtin.copy:
    content: "{{ 2 | dagobah.galaxy.job_config({'handling': {'max_grab': 8}}) | to_nice_yaml }}"
    dest: /srv/galaxy/config/job_conf.yml
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The job configuration.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import job_config as module
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def job_config(
    galaxy_handlers: t.Any, config: t.Any = None, workers: t.Any = 4, inline: t.Any = None
) -> dict[str, t.Any]:
    """Return the job configuration."""
    try:
        return module.job_config(galaxy_handlers, config=config, workers=workers, inline=inline)
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.job_config: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"job_config": job_config}
