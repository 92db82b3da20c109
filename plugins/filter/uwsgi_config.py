# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter uwsgi_config."""

from __future__ import annotations

DOCUMENTATION = r"""
name: uwsgi_config
short_description: Render uWSGI's options for one of its ways to be configured
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Renders one dictionary of options so that uWSGI has the same effective configuration, whichever way is chosen.
  - Values are data. What uWSGI would fill in (C(%p), C($(VARIABLE)), C(@(file)), C(%(option\))) is text unless the
    option is named in O(placeholders).
positional: method
options:
  _input:
    description:
      - Options by name. A text, a number, a boolean, or a list of these for an option that is given repeatedly.
    type: dict
    required: true
  method:
    description: The way in which uWSGI is configured.
    type: str
    choices: [paste_deploy, ini, yaml, xml, json, command_line, environment]
    required: true
  config_dir:
    description: Directory of the file that V(ini), V(yaml), V(xml) and V(json) have.
    type: path
    required: true
  galaxy_ini:
    description:
      - Path of galaxy.ini, which says what is served, and with V(paste_deploy) holds the options.
      - Empty for a uWSGI that serves no application.
    type: path
    required: true
  placeholders:
    description: Names of options in whose values uWSGI may fill in its placeholders.
    type: list
    elements: str
    default: []
seealso:
  - plugin: dagobah.galaxy.to_paste_deploy
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show uWSGI's command line
  ansible.builtin.debug:
    msg: >-
      {{ ({'master': true, 'socket': '127.0.0.1:4001'}
          | dagobah.galaxy.uwsgi_config('command_line', config_dir='/c', galaxy_ini='/c/galaxy.ini')).arguments }}
  # ['--paste=config:/c/galaxy.ini', '--master', '--socket=127.0.0.1:4001']
"""

RETURN = r"""
_value:
  description: What uWSGI is started with.
  type: dict
  contains:
    arguments:
      description: What follows the name of the program.
      type: list
      elements: str
    environment:
      description: Variables of the environment, in their order.
      type: dict
    listing:
      description: Arguments with which uWSGI, with the same plugins, tells the names of all of its options.
      type: list
      elements: str
    names:
      description: The names that uWSGI has to know.
      type: list
      elements: str
    file:
      description: Path of the method's file, empty if it has none of its own.
      type: str
    text:
      description: Text of this file.
      type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import (
    known_names,
    listing_arguments,
    render,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_table import read_table
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain


def uwsgi_config(
    options: t.Any, method: str, config_dir: str, galaxy_ini: str, placeholders: t.Any = ()
) -> dict[str, t.Any]:
    """Return what uWSGI is started with."""
    try:
        rendering = render(
            str(method), options, str(config_dir), str(galaxy_ini), read_table().flags, plain(placeholders)
        )
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error
    return {
        "arguments": rendering.arguments,
        "environment": rendering.environment,
        "file": rendering.file or "",
        "listing": listing_arguments(options),
        "names": known_names(options),
        "text": rendering.text or "",
    }


class FilterModule:
    """Filters of this file, by name."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"uwsgi_config": uwsgi_config}
