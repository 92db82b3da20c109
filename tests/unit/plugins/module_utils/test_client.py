# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the client is, by what the two registries answer; and script/find_client.py, which makes client.json."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.client import NPM, PYPI, ClientError, find_client, newest

ROOT = Path(__file__).resolve().parents[4]
DIGEST = bytes(range(64))


def npm(*versions: str, kind: str = "sha512") -> dict[str, Any]:
    integrity = f"{kind}-{base64.b64encode(DIGEST).decode()}"
    return {
        version: {"dist": {"tarball": f"https://npm/{version}.tgz", "integrity": integrity}} for version in versions
    }


REGISTRIES = {
    PYPI: {
        "releases": {"25.1.2": [{}], "26.1.0": [], "26.1.1": [{}], "26.1.10": [{}], "26.1.2": [{}], "26.2.dev0": [{}]}
    },
    NPM: {"versions": npm("0.1.0", "23.1.1", "24.2.3", "24.2.4")},
}


@pytest.mark.parametrize(
    "release, expected",
    [
        ("26.1.2", "26.1.2"),
        # Not to be had, or not yet: the newest of the same year and month.
        ("26.1.0", "26.1.10"),
        ("26.1.3.dev0", "26.1.10"),
        ("26.2.0", None),
        ("26.10.0", None),
        ("2.1.0", None),
    ],
)
def test_versions(release: str, expected: str | None) -> None:
    versions = [version for version, files in REGISTRIES[PYPI]["releases"].items() if files]
    assert newest(release, versions) == expected


def test_pypi_comes_first() -> None:
    assert find_client("26.1.2", REGISTRIES.__getitem__) == {"package": "galaxy-web-client==26.1.2"}


def test_npm_comes_second() -> None:
    found = {"version": "24.2.4", "url": "https://npm/24.2.4.tgz", "sha512": DIGEST.hex()}
    assert find_client("24.2.5", REGISTRIES.__getitem__) == found


def test_neither_has_it() -> None:
    with pytest.raises(ClientError, match=r"neither PyPI nor npm has a built client of Galaxy 22\.5\."):
        find_client("22.5.0", REGISTRIES.__getitem__)


def test_another_digest_is_not_taken_for_the_right_one() -> None:
    answers = {PYPI: {"releases": {}}, NPM: {"versions": npm("24.2.4", kind="sha1")}}
    with pytest.raises(ClientError, match="by sha1 and not by sha512"):
        find_client("24.2.4", answers.__getitem__)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("find_client", ROOT / "script/find_client.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    published = {"releases": {"24.2.4": [{"upload_time_iso_8601": "2025-06-17T13:05:01.123456Z"}]}}
    monkeypatch.setattr(module, "fetch", {**REGISTRIES, module.GALAXY: published}.__getitem__)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["find_client.py", *arguments])
    code: int = script.main()
    return code


def test_the_script_is_silent_about_a_client_on_pypi(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "26.1.2") == 0
    assert capsys.readouterr() == ("", "")


def test_the_script_prints_what_a_lock_needs(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "24.2.4") == 0
    printed = json.loads(capsys.readouterr().out)
    # As the collection ships it.
    shipped = json.loads((ROOT / "roles/galaxy/files/releases/24.2.4/client.json").read_text())
    assert set(printed) == set(shipped)
    assert {name: len(value) for name, value in printed.items() if name == "sha512"} == {
        "sha512": len(shipped["sha512"])
    }


def test_the_script_fails_with_a_sentence(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "22.5.0") == 1
    assert capsys.readouterr().err.startswith("neither PyPI nor npm")


def test_a_lock_takes_the_packages_of_the_month_after_the_release(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "--date", "24.2.4") == 0
    assert capsys.readouterr().out == "2025-07-17T00:00:00Z\n"
