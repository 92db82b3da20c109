# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter database_url."""

from __future__ import annotations

DOCUMENTATION = r"""
name: database_url
short_description: Take a database URL apart
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Gives the parts of the URL of Galaxy's database, and whether that is PostgreSQL on the machine itself.
positional: _input
options:
  _input:
    description: A SQLAlchemy URL, C(postgresql://...) or C(sqlite:///...).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Ask for the name of Galaxy's database
  ansible.builtin.debug:
    msg: "{{ ('postgresql:///galaxy?host=/var/run/postgresql' | dagobah.galaxy.database_url).database }}"
  # galaxy
"""

RETURN = r"""
_value:
  description:
    - The parts. RV(ignore:dialect) is V(postgresql) or V(sqlite). RV(ignore:database) is the name or file.
    - RV(ignore:user), RV(ignore:host) (or the directory of the socket) and RV(ignore:port) are how to connect.
    - RV(ignore:local) is true for PostgreSQL on this machine, reached over its Unix socket.
  type: dict
  sample:
    database: galaxy
    dialect: postgresql
    host: /var/run/postgresql
    local: true
    port: 5432
    user: ""
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils.database_url import DatabaseUrl, parse_database_url


def database_url(url: str) -> DatabaseUrl:
    """Return the parts of a database URL."""
    if not isinstance(url, str):
        raise AnsibleFilterError(f"database_url takes a string, not {type(url).__name__}")
    try:
        return parse_database_url(url)
    except ValueError as error:
        # The URL may hold a password, so it is not repeated.
        raise AnsibleFilterError(f"The database URL cannot be read: {error}") from error


class FilterModule:
    """Filters of this file, by name."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"database_url": database_url}
