# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter galaxy_pythons."""

from __future__ import annotations

DOCUMENTATION = r"""
name: galaxy_pythons
short_description: Pythons that a Galaxy release runs on
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Returns the lowest and the highest Python that a Galaxy release runs on. Of a modern one, the highest is empty as
    long as none is known that is too high.
options:
  _input:
    description: The release, as PyPI numbers it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the Pythons
  ansible.builtin.debug:
    msg: "{{ '20.5.0' | dagobah.galaxy.galaxy_pythons }}"
  # => ["3.9", "3.11"]
"""

RETURN = r"""
_value:
  description: Lowest and highest Python.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import pythons


def galaxy_pythons(release: t.Any) -> list[str]:
    """Return the lowest and the highest Python for a release."""
    return list(pythons(str(release)))


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"galaxy_pythons": galaxy_pythons}
