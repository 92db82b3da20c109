# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter combine_sections."""

from __future__ import annotations

DOCUMENTATION = r"""
name: combine_sections
short_description: Merge sections of galaxy.ini, key by key
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Merges dictionaries of sections, each of them a dictionary of options. Later ones win, key by key.
  - A section named V(galaxy) is the section V(app:main), as in the collection galaxyproject.galaxy.
  - An option that is null in a later dictionary is left out of the result. A section that is null is an empty one.
positional: _input, layers
options:
  _input:
    description: The sections to begin with.
    type: dict
    required: true
  layers:
    description: Any number of dictionaries to merge over it.
    type: dict
    required: true
seealso:
  - plugin: dagobah.galaxy.to_paste_deploy
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show what Galaxy is given
  ansible.builtin.debug:
    msg: "{{ defaults | dagobah.galaxy.combine_sections(galaxy_config) }}"
  vars:
    defaults:
      app:main:
        brand: Galaxy
        id_secret: abc
    galaxy_config:
      galaxy:
        brand: My Galaxy
        id_secret: null
    # => app:main: {brand: My Galaxy}
"""

RETURN = r"""
_value:
  description: The merged sections.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def combine_sections(defaults: t.Any, *layers: t.Any) -> dict[str, dict[str, t.Any]]:
    """Merge sections of galaxy.ini, key by key."""
    try:
        return paste_deploy.combine_sections(defaults, *layers)
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.combine_sections: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"combine_sections": combine_sections}
