#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module source_tree."""

from __future__ import annotations

DOCUMENTATION = r"""
module: source_tree
short_description: Ensure that a directory holds just these files of source
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Writes text files into one directory, and removes every other file there. A module that an earlier version had is
    not left behind to be imported.
  - Compiled byte code (C(__pycache__)) is left alone.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be done without doing it.
    support: full
  diff_mode:
    description: Returns details on what was changed in diff mode.
    support: full
options:
  path:
    description: The directory. The one that it is in has to exist.
    type: path
    required: true
  files:
    description: The text of each file by its name.
    type: dict
    required: true
  owner:
    description: Name of the user that owns the directory and the files.
    type: str
    required: true
  group:
    description: Name of their group.
    type: str
    required: true
seealso:
  - module: ansible.builtin.copy
"""

EXAMPLES = r"""
- name: Ensure the bridge
  dagobah.galaxy.source_tree:
    path: /srv/galaxy/server/lib/galaxy_wsgi
    files: "{{ dict(names | map('basename') | zip(query('ansible.builtin.file', *names, rstrip=false))) }}"
    owner: root
    group: root
  vars:
    names: "{{ query('ansible.builtin.fileglob', 'galaxy_wsgi/*.py') }}"
"""

RETURN = r"""
changed_files:
  description: Names of the files that were written, removed, or given another owner or mode.
  returned: always
  type: list
  elements: str
  sample: [bridge.py]
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes


class Tree:
    """The directory, as it is and as it is to be."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path: str = module.params["path"]
        self.files: dict[str, str] = module.params["files"]
        self.changed: list[str] = []
        self.diff: list[dict[str, str]] = []

    def ensure(self) -> None:
        """Make the directory what it is to be."""
        made = not os.path.isdir(self.path)
        if made and not self.module.check_mode:
            os.mkdir(self.path, 0o700)
        if self._own(self.path, "0755", made):
            self.changed.append(".")
        for name in sorted(self.files):
            self._write(name)
        for name in sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []:
            if name not in self.files and name != "__pycache__":
                self._remove(name)

    def _write(self, name: str) -> None:
        path = os.path.join(self.path, name)
        wanted = to_bytes(self.files[name])
        before = self._read(path)
        if before != wanted:
            self.diff.append({"header": path, "before": (before or b"").decode(), "after": wanted.decode()})
            if not self.module.check_mode:
                descriptor, temporary = tempfile.mkstemp(dir=self.module.tmpdir)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(wanted)
                self.module.atomic_move(temporary, path)
        if self._own(path, "0644", before != wanted):
            self.changed.append(name)

    def _remove(self, name: str) -> None:
        path = os.path.join(self.path, name)
        if os.path.isdir(path) and not os.path.islink(path):
            self.module.fail_json(msg=f"{path} is a directory; only files are expected in {self.path}.")
        self.changed.append(name)
        self.diff.append({"header": path, "before": (self._read(path) or b"").decode(errors="replace"), "after": ""})
        if not self.module.check_mode:
            os.unlink(path)

    @staticmethod
    def _read(path: str) -> bytes | None:
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def _own(self, path: str, mode: str, changed: bool) -> bool:
        attributes = self.module.load_file_common_arguments({**self.module.params, "path": path, "mode": mode})
        return bool(self.module.set_fs_attributes_if_different(attributes, changed))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "owner": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    odd = [name for name in module.params["files"] if os.path.basename(name) != name or name in ("", ".", "..")]
    if odd:
        module.fail_json(msg=f"files: {odd[0]!r} is not the name of a file in one directory.")
    tree = Tree(module)
    try:
        tree.ensure()
    except OSError as error:
        module.fail_json(msg=f"{error.filename or tree.path}: {error.strerror}.")
    module.exit_json(changed=bool(tree.changed), changed_files=tree.changed, diff=tree.diff)


if __name__ == "__main__":
    main()
