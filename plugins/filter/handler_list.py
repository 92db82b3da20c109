# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter handler_list."""

from __future__ import annotations

DOCUMENTATION = r"""
name: handler_list
short_description: Name the job handlers of an instance
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Makes a list of dictionaries from the number of handlers, or from a list of names or of dictionaries.
  - Each has O(ignore:name), and O(ignore:tags) (and perhaps O(ignore:plugins)), or O(ignore:pools), or O(ignore:jobs)
    (V(false)) if it takes no jobs.
options:
  _input:
    description:
      - How many handlers there are. They are named V(handler0), V(handler1) and so on, with the tag V(handlers).
      - Or a list of their names, or of dictionaries with O(ignore:name), and perhaps O(ignore:tags), O(ignore:plugins),
        O(ignore:pools), O(ignore:jobs), and O(ignore:count), which makes that many of them.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show the handlers
  ansible.builtin.debug:
    msg: "{{ 2 | dagobah.galaxy.handler_list }}"
  # => [{"name": "handler0", "tags": ["handlers"]}, {"name": "handler1", "tags": ["handlers"]}]
"""

RETURN = r"""
_value:
  description: The handlers, each a dictionary.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import handlers
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def handler_list(galaxy_handlers: t.Any) -> list[dict[str, t.Any]]:
    """Return the handlers as dictionaries."""
    try:
        return handlers.handler_list(galaxy_handlers)
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.handler_list: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"handler_list": handler_list}
