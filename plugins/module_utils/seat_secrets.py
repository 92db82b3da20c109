# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of a class: what each seat's people log in with. They are made once, and are the same at each run."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

# Read from paper and typed: nothing that looks like something else.
TYPED = "abcdefghjkmnpqrstuvwxyz23456789"

# 12 letters of 31 are 59 bits, which nobody guesses over a network.
PASSWORDS = ("password", "admin_password", "login_password")
# Galaxy's own have 32 hexadecimal digits.
KEYS = ("api_key", "admin_api_key")
NAMES = (*PASSWORDS, *KEYS)

Secrets = dict[str, dict[str, str]]


def read(text: str, path: str) -> Secrets:
    """Return the secrets of a file by seat.

    :raises InputError: if it is something else. It is never replaced then: what it held may be in use.
    """
    import yaml

    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(seat, dict) and all(isinstance(value, str) and value for value in seat.values())
        for seat in found.values()
    ):
        raise InputError(
            f"{path}: this is no file of a class's secrets; restore it, or move it away to have new ones made, which"
            " the seats learn at the next run"
        )
    return {str(seat): {str(name): str(value) for name, value in values.items()} for seat, values in found.items()}


def complete(found: Secrets, seats: Iterable[str]) -> tuple[Secrets, bool]:
    """Return the secrets of all seats, those of seats that are gone too, and whether some were made now."""
    result = {seat: dict(values) for seat, values in found.items()}
    made = False
    for seat in seats:
        values = result.setdefault(seat, {})
        for name in NAMES:
            if name not in values:
                values[name] = _password() if name in PASSWORDS else secrets.token_hex(16)
                made = True
    return result, made


def _password() -> str:
    return "-".join("".join(secrets.choice(TYPED) for _letter in range(4)) for _group in range(3))


def render(values: Secrets) -> str:
    """Return the text of the file."""
    import yaml

    text: str = yaml.safe_dump(values, default_flow_style=False, sort_keys=True)
    return f"---\n# What the people of the class log in with. Made once: the seats know it.\n{text}"
