# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter read_job_config."""

from __future__ import annotations

DOCUMENTATION = r"""
name: read_job_config
short_description: Read a job configuration of Galaxy
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes a dictionary of the shape of C(job_conf.yml) from the text of a job configuration, in YAML or in XML.
  - Of XML, it tells who does what (runners, handlers, destinations, tools); parameters are left out.
positional: _input, name
options:
  _input:
    description: The text.
    type: str
    required: true
  name:
    description: Name of the file. As Galaxy does, it is taken for XML if it has C(.xml) in its name.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the handlers of a job configuration
  ansible.builtin.debug:
    msg: "{{ (text | dagobah.galaxy.read_job_config('job_conf.xml')).handling.processes }}"
  vars:
    text: "{{ lookup('ansible.builtin.file', 'job_conf.xml') }}"
"""

RETURN = r"""
_value:
  description: The job configuration.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def read_job_config(text: str, name: str) -> dict[str, t.Any]:
    """Return the job configuration as a dictionary."""
    try:
        return job_config.parse(str(text), str(name), "galaxy_job_config_template")
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.read_job_config: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"read_job_config": read_job_config}
