# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of secrets that are made once and kept."""

from __future__ import annotations

import json
import re
import secrets
import string
import typing as t

# No character of these means anything to INI files, YAML, shells or URLs.
ALPHABET = string.ascii_letters + string.digits

SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORTEST = 16
LONGEST = 1024

# What check mode returns in place of a secret that there is not yet.
PLACEHOLDER = "secret-that-check-mode-did-not-make"


class SecretFileError(ValueError):
    """The file, or what is asked of it, cannot be used; the message holds no secret."""


def wanted_lengths(wanted: t.Any) -> dict[str, int]:
    """Return the lengths by name, as checked integers."""
    if not isinstance(wanted, dict) or not wanted:
        raise SecretFileError("secrets has to be a dictionary of lengths by name")
    result = {}
    for name, given in wanted.items():
        if not isinstance(name, str) or not SECRET_NAME.fullmatch(name):
            raise SecretFileError(f"secrets: {name!r} is not a name (letters, digits and underscores)")
        length = int(given) if isinstance(given, str) and given.isdigit() else given
        if isinstance(length, bool) or not isinstance(length, int) or not SHORTEST <= length <= LONGEST:
            raise SecretFileError(f"secrets: {name}: {length!r} is not a length from {SHORTEST} to {LONGEST}")
        result[name] = length
    return result


def read_secrets(content: bytes, path: str) -> dict[str, str]:
    """Return the secrets in the file.

    A damaged file is an error and never replaced: what it held may be in use, and the sessions and
    encrypted identifiers of a Galaxy die with its secret.
    """
    advice = "restore it from a backup, or remove it to have new secrets made (which ends all sessions and links)"
    try:
        found = json.loads(content.decode("utf-8"))
    except ValueError:
        raise SecretFileError(f"{path}: this is not JSON; {advice}") from None
    if not isinstance(found, dict):
        raise SecretFileError(f"{path}: this is not a dictionary of secrets by name; {advice}")
    for name, value in found.items():
        if not isinstance(value, str) or not value:
            raise SecretFileError(f"{path}: the value of {name} is not a string, or an empty one; {advice}")
    return found


def complete(found: dict[str, str], wanted: dict[str, int]) -> tuple[dict[str, str], list[str]]:
    """Return all secrets, and the names of those that were made now.

    One that is there is kept whatever its length: a changed length must not change a secret in use.
    """
    result = dict(found)
    made = [name for name in wanted if name not in found]
    for name in made:
        result[name] = "".join(secrets.choice(ALPHABET) for _number in range(wanted[name]))
    return result, made


def render(values: dict[str, str]) -> bytes:
    """Return the content of the file."""
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")
