# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module instance_secrets, run as Ansible runs it: arguments on stdin, JSON on stdout."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.secret_file import PLACEHOLDER
from ansible_collections.dagobah.galaxy.plugins.modules import instance_secrets

RunModule = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(run_module: RunModule) -> RunModule:
    """Return a function that asks the module for secrets."""

    def run(path: Path, secrets: t.Any, check: bool = False, **more: t.Any) -> dict[str, t.Any]:
        return run_module("instance_secrets", {"path": str(path), "secrets": secrets, **more}, check)

    return run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once(run: RunModule, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = run(path, {"id_secret": 48, "other": 16})
    assert first["changed"]
    assert first["created"] == ["id_secret", "other"]
    assert len(first["secrets"]["id_secret"]) == 48
    assert first["secrets"]["id_secret"].isalnum()
    assert mode(path) == 0o600
    second = run(path, {"id_secret": 48, "other": 16})
    assert not second["changed"]
    assert second["created"] == []
    assert second["secrets"] == first["secrets"]
    assert [item.name for item in tmp_path.iterdir()] == ["secrets.json"]


def test_two_files_have_two_secrets(run: RunModule, tmp_path: Path) -> None:
    assert run(tmp_path / "a", {"s": 32})["secrets"] != run(tmp_path / "b", {"s": 32})["secrets"]


def test_what_is_there_is_kept(run: RunModule, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"id_secret": "short", "foreign": "kept"}))
    path.chmod(0o600)
    result = run(path, {"id_secret": 48, "new": 20})
    assert result["created"] == ["new"]
    assert result["secrets"]["id_secret"] == "short"
    assert set(result["secrets"]) == {"id_secret", "new"}
    assert json.loads(path.read_text())["foreign"] == "kept"


def test_check_mode_makes_nothing(run: RunModule, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "secrets.json"
    result = run(path, {"id_secret": 48}, check=True)
    assert result["changed"]
    assert result["secrets"] == {"id_secret": PLACEHOLDER}
    assert not list(tmp_path.iterdir())


def test_check_mode_reads_what_is_there(run: RunModule, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = run(path, {"id_secret": 48})
    result = run(path, {"id_secret": 48}, check=True)
    assert not result["changed"]
    assert result["secrets"] == first["secrets"]


def test_permissions_are_mended(run: RunModule, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    run(path, {"id_secret": 48})
    path.chmod(0o644)
    assert run(path, {"id_secret": 48}, check=True)["changed"]
    assert mode(path) == 0o644
    assert run(path, {"id_secret": 48})["changed"]
    assert mode(path) == 0o600
    assert not run(path, {"id_secret": 48})["changed"]


def test_no_diff(run: RunModule, tmp_path: Path) -> None:
    assert "diff" not in run(tmp_path / "secrets.json", {"id_secret": 48})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"id_secret": "hunter2"',
        b"[]",
        b'"hunter2"',
        b'{"id_secret": 3}',
        b'{"id_secret": ""}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_an_error_and_kept(run: RunModule, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(content)
    result = run(path, {"id_secret": 48})
    assert result["failed"]
    assert str(path) in result["msg"]
    assert "backup" in result["msg"]
    assert "hunter2" not in json.dumps(result)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "secrets, more, words",
    [
        ({}, {}, "dictionary of lengths"),
        ({"a b": 20}, {}, "'a b' is not a name"),
        ({"a": 4}, {}, "a: 4 is not a length from 16"),
        ({"a": "long"}, {}, "'long' is not a length"),
        ({"a": True}, {}, "True is not a length"),
        ({"a": 20}, {"mode": "rw"}, "mode: 'rw' is not an octal number"),
        ({"a": 20}, {"mode": "0644"}, "mode: 0644 lets everybody"),
    ],
)
def test_bad_arguments(run: RunModule, tmp_path: Path, secrets: t.Any, more: dict[str, t.Any], words: str) -> None:
    result = run(tmp_path / "secrets.json", secrets, **more)
    assert result["failed"]
    assert words in result["msg"]
    assert not list(tmp_path.iterdir())


def test_no_directory(run: RunModule, tmp_path: Path) -> None:
    result = run(tmp_path / "missing" / "secrets.json", {"id_secret": 48})
    assert result["failed"]
    assert "No such file or directory" in result["msg"]


def test_documentation_names_the_options() -> None:
    for option in ("path", "secrets", "mode"):
        assert f"\n  {option}:\n" in instance_secrets.DOCUMENTATION
