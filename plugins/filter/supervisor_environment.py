# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter supervisor_environment."""

from __future__ import annotations

DOCUMENTATION = r"""
name: supervisor_environment
short_description: Write environment variables as supervisor reads them
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Renders a dictionary as the value of C(environment) in a program of supervisor.
  - Supervisor knows no escape for a double quote, a line break, or a space and a C(;) or C(#) within a value, so these
    are refused.
positional: _input
options:
  _input:
    description: Values by name. Null leaves a variable out.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the line
  ansible.builtin.debug:
    msg: "environment = {{ {'TMPDIR': '/scratch', 'RATE': '50%'} | dagobah.galaxy.supervisor_environment }}"
  # environment = TMPDIR="/scratch",RATE="50%%"
"""

RETURN = r"""
_value:
  description: C(NAME="value") pairs, separated by commas, in the order given.
  type: str
"""

import re
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import fault_of

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def supervisor_environment(variables: Mapping[str, object]) -> str:
    """Return the value of ``environment`` for a program section of supervisor."""
    pairs = []
    for name, value in variables.items():
        if not NAME.fullmatch(name):
            raise AnsibleFilterError(f"{name!r} is not a name of an environment variable")
        if value is None:
            continue
        text = str(value)
        fault = fault_of(text)
        if fault:
            raise AnsibleFilterError(f"environment variable {name}: {fault}")
        pairs.append('{}="{}"'.format(name, text.replace("%", "%%")))
    return ",".join(pairs)


class FilterModule:
    """Filters of this file, by name."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"supervisor_environment": supervisor_environment}
