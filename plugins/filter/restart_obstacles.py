# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter restart_obstacles."""

from __future__ import annotations

DOCUMENTATION = r"""
name: restart_obstacles
short_description: Tell why uWSGI cannot be replaced by a second one
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - With C(uwsgi_restart_method) V(handover), a restart has a second uWSGI run beside the first for a while. This tells
    what in its options, or in Galaxy, does not allow that.
positional: _input, classic, web_jobs
options:
  _input:
    description: uWSGI's options by their names.
    type: dict
    required: true
  classic:
    description: Whether it is a classic Galaxy.
    type: bool
    default: false
  web_jobs:
    description: Whether web processes run jobs.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what is in the way
  ansible.builtin.debug:
    msg: "{{ {'socket': ':4001', 'stats': '/run/uwsgi.stats'} | dagobah.galaxy.restart_obstacles }}"
  # => ["uWSGI's option master-fifo has to be a path"]
"""

RETURN = r"""
_value:
  description: One sentence for each obstacle.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_restart import obstacles
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import plain


def restart_obstacles(options: t.Any, classic: t.Any = False, web_jobs: t.Any = False) -> list[str]:
    """Return what is in the way of a second uWSGI."""
    return obstacles(plain(options), bool(classic), bool(web_jobs))


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"restart_obstacles": restart_obstacles}
