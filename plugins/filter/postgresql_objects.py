# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter postgresql_objects."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_objects
short_description: Order what is to be done in PostgreSQL
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes lists of steps from the roles, groups, databases and privileges of the role postgresql, in the order in which
    they have to be done, with Galaxy's own role and database among them.
positional: _input
options:
  _input:
    description: A dictionary with the lists C(users), C(groups), C(databases) and C(privileges).
    type: dict
    required: true
  role:
    description: Galaxy's own role.
    type: str
    required: true
  database:
    description: Galaxy's own database.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what there will be
  ansible.builtin.debug:
    msg: >-
      {{ {'users': [{'name': 'reports'}], 'groups': [], 'databases': [], 'privileges': []}
         | dagobah.galaxy.postgresql_objects(role='galaxy', database='galaxy') }}
  # => {"roles": [{"name": "galaxy"}, {"name": "reports"}], "databases": [{"name": "galaxy", "owner": "galaxy"}], ...}
"""

RETURN = r"""
_value:
  description: The lists C(revoked), C(dropped), C(roles), C(memberships), C(databases) and C(granted).
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils.postgresql_objects import ordered
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain


def postgresql_objects(given: t.Any, role: str, database: str) -> dict[str, list[dict[str, t.Any]]]:
    """Return the steps by name."""
    lists = plain(given)
    try:
        return ordered(
            lists["users"], lists["groups"], lists["databases"], lists["privileges"], str(role), str(database)
        )
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.postgresql_objects: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"postgresql_objects": postgresql_objects}
