#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_secrets
short_description: Make the secrets of an instance once, and keep them
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Reads a JSON file of secrets by name, makes those that are missing, and returns them.
  - A secret that is there is kept, also when another length is asked for, and also one that is no longer asked for.
  - A damaged file is an error. It is never replaced.
  - Use C(no_log) with the task, since the secrets are returned.
attributes:
  check_mode:
    support: full
    description: Makes nothing, and returns a placeholder for each secret that is missing.
  diff_mode:
    support: none
    description: The file holds secrets.
options:
  path:
    description: The file. Its directory has to exist.
    type: path
    required: true
  secrets:
    description: Lengths (from 16 to 1024 characters) by name. Galaxy's C(id_secret) may have 56 characters at most.
    type: dict
    required: true
  mode:
    description: Permissions of the file, in octal.
    type: str
    default: "0600"
"""

EXAMPLES = r"""
- name: Ensure the secrets
  dagobah.galaxy.instance_secrets:
    path: /srv/galaxy/config/secrets.json
    secrets:
      id_secret: 48
  register: instance
  no_log: true

- name: Use one
  ansible.builtin.debug:
    msg: "{{ instance.secrets.id_secret | length }}"
"""

RETURN = r"""
secrets:
  description: The secrets that were asked for, by name.
  returned: success
  type: dict
created:
  description: Names of the secrets that were made now, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [id_secret]
"""

import errno
import os
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils.secret_file import (
    PLACEHOLDER,
    SecretFileError,
    complete,
    read_secrets,
    render,
    wanted_lengths,
)


def read_file(path: str) -> bytes | None:
    """Return the content, or None if there is no file (or, in check mode, no directory yet)."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise SecretFileError(f"{path}: {os.strerror(error.errno or 0)}") from error


def write_file(module: AnsibleModule, path: str, content: bytes, mode: int) -> None:
    """Put the file in place in one step, never readable for others on the way.

    Not by atomic_move, which gives a new file the permissions of the umask, if only for a moment.
    """
    directory = os.path.dirname(path) or "."
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".ansible-", dir=directory)
    except OSError as error:
        raise SecretFileError(f"{path}: {directory}: {os.strerror(error.errno or 0)}") from error
    module.add_cleanup_file(temporary)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), mode)
        if os.path.exists(path):
            before = os.stat(path)
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
    os.replace(temporary, path)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do what the module does, and return its result."""
    path = module.params["path"]
    wanted = wanted_lengths(module.params["secrets"])
    try:
        mode = int(module.params["mode"], 8)
    except ValueError as error:
        raise SecretFileError(f"mode: {module.params['mode']!r} is not an octal number such as 0600") from error
    if mode & 0o007:
        raise SecretFileError(
            f"mode: {module.params['mode']} lets everybody use the file; allowed are modes such as 0600 and 0640"
        )
    content = read_file(path)
    found = {} if content is None else read_secrets(content, path)
    values, made = complete(found, wanted)
    changed = bool(made)
    if made and module.check_mode:
        values.update(dict.fromkeys(made, PLACEHOLDER))
    elif made:
        write_file(module, path, render(values), mode)
    if content is not None and (os.stat(path).st_mode & 0o7777) != mode:
        changed = True
        if not module.check_mode:
            os.chmod(path, mode)
    return {"changed": changed, "secrets": {name: values[name] for name in wanted}, "created": made}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            # A name of an option, not a secret: lengths by name.
            "secrets": {"type": "dict", "required": True, "no_log": False},
            "mode": {"type": "str", "default": "0600"},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except SecretFileError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
