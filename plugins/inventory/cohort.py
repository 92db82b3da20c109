# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin cohort: the seats of a class, from its roster."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cohort
short_description: The seats of a class, from its roster
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Reads a roster, one seat a line, and makes a host of each, in the groups C(cohort) and C(galaxy).
  - Makes what the students and the instructor log in with, once, and keeps it in a file that only the instructor
    reads. It is the same at each run. With O(vault=true), the file is a vault.
  - Addresses may also come from another inventory, whose hosts are called as the seats are.
  - Its configuration is a file that ends in C(cohort.yml) or C(cohort.yaml).
options:
  plugin:
    description: The name of this plugin.
    required: true
    choices: [dagobah.galaxy.cohort]
  roster:
    description:
      - The roster, CSV or (by its name, C(.yml) or C(.yaml)) YAML, beside this file or by its full path.
      - The columns are C(seat) (required), C(student), C(address), which may end in a port, and C(email). Each other
        column is a variable of the seat, whose cells are read as YAML; an empty cell is none.
    type: path
    default: roster.csv
  secrets:
    description: The file with the secrets, beside this file or by its full path. It is made if there is none.
    type: path
    default: cohort-secrets.yml
  vault:
    description: Whether the secrets are encrypted when they are made, with the first vault password that is given.
    type: bool
    default: false
  groups:
    description: Names of the groups that every seat is in.
    type: list
    elements: str
    default: [cohort, galaxy]
"""

EXAMPLES = r"""
# class.cohort.yml
plugin: dagobah.galaxy.cohort
roster: roster.csv

# roster.csv
# seat,student,address,email,uwsgi_threads
# seat01,Ada Lovelace,192.0.2.11,ada@example.org,
# seat02,Grace Hopper,192.0.2.12:2222,,4
"""

import fcntl
import os
import tempfile
import typing as t

from ansible.errors import AnsibleParserError
from ansible.parsing.vault import VaultLib, is_encrypted
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.dagobah.galaxy.plugins.module_utils import seat_secrets
from ansible_collections.dagobah.galaxy.plugins.module_utils.roster import Seat, read_roster
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Read the roster, and make the secrets that are missing."""

    NAME = "dagobah.galaxy.cohort"

    def verify_file(self, path: str) -> bool:
        """Tell whether this is a file of ours."""
        return bool(super().verify_file(path)) and path.endswith(("cohort.yml", "cohort.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Add the seats to the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        directory = os.path.dirname(os.path.abspath(path))
        roster = os.path.join(directory, os.path.expanduser(self.get_option("roster")))
        try:
            with open(roster, "rb") as file:
                seats = read_roster(file.read(), os.path.basename(roster))
            secrets = self._secrets(os.path.join(directory, os.path.expanduser(self.get_option("secrets"))), seats)
        except OSError as error:
            raise AnsibleParserError(f"{self.NAME}: {error.filename}: {error.strerror}") from error
        except InputError as error:
            raise AnsibleParserError(f"{self.NAME}:\n{error}") from error
        for group in self.get_option("groups"):
            self.inventory.add_group(group)
        for seat in seats:
            self._add(seat, secrets[seat.name])

    def _add(self, seat: Seat, secrets: dict[str, str]) -> None:
        self.inventory.add_host(seat.name)
        for group in self.get_option("groups"):
            self.inventory.add_host(seat.name, group=group)
        variables: dict[str, t.Any] = {
            "cohort_seat": seat.name,
            "cohort_student": seat.student,
            "cohort_email": seat.email,
            **{f"cohort_{name}": value for name, value in secrets.items()},
            **({"ansible_host": seat.address} if seat.address else {}),
            **({"ansible_port": seat.port} if seat.port else {}),
            **seat.variables,
        }
        for name, value in variables.items():
            self.inventory.set_variable(seat.name, name, value)

    def _secrets(self, path: str, seats: list[Seat]) -> seat_secrets.Secrets:
        """Return the secrets of all seats; those that are missing are made and kept, by one run at a time."""
        with open(f"{path}.lock", "w", encoding="utf-8") as lock:
            os.chmod(lock.fileno(), 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = b""
            if os.path.exists(path):
                with open(path, "rb") as file:
                    content = file.read()
            was_encrypted = is_encrypted(content)
            vault = VaultLib(self.loader._vault.secrets if self.loader._vault else None)
            text = vault.decrypt(content).decode("utf-8") if was_encrypted else content.decode("utf-8")
            values, made = seat_secrets.complete(seat_secrets.read(text, path), [seat.name for seat in seats])
            if made:
                rendered = seat_secrets.render(values).encode("utf-8")
                if was_encrypted or self.get_option("vault"):
                    if not vault.secrets:
                        raise InputError(
                            f"{path}: vault: there is no vault password; give one, such as --ask-vault-pass"
                        )
                    identity, secret = vault.secrets[0]
                    rendered = vault.encrypt(rendered, secret=secret, vault_id=identity)
                _replace(path, rendered)
        return values


def _replace(path: str, content: bytes) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=".cohort-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
