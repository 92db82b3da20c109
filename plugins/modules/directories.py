#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module directories."""

from __future__ import annotations

DOCUMENTATION = r"""
module: directories
short_description: Ensure a layout of directories, all in one go
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Makes directories, and sets the owner, the group and the mode of each.
  - The same as M(ansible.builtin.file) in a loop, in the time of one item. An instance has a dozen of them.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be done without doing it.
    support: full
  diff_mode:
    description: Returns details on what was changed in diff mode.
    support: none
options:
  layout:
    description: The directories, parents before what is below them.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The directory.
        type: path
        required: true
      owner:
        description: Name of the user that owns it.
        type: str
        required: true
      group:
        description: Name of its group.
        type: str
        required: true
      mode:
        description: Its permissions, in octal.
        type: str
        required: true
seealso:
  - module: ansible.builtin.file
"""

EXAMPLES = r"""
- name: Ensure the layout
  dagobah.galaxy.directories:
    layout:
      - {path: /srv/galaxy, owner: root, group: root, mode: "0755"}
      - {path: /srv/galaxy/data, owner: galaxy, group: galaxy, mode: "0750"}
"""

RETURN = r"""
changed_paths:
  description: The directories that were made or changed.
  returned: always
  type: list
  elements: str
  sample: [/srv/galaxy/data]
"""

import os

from ansible.module_utils.basic import AnsibleModule


def ensure(module: AnsibleModule, directory: dict[str, str]) -> bool:
    """Make one directory as described, and return whether that changed anything."""
    path = directory["path"]
    if os.path.lexists(path) and not os.path.isdir(path):
        module.fail_json(msg=f"{path} is to be a directory, but it is there and is not one.")
    made = not os.path.isdir(path)
    if made and not module.check_mode:
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            module.fail_json(msg=f"The directory {path} cannot be made: {error.strerror}.")
    # Sets owner and group before the mode, as a change of owner may take bits away.
    attributes = module.load_file_common_arguments({**module.params, **directory})
    return bool(module.set_fs_attributes_if_different(attributes, made))


def main() -> None:
    """Run the module."""
    text = {"type": "str", "required": True}
    options = {"path": {"type": "path", "required": True}, "owner": text, "group": text, "mode": text}
    module = AnsibleModule(
        argument_spec={"layout": {"type": "list", "elements": "dict", "required": True, "options": options}},
        supports_check_mode=True,
    )
    changed = [directory["path"] for directory in module.params["layout"] if ensure(module, directory)]
    module.exit_json(changed=bool(changed), changed_paths=changed)


if __name__ == "__main__":
    main()
