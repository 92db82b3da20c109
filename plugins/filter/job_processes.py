# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter job_processes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: job_processes
short_description: Tell which processes of Galaxy take jobs
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Gives the names of the processes that take jobs, each with the tags under which jobs wait for it.
  - These are the handlers, but for those that only schedule workflows; and the web processes (V(main.1), V(main.2) and
    so on) where there is no handler, or the job configuration says so.
positional: _input, config, web_processes
options:
  _input:
    description: The handlers, as for P(dagobah.galaxy.handler_list#filter).
    type: raw
    required: true
  config:
    description: The job configuration.
    type: dict
    required: true
  web_processes:
    description: How many web processes there are.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Show who takes jobs
  ansible.builtin.debug:
    msg: "{{ 1 | dagobah.galaxy.job_processes({'handling': {'assign': ['db-skip-locked']}}) }}"
  # => [{"name": "handler0", "tags": ["handlers"]}]
"""

RETURN = r"""
_value:
  description: The processes, each a dictionary with name and tags.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain


def job_processes(galaxy_handlers: t.Any, config: t.Any, web_processes: t.Any = 1) -> list[dict[str, t.Any]]:
    """Return the processes that take jobs."""
    try:
        return job_config.job_processes(galaxy_handlers, plain(config), web_processes)
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.job_processes: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"job_processes": job_processes}
