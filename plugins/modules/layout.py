#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module layout."""

from __future__ import annotations

DOCUMENTATION = r"""
module: layout
short_description: Ensure directories, files and links, all in one go
version_added: 0.1.0
author: The dagobah.galaxy developers (@dagobah)
description:
  - Makes directories, writes text files and sets links, each with its owner, group and mode.
  - The same as M(ansible.builtin.file), M(ansible.builtin.copy) and M(ansible.builtin.template), in the time of one
    task. An instance has three dozen such entries, and a run that finds nothing to do should be over soon.
  - Files and links are replaced at once, never written in place. Missing parents of a directory are made, too.
  - Contents are neither logged nor returned, whatever the verbosity.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would be done without doing it.
    support: full
  diff_mode:
    description: Returns details on what was changed in diff mode, but for the contents of secret files.
    support: full
options:
  entries:
    description:
      - What has to be there, parents before what is below them.
      - An entry with O(entries[].content) is a file, one with O(entries[].target) a link, any other a directory.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      content:
        description: The text of a file.
        type: str
      target:
        description: Where a link leads to.
        type: str
      owner:
        description: Name of the user that owns it.
        type: str
        default: root
      group:
        description: Name of its group.
        type: str
        default: root
      mode:
        description: Its permissions, in octal. V(0755) for a directory and V(0644) for a file if it is not given.
        type: str
      secret:
        description: The file holds secrets. A difference is reported, but not shown.
        type: bool
        default: false
      keep:
        description: Leave the content of a file that is there as it is.
        type: bool
        default: false
      validate:
        description:
          - Command that checks a new content before it replaces the old one. C(%s) stands for a file that has it.
        type: str
      files:
        description:
          - The text of each file of a directory, by name. They have its owner and group.
          - Every other file in it is removed, so that a module of an earlier version is not left behind to be imported.
            Byte code (C(__pycache__)) is left alone.
        type: dict
      absent:
        description: There is to be no such file or link.
        type: bool
        default: false
seealso:
  - module: ansible.builtin.copy
  - module: ansible.builtin.file
  - module: ansible.builtin.template
"""

EXAMPLES = r"""
- name: Ensure the configuration
  dagobah.galaxy.layout:
    entries:
      - path: /srv/galaxy/config
        group: galaxy-config
        mode: "0750"
      - path: /srv/galaxy/config/galaxy.ini
        content: "{{ lookup('ansible.builtin.template', 'galaxy.ini.j2') }}"
        group: galaxy-config
        mode: "0640"
        secret: true
      - path: /srv/galaxy/venv
        target: /srv/galaxy/releases/26.1.2-0a1b2c3d
"""

RETURN = r"""
changed_paths:
  description: What was made, written, removed, or given another owner or mode.
  returned: always
  type: list
  elements: str
  sample: [/srv/galaxy/config/galaxy.ini]
"""

import grp
import os
import pwd
import shlex
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils.unlogged_module import UnloggedModule

Entry = dict[str, Any]


