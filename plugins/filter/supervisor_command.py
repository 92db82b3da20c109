# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter supervisor_command."""

from __future__ import annotations

DOCUMENTATION = r"""
name: supervisor_command
short_description: Write a command for supervisor
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes the value of C(command) in a program section of supervisor from a list of words, so that the program gets just
    these words.
options:
  _input:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the line
  ansible.builtin.debug:
    msg: "command = {{ ['echo', '50% ; of', 'all'] | dagobah.galaxy.supervisor_command }}"
  # command = echo '50%% ''; of' all
"""

RETURN = r"""
_value:
  description: The words, quoted where need be.
  type: str
"""

from collections.abc import Iterable

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import command_line
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def supervisor_command(words: Iterable[object]) -> str:
    """Return the value of ``command`` for a program section of supervisor."""
    try:
        return command_line([str(word) for word in words])
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of this file, by name."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"supervisor_command": supervisor_command}
