# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter classic_pythons."""

from __future__ import annotations

DOCUMENTATION = r"""
name: classic_pythons
short_description: Pythons that a classic Galaxy release runs on
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Returns the lowest and the highest Python that a classic Galaxy release (up to 22.01) runs on, and nothing for
    a modern one, which says that itself.
options:
  _input:
    description: The release, as PyPI numbers it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the Pythons
  ansible.builtin.debug:
    msg: "{{ '20.5.0' | dagobah.galaxy.classic_pythons }}"
  # => ["3.9", "3.11"]
"""

RETURN = r"""
_value:
  description: Lowest and highest Python; an empty list for a modern release.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import pythons


def classic_pythons(release: t.Any) -> list[str]:
    """Return the lowest and the highest Python for a release, if it is classic."""
    return list(pythons(str(release)) or ())


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"classic_pythons": classic_pythons}
