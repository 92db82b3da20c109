# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing a classic release. The modern ones are finished by every scenario."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "galaxy" / "files" / "galaxy_release.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("galaxy_release", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "version, expected",
    [("20.5.0", True), ("22.1.1", True), ("22.01", True), ("22.5.0", False), ("26.1.2", False)],
)
def test_which_releases_are_classic(script: ModuleType, version: str, expected: bool) -> None:
    assert script.is_classic(version) is expected


def test_flags_go_first(script: ModuleType) -> None:
    before = "rules = [['(?i)(quiz)$', 'x'], ['^(?i)(ox)$', 'y'], ['(?i)^(ox)en', 'z']]"
    after = script.put_flags_first(before)
    assert after == "rules = [['(?i)(quiz)$', 'x'], ['(?i)^(ox)$', 'y'], ['(?i)^(ox)en', 'z']]"
    for pattern in re.findall(r"'(\S*\(\?i\)[^']*)'", after):
        re.compile(pattern)
    assert script.put_flags_first(after) == after


def test_only_the_releases_own_copy_is_mended(script: ModuleType, tmp_path: Path) -> None:
    cached, package = tmp_path / "cached.py", tmp_path / "galaxy"
    (package / "util").mkdir(parents=True)
    cached.write_text("rule = '^(?i)(ox)$'\n")
    os.link(cached, package / "util" / "inflection.py")
    script.mend_sources(package)
    assert (package / "util" / "inflection.py").read_text() == "rule = '(?i)^(ox)$'\n"
    assert cached.read_text() == "rule = '^(?i)(ox)$'\n"
    assert [path.name for path in (package / "util").iterdir()] == ["inflection.py"]


def test_the_directory_that_a_classic_galaxy_runs_in(script: ModuleType, tmp_path: Path) -> None:
    package = tmp_path / "lib" / "python3.11" / "site-packages" / "galaxy"
    for name in ("web/framework/static/style", "web/framework/templates", "tools/bundled/data_source"):
        (package / name).mkdir(parents=True)
    (package / "web/framework/static/robots.txt").write_text("x")
    (package / "tools/bundled/data_source/upload.xml").write_text("<tool/>")
    script.lay_out_classic(tmp_path, package)
    root = tmp_path / "root"
    assert sorted(path.name for path in root.iterdir()) == [
        "config",
        "lib",
        "static",
        "templates",
        "tool-data",
        "tools",
    ]
    for name in ("lib/galaxy", "static/robots.txt", "tools/data_source/upload.xml"):
        assert (root / name).exists()
    # A release is the same wherever it is seen from.
    assert not any(os.path.isabs(os.readlink(path)) for path in root.iterdir() if path.is_symlink())