class Layout:
    """What is to be there, and what had to be done for it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.entries: list[Entry] = module.params["entries"]
        # Ansible returns the parameters (-vvv), and there may be secrets in them.
        module.params["entries"] = [{**entry, "content": None, "files": None} for entry in self.entries]
        self.changed: list[str] = []
        self.diff: list[dict[str, str]] = []

    def ensure(self) -> None:
        """Make everything as described."""
        for entry in self.entries:
            if entry["absent"]:
                changed = self._ensure_nothing(entry)
            elif entry["content"] is not None:
                changed = self._ensure_file(entry)
            elif entry["target"] is not None:
                changed = self._ensure_link(entry)
            else:
                changed = self._ensure_directory(entry)
            if changed:
                self.changed.append(entry["path"])

    def _ensure_directory(self, entry: Entry) -> bool:
        path = entry["path"]
        if os.path.lexists(path) and not os.path.isdir(path):
            self.module.fail_json(msg=f"{path} is to be a directory, but it is there and is not one.")
        made = not os.path.isdir(path)
        if made and not self.module.check_mode:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            os.mkdir(path, 0o700)
        changed = self._set_attributes(entry, "0755", made)
        for name, content in sorted((entry["files"] or {}).items()):
            if os.path.basename(name) != name or name in ("", ".", ".."):
                self.module.fail_json(msg=f"{name!r} is not the name of a file in {path}.")
            file = {**entry, "path": os.path.join(path, name), "content": content, "mode": None}
            if self._ensure_file(file):
                self.changed.append(file["path"])
        if entry["files"] and not made:
            self._remove_others(path, entry["files"])
        return changed

    def _remove_others(self, directory: str, files: dict[str, str]) -> None:
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name in files or name == "__pycache__":
                continue
            if stat.S_ISDIR(os.lstat(path).st_mode):
                self.module.fail_json(msg=f"{path} is in the way: {directory} is to hold only files that are known.")
            self.changed.append(path)
            self.diff.append({"before_header": path, "before": f"{path}\n", "after": ""})
            if not self.module.check_mode:
                os.unlink(path)

    def _ensure_file(self, entry: Entry) -> bool:
        path, wanted = entry["path"], entry["content"].encode()
        if os.path.isdir(path):
            self.module.fail_json(msg=f"{path} is to be a file, but it is a directory.")
        before = _read(path)
        if entry["keep"] and before is not None:
            wanted = before
        if before != wanted:
            self._describe(entry, before or b"")
            if not self.module.check_mode:
                self._replace(entry, wanted)
        return self._set_attributes(entry, "0644", before != wanted)

    def _replace(self, entry: Entry, wanted: bytes) -> None:
        path = entry["path"]
        descriptor, temporary = tempfile.mkstemp(prefix=".", dir=os.path.dirname(path))
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(wanted)
                stream.flush()
                os.fsync(stream.fileno())
            if entry["validate"]:
                self._validate(entry, temporary)
            # Until here it is readable by root alone, and it takes its place as what it is to be.
            os.chown(temporary, pwd.getpwnam(entry["owner"]).pw_uid, grp.getgrnam(entry["group"]).gr_gid)
            os.chmod(temporary, int(entry["mode"] or "0644", 8))
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _validate(self, entry: Entry, temporary: str) -> None:
        command = [part.replace("%s", temporary) for part in shlex.split(entry["validate"])]
        status, output, error = self.module.run_command(command)
        if status:
            reason = (error or output).strip()
            self.module.fail_json(msg=f"{entry['path']} was left as it is: the new content is not valid. {reason}")

    def _describe(self, entry: Entry, before: bytes) -> None:
        shown = {"before": before.decode(errors="replace"), "after": entry["content"]}
        if entry["secret"]:
            shown = {"before": "(it holds secrets)\n", "after": "(it holds secrets, and differs)\n"}
        self.diff.append({"before_header": entry["path"], "after_header": entry["path"], **shown})

    def _ensure_nothing(self, entry: Entry) -> bool:
        path = entry["path"]
        if not os.path.lexists(path):
            return False
        if os.path.isdir(path) and not os.path.islink(path):
            self.module.fail_json(msg=f"{path} is to be no file, but it is a directory.")
        self.diff.append({"before_header": path, "before": f"{path}\n", "after": ""})
        if not self.module.check_mode:
            os.unlink(path)
        return True

    def _ensure_link(self, entry: Entry) -> bool:
        path, target = entry["path"], entry["target"]
        before = os.readlink(path) if os.path.islink(path) else None
        if before is None and os.path.lexists(path):
            self.module.fail_json(msg=f"{path} is to be a link, but it is there and is not one.")
        if before == target:
            return False
        self.diff.append(
            {"before_header": path, "after_header": path, "before": f"{before or ''}\n", "after": f"{target}\n"}
        )
        if not self.module.check_mode:
            # At once: there is no moment without the link.
            temporary = f"{path}.{os.getpid()}.new"
            os.symlink(target, temporary)
            os.rename(temporary, path)
        return True

    def _set_attributes(self, entry: Entry, mode: str, changed: bool) -> bool:
        arguments = {**self.module.params, **entry, "mode": entry["mode"] or mode}
        attributes = self.module.load_file_common_arguments(arguments)
        return bool(self.module.set_fs_attributes_if_different(attributes, changed))


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def main() -> None:
    """Run the module."""
    options = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "target": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "secret": {"type": "bool", "default": False},
        "keep": {"type": "bool", "default": False},
        "validate": {"type": "str"},
        "files": {"type": "dict"},
        "absent": {"type": "bool", "default": False},
    }
    entries = {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": options,
        "mutually_exclusive": [("content", "target", "files")],
    }
    module = UnloggedModule(argument_spec={"entries": entries}, supports_check_mode=True)
    layout = Layout(module)
    try:
        layout.ensure()
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.", changed_paths=layout.changed)
    except KeyError as error:
        module.fail_json(msg=f"There is no such user or group: {error}.", changed_paths=layout.changed)
    module.exit_json(changed=bool(layout.changed), changed_paths=layout.changed, diff=layout.diff)


if __name__ == "__main__":
    main()
