# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter galaxy_release."""

from __future__ import annotations

DOCUMENTATION = r"""
name: galaxy_release
short_description: The number of a Galaxy release
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Returns the number of a release, as PyPI has it, from the name of a branch (V(release_26.1)) or a tag (V(v26.1.2))
    of Galaxy's repository. Of a branch it is the newest release that the collection ships a lock file for.
  - Anything else is returned as it is.
options:
  _input:
    description: A branch, a tag, or a number.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the number
  ansible.builtin.debug:
    msg: "{{ 'v26.1.2' | dagobah.galaxy.galaxy_release }}"
  # 26.1.2
"""

RETURN = r"""
_value:
  description: The number of the release.
  type: str
"""

from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import release_number


class FilterModule:
    """Filters of this file, by name."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"galaxy_release": release_number}
