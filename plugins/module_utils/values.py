# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain Python values from what Ansible hands to plugins, and values in words for error messages."""

from __future__ import annotations

import datetime
import difflib
import json
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence

MASK = "********"

# Names of options and variables whose values are never shown.
SECRET_NAME = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|api_key|apikey|private_key|credential|salt|(access|application)_key)s?(_|$)"
)

URL_PASSWORD = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:]*:)(?P<password>.+)(?P<after>@)")


class InputError(ValueError):
    """Something a person wrote is wrong; the message is for that person."""


class PlainValueError(InputError):
    """A value of a kind that no configuration file can hold."""


def _is_vaulted(value: t.Any) -> bool:
    """Tell whether the value is a vaulted string that nothing has decrypted yet.

    Inside dictionaries, ansible-core 2.18 hands such strings to filters as objects that are sequences
    but not str; str() decrypts them.
    """
    return not isinstance(value, str) and (hasattr(value, "__ENCRYPTED__") or hasattr(value, "_ciphertext"))


def plain(value: t.Any) -> t.Any:
    """Return the value as plain dict, list, str, int, float, bool or None.

    ansible-core 2.19 and later hand over subclasses (lazy containers, tagged strings); these must not
    leak into files, JSON or comparisons of types.
    """
    if value is None or isinstance(value, bool):
        return value
    if _is_vaulted(value):
        return str(value)
    if isinstance(value, str):
        return "".join(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (datetime.date, datetime.time)):
        # YAML reads an unquoted 2026-01-01 as a date; what was meant is the text.
        return value.isoformat()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        items = [plain(item) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    raise PlainValueError(f"a value of type {value.__class__.__name__} cannot be written to a configuration file")


def mask_urls(text: str) -> str:
    """Return the text with the passwords in URLs masked."""
    return URL_PASSWORD.sub(rf"\g<before>{MASK}\g<after>", text)


def is_secret(name: str) -> bool:
    """Tell whether the name is that of something secret."""
    return bool(SECRET_NAME.search(name.lower()))


def shown(value: t.Any, name: str = "") -> str:
    """Return the value as an error message may show it: short, on one line, without secrets."""
    if name and is_secret(name) and value not in (None, "", [], {}):
        return MASK
    text = json.dumps(_masked(value), ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:157] + "..."


def _masked(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return mask_urls(value)
    if isinstance(value, Mapping):
        return {
            str(key): MASK if is_secret(str(key)) and item not in (None, "") else _masked(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that is spelt most like the given one, if any is close."""
    found = difflib.get_close_matches(name, sorted(names), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean X?" or nothing."""
    guess = nearest(name, names)
    return f"; did you mean {guess}?" if guess else ""
