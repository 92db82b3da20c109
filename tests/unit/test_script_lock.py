# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What script/lock says to wrong arguments, and what it has made."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ROOT / "roles/galaxy/files/releases"
LOCKS = sorted(path.parent.name for path in RELEASES.glob("*/requirements.txt"))


def lock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "script/lock", *arguments],
        env={**os.environ, "UV": "true", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments, environment, words",
    [
        ((), {}, "script/lock RELEASE [RELEASE ...]"),
        (("26.1.2",), {"UV": "/nonexistent/uv"}, "uv is not installed"),
        (("release_26.1",), {}, "release_26.1 is not a release as PyPI numbers them"),
        (("26.1",), {}, "26.1 is not a release"),
        (("26.1.2; id",), {}, "is not a release"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], environment: dict[str, str], words: str) -> None:
    done = lock(*arguments, **environment)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize("release", LOCKS)
def test_a_lock_has_a_hash_for_each_package_and_nothing_of_the_machine_that_made_it(release: str) -> None:
    text = (RELEASES / release / "requirements.txt").read_text()
    entries = re.split(r"\n(?=[a-zA-Z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text))
    packages = [entry for entry in entries if entry.strip()]
    assert len(packages) > 50
    for entry in packages:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+", entry), entry[:100]
        assert "--hash=sha256:" in entry, entry[:100]
    assert not re.search(r"(?m)^-|file:| @ |/home/|/opt/|/root/", text)
    # Made in wheels only, where a machine has no compiler.
    found = re.search(r"(?m)^mercurial==(\d+)\.(\d+)", text)
    assert found is None or (int(found[1]), int(found[2])) >= (6, 9)
