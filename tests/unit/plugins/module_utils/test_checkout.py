# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commits of a repository that Git makes here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.checkout import (
    REQUIREMENTS,
    Checkout,
    CheckoutError,
    Repository,
    find_built,
    number,
)

IDENTITY = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b"}
MODERN = 'VERSION_MAJOR = "26.1"\nVERSION_MINOR = "2"\n'
CLASSIC = "VERSION_MAJOR = \"20.05\"\nVERSION_MINOR = None\nVERSION = VERSION_MAJOR + ''\n"


class Origin:
    """A repository with a working tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=dev")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", *arguments]
        done = subprocess.run(
            command, cwd=self.path, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def galaxy(self, version: str, where: str = "lib/galaxy/version.py") -> str:
        return self.commit(**{where: version, REQUIREMENTS: "mako==1.3.10\n", "run.sh": ""})


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "galaxy")


@pytest.mark.parametrize(
    "source, expected",
    [
        (MODERN, "26.1.2"),
        (CLASSIC, "20.5.0"),
        ('VERSION_MAJOR = "18.09"\nVERSION_MINOR = ""\n', "18.9.0"),
        ('VERSION_MAJOR = "22.05"\nVERSION_MINOR = "1"\n', "22.5.1"),
        ("VERSION_MAJOR = '26.2'\nVERSION_MINOR = 'dev0'\n", "26.2.dev0"),
        ('VERSION_MAJOR = "26.0"\nVERSION_MINOR = "3.dev0"\n', "26.0.3.dev0"),
    ],
)
def test_numbers(source: str, expected: str) -> None:
    assert number(source) == expected


@pytest.mark.parametrize("source", ["# nothing", 'VERSION = "1"', 'VERSION_MAJOR = "dev"'])
def test_what_says_no_number(source: str) -> None:
    with pytest.raises(ValueError, match=re.escape(source)):
        number(source)


def test_branches_tags_and_commits(origin: Origin) -> None:
    first = origin.galaxy(MODERN)
    origin.git("tag", "-a", "-m", "x", "v26.1.2")
    origin.git("tag", "light")
    origin.git("branch", "release/26.1")
    second = origin.commit()
    repository = Repository(str(origin.path))
    assert repository.resolve("dev") == second
    assert repository.resolve("release/26.1") == first
    # The commit, and not the object that the tag is.
    assert repository.resolve("v26.1.2") == first
    assert repository.resolve("light") == first
    assert repository.resolve(first) == first
    # A branch comes before a tag of its name, as it does in Git.
    origin.git("tag", "dev", first)
    assert repository.resolve("dev") == second
    # What it stands for is asked anew.
    third = origin.commit()
    assert repository.resolve("dev") == third


@pytest.mark.parametrize("name", ["release_26.1", "ev", "0123abcd", "HEAD"])
def test_what_it_does_not_have(origin: Origin, name: str) -> None:
    origin.galaxy(MODERN)
    with pytest.raises(CheckoutError, match=rf'galaxy_commit_id: "{name}": is no branch and no tag .* 40 digits'):
        Repository(str(origin.path)).resolve(name)


def test_a_commit_that_it_does_not_have(origin: Origin) -> None:
    origin.galaxy(MODERN)
    with pytest.raises(CheckoutError, match=f'galaxy_commit_id: "{"a" * 40}": it cannot be had from'):
        Repository(str(origin.path)).look("a" * 40)


@pytest.mark.parametrize("address", ["/nonexistent/galaxy", "file:///nonexistent/galaxy"])
def test_what_is_no_repository(address: str) -> None:
    with pytest.raises(CheckoutError, match=f'galaxy_repo: "{address}": it cannot be read: fatal: '):
        Repository(address).resolve("dev")


def test_passwords_are_not_shown() -> None:
    with pytest.raises(CheckoutError) as caught:
        Repository("http://me:hunter2@127.0.0.1:1/galaxy.git").resolve("dev")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_no_program_is_an_address(tmp_path: Path) -> None:
    with pytest.raises(CheckoutError, match="cannot be read"):
        Repository(f"ext::touch {tmp_path}/ran").resolve("dev")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["lib/galaxy/version.py", "lib/galaxy/version/__init__.py"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_a_commit_is(origin: Origin, where: str, scheme: str) -> None:
    commit = origin.galaxy(MODERN, where)
    origin.commit(later="x")
    assert Repository(f"{scheme}{origin.path}").look(commit) == Checkout(commit, "26.1.2", "mako==1.3.10\n")


def test_a_commit_with_a_client(origin: Origin) -> None:
    origin.galaxy(MODERN)
    commit = origin.commit(**{"static/dist/analysis.js": ""})
    assert Repository(str(origin.path)).look(commit).client == {}


@pytest.mark.parametrize(
    "files, words",
    [
        ({"README": "x"}, "is no Galaxy to install: it has no lib/galaxy/version.py"),
        ({"lib/galaxy/version.py": CLASSIC}, f"it has no {REQUIREMENTS}"),
        ({"lib/galaxy/version.py": "x", REQUIREMENTS: "x"}, "lib/galaxy/version.py says no release"),
    ],
)
def test_what_is_no_galaxy(origin: Origin, files: dict[str, str], words: str) -> None:
    commit = origin.commit(**files)
    with pytest.raises(CheckoutError, match=f"galaxy_repo: .*{words}"):
        Repository(str(origin.path)).look(commit)


def test_files_are_laid_out_for_all_to_read_and_nothing_else(origin: Origin, tmp_path: Path) -> None:
    origin.galaxy(MODERN)
    (origin.path / "static").symlink_to("lib")
    commit = origin.commit(**{"scripts/galaxy-main": "x"})
    target = tmp_path / "release" / "galaxy"
    mask = os.umask(0o077)
    try:
        Repository(str(origin.path)).lay_out(commit, str(target))
    finally:
        os.umask(mask)
    assert sorted(path.name for path in target.iterdir()) == ["lib", "run.sh", "scripts", "static"]
    assert (target / "static").is_symlink()
    assert (target / "scripts" / "galaxy-main").stat().st_mode & 0o777 == 0o644
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_somebody_elses(origin: Origin) -> None:
    commit = origin.galaxy(MODERN)
    for path in (origin.path, *origin.path.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    for address in (str(origin.path), f"file://{origin.path}", f"{origin.path}/.git"):
        assert Repository(address).resolve("dev") == commit


def test_a_commit_that_a_release_was_built_of(tmp_path: Path) -> None:
    marks = {
        "1": {"galaxy": "26.1.1"},
        "2": {"galaxy": "26.1.2", "checkout": {"commit": "a" * 40, "client": {"package": "x"}}},
    }
    for name, mark in marks.items():
        requirements = tmp_path / name / "galaxy" / REQUIREMENTS
        requirements.parent.mkdir(parents=True)
        requirements.write_text("mako\n")
        (tmp_path / name / "release.json").write_text(json.dumps(mark))
    (tmp_path / "3").mkdir()
    assert find_built(str(tmp_path), "a" * 40) == Checkout("a" * 40, "26.1.2", "mako\n", {"package": "x"})
    assert find_built(str(tmp_path), "b" * 40) is None
    assert find_built(str(tmp_path / "none"), "a" * 40) is None
