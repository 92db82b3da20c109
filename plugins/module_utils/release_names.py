# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's releases by the names of their branches and tags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = os.path.join(COLLECTION, "roles", "galaxy", "files")
RELEASES = os.path.join(FILES, "releases")

BRANCH = re.compile(r"(?:release_)?(?P<year>\d\d)\.(?P<minor>\d{1,2})")
TAG = re.compile(r"v(?P<number>\d\d\.\d{1,2}(?:\.\d+)?)")
# The last release that ran on Python 2 only.
LAST_OF_PYTHON_2 = (19, 5)


def known_releases() -> list[str]:
    """Return the releases for which the collection ships a lock file, oldest first."""
    return sorted(os.listdir(RELEASES), key=lambda name: [int(part) for part in name.split(".")])


def proved_releases() -> dict[str, Mapping[str, str]]:
    """Return the releases that are proved, each with how, by the name of a distribution."""
    import yaml

    with open(os.path.join(FILES, "proved.yml"), encoding="utf-8") as file:
        rows = yaml.safe_load(file)
    return {row["release"]: {name: how for name, how in row.items() if name != "release"} for row in rows}


def release_number(name: object) -> str:
    """Return the number of a release, as PyPI has it, from a branch or a tag of Galaxy's repository.

    Of a branch (release_26.1) it is the newest release that the collection knows. Anything else is returned as it is.
    """
    text = str(name).strip()
    tag = TAG.fullmatch(text)
    if tag:
        text = tag["number"]
    branch = BRANCH.fullmatch(text)
    if branch:
        start = f"{int(branch['year'])}.{int(branch['minor'])}."
        return next((release for release in reversed(known_releases()) if release.startswith(start)), text)
    return text


def describe_unknown(name: str) -> str:
    """Say what is wrong with a name that is no number of a release."""
    branch = BRANCH.fullmatch(name)
    if branch and (int(branch["year"]), int(branch["minor"])) <= LAST_OF_PYTHON_2:
        return "is a Galaxy for Python 2, which Debian no longer has; name a release as PyPI numbers it, such as 26.1.2"
    if branch:
        return (
            "is a branch of Galaxy's repository for which this collection has no release; name one as PyPI numbers it,"
            " such as 26.1.2"
        )
    return "has to be a release as PyPI numbers it, in quotes if need be, such as 26.1.2"
