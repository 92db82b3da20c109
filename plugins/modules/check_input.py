#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module check_input."""

# The documentation of an action plugin stands in a module of its name. Nothing here is run.

from __future__ import annotations

DOCUMENTATION = r"""
module: check_input
short_description: Check the variables of an instance before anything is changed
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Checks the variables of a host against the argument specs of all roles of this collection, and the relations
    between them that a spec cannot tell - ports, directories, the database, uWSGI and job handlers.
  - Checks the names and values of Galaxy's options and the job configuration, if the collection knows the release
    (C(roles/galaxy/files/releases)).
  - Fails once, with everything that is wrong. Each line names the variable, its value and what is allowed. Secrets
    and passwords in URLs are masked.
  - Variables that are spelt almost like one of the collection's, and those of other collections that have another
    name or meaning here, are errors. What has no effect is a warning.
  - It runs on the controller and looks at no machine.
options:
  schema:
    description:
      - What the release knows, as M(dagobah.galaxy.release_schema) returns it.
      - Used instead of the collection's own table.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: It never changes anything.
notes:
  - Variables may refer to facts only if these have been gathered before.
"""

EXAMPLES = r"""
- name: Check the variables
  dagobah.galaxy.check_input:
  register: input

- name: Read what a release knows that the collection has no table of
  dagobah.galaxy.release_schema:
    path: /srv/galaxy/releases/25.1.0-0a1b2c3d
  register: release
  when: not input.release_known

- name: Check the variables against it
  dagobah.galaxy.check_input:
    schema: "{{ release.schema }}"
  when: not input.release_known
"""

RETURN = r"""
msg:
  description: Everything that is wrong, one line each.
  returned: always
  type: str
  sample: |-
    1 thing is wrong with the input for galaxy; nothing has been changed.
    - uwsgi_processes: 0: has to be a number from 1 to 1024
release_known:
  description: Whether the collection knows the options of the release, so that they were checked.
  returned: always
  type: bool
"""
