# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Galaxy of which there is no package: one commit of a Git repository.

Runs on the target. Nothing is left of what is fetched to look at it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import subprocess
import tempfile
import typing as t
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import mask_urls, shown

# Where Galaxy says which one it is: since 25.1 version is a package.
VERSION_FILES = ("lib/galaxy/version.py", "lib/galaxy/version/__init__.py")
REQUIREMENTS = "lib/galaxy/dependencies/pinned-requirements.txt"
# A client that somebody has built and committed.
CLIENT = "static/dist"
VERSION_PART = re.compile(r"""^VERSION_(?P<part>MAJOR|MINOR)\s*=\s*(?:["'](?P<text>[\w.]*)["']|None)""", re.MULTILINE)
# What a release has the tree of its commit in.
TREE = "galaxy"

COMMIT = re.compile(r"[0-9a-f]{40}")
# Git asks nobody, and takes no program for an address.
ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_ASKPASS": "/bin/true",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}


class CheckoutError(Exception):
    """There is no such Galaxy; the message is for a person."""


@dataclass(frozen=True)
class Checkout:
    """A commit, and what a release has to know of it before it is built."""

    commit: str
    # As PyPI would number it.
    release: str
    # The packages that it wants, with their versions.
    requirements: str
    # Where its client is to be had; nothing if it has that itself, None if nobody has asked yet.
    client: dict[str, str] | None = None

    def facts(self) -> dict[str, t.Any]:
        """Return all of it by name."""
        return asdict(self)


def number(source: str) -> str:
    """Return the number of a release, as PyPI has it (20.5.0), from the source of galaxy.version (20.05)."""
    parts = {found["part"]: found["text"] or "0" for found in VERSION_PART.finditer(source)}
    year, _dot, month = parts.get("MAJOR", "").partition(".")
    if not (year.isdigit() and month.isdigit()):
        raise ValueError(source)
    return "%d.%d.%s" % (int(year), int(month), parts.get("MINOR", "0"))


def find_built(releases: str, commit: str) -> Checkout | None:
    """Return what is known of a commit from a release that was built of it, or None."""
    for path in sorted(glob.glob(os.path.join(glob.escape(releases), "*", "release.json"))):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            mark = json.loads(_read(path))
            if mark["checkout"]["commit"] == commit:
                requirements = _read(os.path.join(os.path.dirname(path), TREE, REQUIREMENTS))
                return Checkout(commit, mark["galaxy"], requirements, mark["checkout"]["client"])
    return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


class Repository:
    """A Git repository, by its address or its path on this machine."""

    def __init__(self, address: str, work: str | None = None) -> None:
        self.address = address
        self._work = work

    def _git(self, directory: str, *arguments: str) -> str:
        """Run Git in a directory of its own, whose configuration is the only one that it reads."""
        config = os.path.join(directory, "dagobah.config")
        if not os.path.exists(config):
            with open(config, "w", encoding="utf-8") as stream:
                # The repository may be somebody else's. Who names it here, trusts it.
                place = re.sub(r"^file://(?=/)", "", self.address).rstrip("/")
                for path in (place, os.path.join(place, ".git")):
                    stream.write("[safe]\n\tdirectory = %s\n" % json.dumps(path))
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**os.environ, **ENVIRONMENT, "GIT_CONFIG_GLOBAL": config},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["git ended with %d" % done.returncode]
            reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
            raise CheckoutError(mask_urls(reason))
        return done.stdout

    def resolve(self, name: str) -> str:
        """Return the commit that a branch, a tag or a commit in full stands for at this moment."""
        patterns = ["refs/heads/%s" % name, "refs/tags/%s^{}" % name, "refs/tags/%s" % name]
        with self._directory() as directory:
            try:
                lines = self._git(directory, "ls-remote", "--", self.address, *patterns).splitlines()
            except CheckoutError as error:
                raise CheckoutError("galaxy_repo: %s: it cannot be read: %s" % (shown(self.address), error)) from error
        commits = {ref: commit for commit, _tab, ref in (line.partition("\t") for line in lines)}
        for pattern in patterns:
            if pattern in commits:
                return commits[pattern]
        if COMMIT.fullmatch(name):
            return name
        raise CheckoutError(
            "galaxy_commit_id: %s: is no branch and no tag of %s; a commit has to be given in full, with 40 digits"
            % (shown(name), shown(self.address))
        )

    def look(self, commit: str) -> Checkout:
        """Return what a commit is."""
        with self._fetched(commit, "--filter=blob:none") as git:
            names = git("ls-tree", "--name-only", commit, "--", *VERSION_FILES, REQUIREMENTS, CLIENT).splitlines()
            found = [name for name in VERSION_FILES if name in names]
            where = "%s at %s" % (shown(self.address), commit)
            if not found or REQUIREMENTS not in names:
                missing = REQUIREMENTS if found else VERSION_FILES[0]
                raise CheckoutError("galaxy_repo: %s is no Galaxy to install: it has no %s" % (where, missing))
            try:
                release = number(git("show", "%s:%s" % (commit, found[0])))
            except ValueError as error:
                raise CheckoutError("galaxy_repo: %s: %s says no release" % (where, found[0])) from error
            requirements = git("show", "%s:%s" % (commit, REQUIREMENTS))
            return Checkout(commit, release, requirements, {} if CLIENT in names else None)

    def lay_out(self, commit: str, target: str) -> None:
        """Write the files of a commit into a directory, for all to read, without Git's own."""
        os.umask(0o022)
        os.makedirs(target)
        with self._fetched(commit) as git:
            git("-c", "core.bare=false", "--work-tree=%s" % target, "checkout", "--quiet", "--detach", commit)

    @contextlib.contextmanager
    def _directory(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="galaxy-checkout-", dir=self._work) as directory:
            yield directory

    @contextlib.contextmanager
    def _fetched(self, commit: str, *options: str) -> Iterator[t.Callable[..., str]]:
        """Fetch a commit without its history, and yield what runs Git on it."""
        with self._directory() as directory:

            def git(*arguments: str) -> str:
                return self._git(directory, "--git-dir=%s" % os.path.join(directory, "git"), *arguments)

            self._git(directory, "init", "--quiet", "--bare", "git")
            git("remote", "add", "origin", "--", self.address)
            try:
                git("fetch", "--quiet", "--depth=1", *options, "origin", commit)
            except CheckoutError as error:
                raise CheckoutError(
                    "galaxy_commit_id: %s: it cannot be had from %s: %s" % (shown(commit), shown(self.address), error)
                ) from error
            yield git
