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

# Lowest and highest Python, by the first release that wants them. The highest of a classic one is that on which it has
# been seen to run: 20.05 on 3.11 with what the collection adds to Python, 20.09 and later on 3.9. The lowest of a
# modern one is what its packages ask for (Requires-Python); it has no highest, unless one has been seen to be too high.
PYTHONS: tuple[tuple[tuple[int, ...], tuple[str, str]], ...] = (
    ((0, 0), ("2.7", "2.7")),
    ((19, 9), ("3.5", "3.9")),
    ((20, 5), ("3.9", "3.11")),
    ((20, 9), ("3.6", "3.9")),
    ((21, 9), ("3.7", "3.9")),
    ((22, 5), ("3.7", "")),
    # Of the packages in its lock file, some have no wheels for a later one.
    ((23, 1, 4), ("3.7", "3.11")),
    ((23, 2), ("3.7", "")),
    ((24, 0), ("3.8", "")),
    ((25, 0), ("3.9", "")),
    ((25, 1, 3), ("3.10", "")),
)


def generation(release: str) -> tuple[int, int]:
    """Return year and month of a release, written as PyPI (20.5.0) or as Galaxy itself does (20.05)."""
    numbers = [int(part) for part in re.findall(r"\d+", release)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else FIRST_MODERN


def is_classic(release: str) -> bool:
    """Tell whether a release is classic."""
    return generation(release) < FIRST_MODERN


def pythons(release: str) -> tuple[str, str]:
    """Return the lowest and the highest Python for a release; the highest is empty if there is none."""
    patch = re.match(r"\d+\.\d+\.(\d+)", release)
    found = (*generation(release), int(patch[1]) if patch else 0)
    return [allowed for first, allowed in PYTHONS if first <= found][-1]
