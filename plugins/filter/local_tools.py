# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter local_tools."""

from __future__ import annotations

DOCUMENTATION = r"""
name: local_tools
short_description: List an administrator's own tools with their sections
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Takes tools as C(galaxy_local_tools) has them, names or dictionaries, and returns dictionaries with all keys.
options:
  _input:
    description: Names of files and directories, or dictionaries with C(file), C(section_name) and C(section_id).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show the tools
  ansible.builtin.debug:
    msg: "{{ ['wc.xml', {'file': 'plot.xml', 'section_name': 'Graphs'}] | dagobah.galaxy.local_tools }}"
"""

RETURN = r"""
_value:
  description: The tools. Without a section, a tool is in the section Local Tools.
  type: list
  elements: dict
  sample: [{file: wc.xml, section_name: Local Tools, section_id: local_tools}]
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import local_tools as module
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def local_tools(tools: t.Any) -> list[module.Tool]:
    """Return the tools with all keys."""
    try:
        return module.local_tools(tools)
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.local_tools: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"local_tools": local_tools}
