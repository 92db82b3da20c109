# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import classic

RELEASES = Path(__file__).resolve().parents[4] / "roles/galaxy/files/releases"


@pytest.mark.parametrize(
    "release, expected",
    [
        ("18.9.0", ("2.7", "2.7")),
        ("19.05", ("2.7", "2.7")),
        ("20.5.0", ("3.9", "3.11")),
        ("20.05", ("3.9", "3.11")),
        ("20.9.0", ("3.6", "3.9")),
        ("22.1.1", ("3.7", "3.9")),
        # As PyPI has it of the packages of modern ones.
        ("22.5.0", ("3.7", "")),
        ("23.1.3", ("3.7", "")),
        ("23.1.4", ("3.7", "3.11")),
        ("23.2.1", ("3.7", "")),
        ("24.2.4", ("3.8", "")),
        ("25.1.2", ("3.9", "")),
        ("25.1.3", ("3.10", "")),
        ("26.1.2", ("3.10", "")),
        ("26.2.dev0", ("3.10", "")),
    ],
)
def test_pythons(release: str, expected: tuple[str, str]) -> None:
    assert classic.pythons(release) == expected


@pytest.mark.parametrize("release", ["", "dev", "26.1"])
def test_what_is_no_number_is_not_classic(release: str) -> None:
    assert not classic.is_classic(release)


@pytest.mark.parametrize(
    "release, expected", [("18.9.0", True), ("22.1.1", True), ("22.01", True), ("22.5.0", False), ("26.1.2", False)]
)
def test_which_are_classic(release: str, expected: bool) -> None:
    assert classic.is_classic(release) is expected


def test_a_lock_file_is_shipped_for_what_pypi_carries() -> None:
    for release in classic.FROM_PYPI:
        lock = (RELEASES / release / "requirements.txt").read_text()
        # Installed without asking the packages, so each of Galaxy's own has to be in it.
        assert lock.count(f"=={release} ") == 12
    shipped = {path.name for path in RELEASES.iterdir() if classic.is_classic(path.name)}
    assert shipped == set(classic.FROM_PYPI)
