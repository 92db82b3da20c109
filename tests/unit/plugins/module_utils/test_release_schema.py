# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a release's schemas, from a small release made here, and the tables that the collection ships."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import release_schema

RELEASES = sorted((Path(__file__).resolve().parents[4] / "roles/galaxy/files/releases").glob("*"))

CONFIG_SCHEMA = """
type: map
mapping:
  galaxy:
    type: map
    mapping:
      brand: {type: str, default: x, desc: prose}
      choice: {type: str, enum: [a, 2]}
      new_flag: {type: bool, deprecated_alias: old_flag}
      job_config: !include job_config_schema.yml
"""
JOB_SCHEMA = """
type: map
desc: prose
mapping:
  runners:
    type: map
    mapping: {"regex;(.+)": {type: map, allowempty: true, mapping: {workers: {type: int, desc: prose}}}}
  tools: {type: seq, sequence: [{type: map, mapping: {id: {type: str, required: true}}}]}
"""
CONFIG = """
class Configuration:
    renamed_options = {"very_old": "brand"}
    def process(self, **kwargs):
        self.a = kwargs.get("hidden", 1)
        self.b = kwargs["hidden_too"]
        self.c = kwargs.get("brand")
        self.d = kwargs.get("__file__")
        self.e = other.get("not_an_option")
"""
MANAGE = """
ACTIONS = {"gone": _DeprecatedAndDroppedAction(), "older": _RenameAction("brand"), "kept": _Other()}
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    package = tmp_path / "galaxy" / "config"
    (package / "schemas").mkdir(parents=True)
    (package / "schemas" / "config_schema.yml").write_text(CONFIG_SCHEMA)
    (package / "schemas" / "job_config_schema.yml").write_text(JOB_SCHEMA)
    (package / "__init__.py").write_text(CONFIG)
    (package / "config_manage.py").write_text(MANAGE)
    return package


def test_read_release(release: Path) -> None:
    assert release_schema.read_release(str(release)) == {
        "options": {
            "brand": {"type": "str"},
            "choice": {"type": "str", "enum": ["a", "2"]},
            "new_flag": {"type": "bool"},
            "job_config": {"type": "map"},
        },
        "unlisted": ["hidden", "hidden_too"],
        "renamed": {"old_flag": "new_flag", "older": "brand", "very_old": "brand"},
        "dropped": ["gone"],
        "job_config": {
            "type": "map",
            "mapping": {
                "runners": {
                    "type": "map",
                    "mapping": {
                        "regex;(.+)": {"type": "map", "allowempty": True, "mapping": {"workers": {"type": "int"}}}
                    },
                },
                "tools": {
                    "type": "seq",
                    "sequence": [{"type": "map", "mapping": {"id": {"type": "str", "required": True}}}],
                },
            },
        },
    }


def test_a_classic_release_has_its_schemas_elsewhere(release: Path) -> None:
    expected = release_schema.read_release(str(release))
    place = release.parent / "webapps" / "galaxy"
    place.mkdir(parents=True)
    for schema in (release / "schemas").iterdir():
        schema.rename(place / schema.name)
    (release / "schemas").rmdir()
    assert release_schema.read_release(str(release)) == expected


def test_a_release_without_the_lesser_files(release: Path) -> None:
    (release / "config_manage.py").unlink()
    assert release_schema.read_release(str(release))["dropped"] == []


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in RELEASES])
def test_what_the_collection_ships(path: Path) -> None:
    table = json.loads((path / "options.json").read_text())
    assert table["options"]["brand"] == {"type": "str"}
    assert len(table["options"]) > 300
    assert {"runners", "handling", "execution"} <= set(table["job_config"]["mapping"])
    assert '"desc"' not in (path / "options.json").read_text()

    lock = (path / "requirements.txt").read_text()
    packages = [f"galaxy-web-apps=={path.name}", "pyuwsgi==", "pastedeploy=="]
    # PyPI has no client of classic releases, and of others npm has it.
    client = path / "client.json"
    packages += [] if (path / "lock.toml").exists() or client.exists() else [f"galaxy-web-client=={path.name}"]
    if client.exists():
        described = json.loads(client.read_text())
        assert described["url"].startswith("https://registry.npmjs.org/@galaxyproject/galaxy-client/")
        assert re.fullmatch("[0-9a-f]{128}", described["sha512"])
    for package in packages:
        assert re.search(rf"^{re.escape(package)}", lock, re.MULTILINE), package
    # Every package has its hashes, and nothing is from the machine that made the lock.
    entries = re.split(r"\n(?=[a-z0-9])", lock)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry.split("\n")[0])
    assert not re.search(r"^(--|-[a-z])|file:|://", lock, re.MULTILINE)
