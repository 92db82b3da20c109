# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the README claims is what is proved, what is proved is shipped, and SECURITY.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import pythons
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import known_releases, proved_releases

ROOT = Path(__file__).resolve().parents[2]
# Debian's own Pythons.
MACHINES = {"Debian 12": "3.11", "Debian 13": "3.13"}


def is_too_new(release: str, python: str) -> bool:
    highest = pythons(release)[1]
    return bool(highest) and int(python.split(".")[1]) > int(highest.split(".")[1])


def test_the_table_of_releases() -> None:
    header = " | ".join(f"{name} (Python {python})" for name, python in MACHINES.items())
    lines = [f"| Galaxy | Python | {header} |", "|---|---|---|---|"]
    for release, proofs in proved_releases().items():
        lowest, highest = pythons(release)
        cells = [
            proofs.get(name) or ("refused" if is_too_new(release, python) else "not tried")
            for name, python in MACHINES.items()
        ]
        lines.append(f"| {release} | {lowest} {f'to {highest}' if highest else 'or later'} | {' | '.join(cells)} |")
    assert "\n".join(lines) + "\n\n" in (ROOT / "README.md").read_text()


def test_a_lock_without_a_proof_is_named() -> None:
    text = (ROOT / "README.md").read_text()
    for release in set(known_releases()) - set(proved_releases()):
        assert f"It ships one of {release}, too, which has been installed, and has not yet served." in text


def test_only_distributions_that_are_supported_are_claimed() -> None:
    claimed = {name for proofs in proved_releases().values() for name in proofs}
    assert claimed == set(MACHINES)
    variables = (ROOT / "roles/_common/vars/main.yml").read_text()
    assert all(f"  - {name}\n" in variables for name in claimed)


def test_what_is_promised_is_tested() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    tests = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert len(tests) > 10
    assert [test for test in tests if not (ROOT / test).is_file()] == []
    defaults = "".join(path.read_text() for path in ROOT.glob("roles/*/defaults/main.yml"))
    variables = re.findall(r"`((?:galaxy|nginx|uwsgi|supervisor)_\w+)", text)
    assert [name for name in variables if f"\n{name}:" not in defaults] == []
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
