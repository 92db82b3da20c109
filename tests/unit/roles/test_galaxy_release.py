# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing a classic release, and a checkout. The modern packages are finished by every scenario."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
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


def checkout(release: Path, *files: str) -> Path:
    for name in files:
        path = release / "galaxy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (release / "bin").mkdir()
    return release / "galaxy"


def test_the_directory_that_a_classic_checkout_runs_in(script: ModuleType, tmp_path: Path) -> None:
    tree = checkout(
        tmp_path, "lib/galaxy/app.py", "static/robots.txt", "scripts/galaxy-main", "config/tool_conf.xml.sample"
    )
    script.lay_out_classic(tmp_path, tree / "lib" / "galaxy")
    assert (tmp_path / "root").resolve() == tree
    assert (tmp_path / "static/robots.txt").read_text() == "x"
    assert (tmp_path / "bin/galaxy-main").resolve() == tree / "scripts/galaxy-main"
    assert os.access(tmp_path / "bin/galaxy-main", os.X_OK)
    assert not os.path.isabs(os.readlink(tmp_path / "root"))


def test_a_modern_checkout_gets_what_packages_have(script: ModuleType, tmp_path: Path) -> None:
    tree = checkout(tmp_path, "lib/galaxy/tools/__init__.py", "tools/data_source/upload.xml")
    script.complete_checkout(tmp_path)
    assert (tree / "lib/galaxy/tools/bundled/data_source/upload.xml").exists()
    for name in ("galaxy-main", "galaxy-manage-db", "galaxy-config"):
        text = (tmp_path / "bin" / name).read_text()
        assert text.startswith("#!/")
        compile(text, name, "exec")
        assert os.access(tmp_path / "bin" / name, os.X_OK)
    # A tree that has them there is left as it is.
    (tmp_path / "bin").rename(tmp_path / "was")
    (tmp_path / "bin").mkdir()
    script.complete_checkout(tmp_path)


def test_where_the_client_is(script: ModuleType, tmp_path: Path) -> None:
    assert script.client_of(tmp_path) is None
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    pypi = tmp_path / "lib" / python / "site-packages/galaxy/web_client/dist"
    for place in (pypi, tmp_path / "client/package/dist", tmp_path / "galaxy/static/dist"):
        place.mkdir(parents=True)
        # The one that somebody has built himself wins, then the one that was fetched for this release.
        assert script.client_of(tmp_path) == place
