# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter to_paste_deploy."""

from __future__ import annotations

DOCUMENTATION = r"""
name: to_paste_deploy
short_description: Render sections as galaxy.ini
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Renders a dictionary of sections as the text of a Paste Deploy file that Galaxy, PasteDeploy and uWSGI
    (C(--ini-paste)) read with the same values.
  - V([uwsgi]) and V([app:main]) stand first, everything else in the order given.
  - Booleans are V(true) and V(false). An option whose value is null is left out.
  - A list in V([uwsgi]) gives the option once for each item. A list elsewhere is joined by commas.
  - Values are data. A percent sign is a percent sign, and what uWSGI fills in elsewhere (C(%p), an environment variable
    after a dollar sign, a file after an at sign) reaches uWSGI as such.
  - The one exception - a percent sign with the name of another option of V([uwsgi]) in parentheses is refused in
    V([uwsgi]), as uWSGI has no way to write it.
  - What the readers would lose, change or take for something else is an error that names section and option -
    control characters, white space at either end, a line of a value that begins with V([), V(#) or V(;).
positional: _input
options:
  _input:
    description: Options by section.
    type: dict
    required: true
  placeholders:
    description:
      - Names of options of V([uwsgi]) in whose values uWSGI may fill in its placeholders. V(true) is all of them.
    type: raw
    default: []
seealso:
  - plugin: dagobah.galaxy.combine_sections
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write galaxy.ini
  ansible.builtin.copy:
    content: "{{ sections | dagobah.galaxy.to_paste_deploy }}"
    dest: /srv/galaxy/config/galaxy.ini
    mode: "0640"
  vars:
    sections:
      uwsgi:
        master: true
        processes: 2
        static-map: [/static=/srv/galaxy/server/static, /favicon.ico=/srv/galaxy/server/static/favicon.ico]
      app:main:
        admin_users: [a@example.org, b@example.org]
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils import paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain


def to_paste_deploy(sections: t.Any, placeholders: t.Any = ()) -> str:
    """Return the text of galaxy.ini."""
    try:
        return paste_deploy.to_paste_deploy(sections, placeholders=plain(placeholders))
    except InputError as error:
        raise AnsibleFilterError(f"dagobah.galaxy.to_paste_deploy: {error}") from error


class FilterModule:
    """Tell Ansible what filters there are here."""

    def filters(self) -> dict[str, t.Any]:
        """Return the filters by name."""
        return {"to_paste_deploy": to_paste_deploy}
