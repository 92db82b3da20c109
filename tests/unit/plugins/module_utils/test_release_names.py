# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by branch and tag."""

from __future__ import annotations

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import (
    describe_unknown,
    known_releases,
    release_number,
)


@pytest.mark.parametrize(
    "name, number",
    [
        ("26.1.2", "26.1.2"),
        ("v26.1.2", "26.1.2"),
        ("release_26.1", "26.1.2"),
        ("v26.1", "26.1.2"),
        (26.1, "26.1.2"),
        ("release_16.10", "release_16.10"),
        ("dev", "dev"),
        ("0123abcd", "0123abcd"),
    ],
)
def test_numbers(name: object, number: str) -> None:
    assert "26.1.2" in known_releases()
    assert release_number(name) == number


@pytest.mark.parametrize(
    "name, words", [("release_16.10", "Python 2"), ("release_22.05", "no release"), ("dev", "as PyPI numbers it")]
)
def test_what_is_no_release(name: str, words: str) -> None:
    assert words in describe_unknown(name)
