# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed is what was locked: every lock says the digest of every file, and installing goes by them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles/galaxy/files"
LOCKS = sorted([*FILES.glob("releases/*/requirements.txt"), *FILES.glob("uwsgi/*.txt")])
CLIENTS = sorted(FILES.glob("releases/*/client.json"))

DIGEST = re.compile(r"--hash=sha256:[0-9a-f]{64}")
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+(\[[A-Za-z0-9,._-]+\])?==[^\s;]+( ;.*)?")


def short(path: Path) -> str:
    return str(path.relative_to(FILES))


@pytest.mark.parametrize("lock", LOCKS, ids=short)
def test_each_requirement_has_one_version_and_digests(lock: Path) -> None:
    text = "".join(line for line in lock.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    entries = [entry.strip() for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]
    assert entries
    wrong = []
    for entry in entries:
        requirement, *digests = re.split(r"\s+(?=--)", entry)
        if not REQUIREMENT.fullmatch(requirement) or not digests or not all(map(DIGEST.fullmatch, digests)):
            wrong.append(entry[:120])
    assert wrong == []


@pytest.mark.parametrize("client", CLIENTS, ids=short)
def test_a_client_has_a_digest(client: Path) -> None:
    assert re.fullmatch("[0-9a-f]{128}", json.loads(client.read_text())["sha512"])


def task(name: str) -> dict[str, object]:
    tasks = yaml.safe_load((ROOT / "roles/galaxy/tasks/build.yml").read_text())
    found = {each["name"]: each for each in tasks for each in [each, *each.get("block", [])]}
    return dict(found[f"build | {name}"])


def test_installing_goes_by_them() -> None:
    install = str(task("Install Galaxy, its client and uWSGI")["ansible.builtin.command"])
    assert "(['--require-hashes'] if __galaxy_lock_file and '--hash=' in __galaxy_requirements else [])" in install
    # What uWSGI is compiled with is no requirement of Galaxy's; uv goes by the digests of constraints, too.
    assert "['--build-constraint', __galaxy_release_dir ~ '/build-constraints.txt']" in install
    assert "sha512:{{ __galaxy_client.sha512 }}" in str(task("Fetch the client")["ansible.builtin.get_url"])


@pytest.mark.parametrize("is_tampered_with", [False, True])
def test_another_file_of_the_same_version_is_refused(tmp_path: Path, is_tampered_with: bool) -> None:
    """By uv, asked as the role asks it."""
    wheel = tmp_path / "locked-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("locked.py", "")
        archive.writestr("locked-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: locked\nVersion: 1.0\n")
        archive.writestr("locked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("locked-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"locked==1.0 \\\n    --hash=sha256:{digest}\n")
    if is_tampered_with:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("more.py", "")
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [
            *(uv, "pip", "install", "--no-deps", "--require-hashes"),
            *("--requirement", str(tmp_path / "requirements.txt")),
            *("--target", str(tmp_path / "target"), "--python", sys.executable),
            *("--no-index", "--find-links", str(tmp_path), "--cache-dir", str(tmp_path / "cache")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == is_tampered_with, done.stderr
    assert ("Hash mismatch" in done.stderr) == is_tampered_with
    assert (tmp_path / "target/locked.py").exists() != is_tampered_with
