# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter workflow_schedulers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: workflow_schedulers
short_description: Make Galaxy's configuration of workflow schedulers
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes the content of C(workflow_schedulers_conf.xml), which says which handlers schedule workflows.
  - It is empty where all that take jobs schedule workflows, for which Galaxy needs no file.
positional: _input, schedulers, config
options:
  _input:
    description: The handlers, as for P(dagobah.galaxy.handler_list#filter).
    type: raw
    required: true
  schedulers:
    description: Names of handlers, or of their tags.
    type: list
    elements: str
    default: []
  config:
    description: The job configuration. Workflows are assigned in the same way as jobs.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the configuration
  ansible.builtin.debug:
    msg: "{{ handlers | dagobah.galaxy.workflow_schedulers(['scheduler0']) }}"
  vars:
    handlers: [handler0, {name: scheduler0, jobs: false}]
"""

RETURN = r"""
_value:
  description: The configuration in XML, or nothing.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import workflow_schedulers as module
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain


def workflow_schedulers(galaxy_handlers: t.Any, schedulers: t.Any = None, config: t.Any = None) -> str:
    """Return the configuration."""
    try:
        return module.workflow_schedulers(galaxy_handlers, schedulers, plain(config))
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.workflow_schedulers: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"workflow_schedulers": workflow_schedulers}
