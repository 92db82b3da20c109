# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classic Galaxy: the releases up to 22.01, which are WSGI applications by themselves."""

from __future__ import annotations

import re

# First release without a native WSGI application.
FIRST_MODERN = (22, 5)

# What PyPI carries whole, and the collection has a lock file for.
FROM_PYPI = ("20.5.0",)

# Lowest and highest Python, by the first release that wants them. The highest is that on which one has been seen to
# run: 20.05 on 3.11 with what the collection adds to Python, 20.09 and later on 3.9.
PYTHONS: tuple[tuple[tuple[int, int], tuple[str, str]], ...] = (
    ((0, 0), ("2.7", "2.7")),
    ((19, 9), ("3.5", "3.9")),
    ((20, 5), ("3.9", "3.11")),
    ((20, 9), ("3.6", "3.9")),
    ((21, 9), ("3.7", "3.9")),
)


def generation(release: str) -> tuple[int, int]:
    """Return year and month of a release, written as PyPI (20.5.0) or as Galaxy itself does (20.05)."""
    numbers = [int(part) for part in re.findall(r"\d+", release)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else FIRST_MODERN


def is_classic(release: str) -> bool:
    """Tell whether a release is classic."""
    return generation(release) < FIRST_MODERN


def pythons(release: str) -> tuple[str, str] | None:
    """Return the lowest and the highest Python for a classic release, or None for another."""
    if not is_classic(release):
        return None
    found = generation(release)
    return [allowed for first, allowed in PYTHONS if first <= found][-1]
