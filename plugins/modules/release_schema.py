#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release_schema."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_schema
short_description: Read what a Galaxy release knows about its configuration
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Reads the schemas of a release that is installed on the machine, with the Python of that release.
  - M(dagobah.galaxy.check_input) then checks the input against them, for releases of which the collection has no table.
attributes:
  check_mode:
    support: full
    description: It never changes anything. In check mode, a release that is not there is not an error.
  diff_mode:
    support: none
    description: It never changes anything.
options:
  path:
    description: Directory of the release, a virtual environment.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Read what the release knows
  dagobah.galaxy.release_schema:
    path: /srv/galaxy/releases/25.1.0-0a1b2c3d
  register: release

- name: Check the input against it
  dagobah.galaxy.check_input:
    schema: "{{ release.schema }}"
"""

RETURN = r"""
schema:
  description:
    - Names, types and allowed values of Galaxy's options, and the schema of the job configuration.
    - Empty in check mode if there is no release.
  returned: success
  type: dict
  contains:
    options:
      description: Galaxy's options by name.
      returned: if there is a release
      type: dict
    unlisted:
      description: Names that the release reads although its schema does not list them.
      returned: if there is a release
      type: list
      elements: str
    renamed:
      description: New names by old names.
      returned: if there is a release
      type: dict
    dropped:
      description: Names that the release ignores.
      returned: if there is a release
      type: list
      elements: str
    job_config:
      description: Schema of the job configuration.
      returned: if there is a release
      type: dict
"""

import inspect
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import release_schema


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = module.params["path"]
    python = os.path.join(path, "bin", "python")
    if not os.path.exists(python):
        if module.check_mode:
            module.exit_json(changed=False, schema={})
        module.fail_json(msg=f"{path}: there is no release here ({python} does not exist)")
    # -I: neither the working directory nor the environment decide which galaxy is found.
    code, output, errors = module.run_command([python, "-I", "-"], data=inspect.getsource(release_schema))
    if code != 0:
        module.fail_json(msg=f"{path}: the schemas of this release cannot be read: {errors.strip()[-1000:]}")
    try:
        schema = json.loads(output)
    except ValueError:
        module.fail_json(msg=f"{path}: the schemas of this release cannot be read: {output[:200]!r}")
    module.exit_json(changed=False, schema=schema)


if __name__ == "__main__":
    main()
