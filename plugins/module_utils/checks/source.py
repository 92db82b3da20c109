# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Galaxy comes from: PyPI, or a Git repository."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.classic import FROM_PYPI, is_classic
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import (
    describe_unknown,
    proved_releases,
    release_number,
)

RELEASE = re.compile(r"(?P<year>[0-9]{2})\.(?P<minor>[0-9]{1,2})\.(?P<patch>[0-9]+)")
# As Git takes them: an address, ssh's short form of one (user@host:path), or a path.
REPOSITORY = re.compile(r"((file|git|https?|ssh)://|[\w.-]+@[\w.-]+:|/)\S+")
# What Git takes for the name of a branch, a tag or a commit, and no option and no pattern.
REVISION = re.compile(r"(?!/)(?!.*(\.\.|//|@\{|\.lock$))[\w.+#@%=,/-]*[\w+#@%=,-]")

# What only a Git repository has a use for.
OF_GIT = ("galaxy_repo", "galaxy_client_package")


def check_source(variables: Variables, platform: str = "") -> Iterator[Problem]:
    """Check what Galaxy is installed from, on a distribution such as Debian 12."""
    if variables.get("galaxy_install_method") == "git":
        yield from _check_git(variables)
    else:
        yield from _check_package(variables, platform)


def _check_git(variables: Variables) -> Iterator[Problem]:
    repository, commit = (str(variables.get(name) or "") for name in ("galaxy_repo", "galaxy_commit_id"))
    if not REPOSITORY.fullmatch(repository):
        yield problem(
            "galaxy_repo",
            repository,
            "galaxy_install_method is git, which needs the address of a repository, such as"
            " https://github.com/galaxyproject/galaxy.git, or its full path on the machine",
        )
    if not REVISION.fullmatch(commit) or commit.startswith("-"):
        yield problem(
            "galaxy_commit_id",
            commit,
            "galaxy_install_method is git, which needs a branch, a tag or a commit, such as release_26.1",
        )


def _check_package(variables: Variables, platform: str) -> Iterator[Problem]:
    for name in OF_GIT:
        if variables.get(name):
            yield problem(
                name, variables[name], "is for galaxy_install_method git, and that is package; remove it, or choose git"
            )
    commit = str(variables.get("galaxy_commit_id") or "")
    release = variables.get("galaxy_release")
    if commit and RELEASE.fullmatch(release_number(commit)):
        yield problem(
            "galaxy_commit_id",
            commit,
            f"is taken for the release {release_number(commit)} from PyPI; name that as galaxy_release, or set"
            " galaxy_install_method to git",
            fatal=False,
        )
    elif commit:
        yield problem("galaxy_commit_id", commit, f"{describe_unknown(commit)}, or galaxy_install_method has to be git")
        return
    if release is not None:
        yield from _check_release(str(release), variables, platform)


def _check_release(release: str, variables: Variables, platform: str) -> Iterator[Problem]:
    if not RELEASE.fullmatch(release):
        yield problem("galaxy_release", release, describe_unknown(release))
        return
    if is_classic(release) and release not in FROM_PYPI and not variables.get("galaxy_requirements_file"):
        yield problem(
            "galaxy_release",
            release,
            f"has to be 22.5.0 or later, or {', '.join(FROM_PYPI)}: PyPI carries no other classic release whole"
            " (galaxy_requirements_file may name a lock file for one)",
        )
        return
    proved = [name for name, machines in proved_releases().items() if not platform or platform in machines]
    if release not in proved:
        where = f"on {platform} " if platform else ""
        yield problem(
            "galaxy_release",
            release,
            f"is not among the releases that are proved {where}({', '.join(proved)}); it may work all the same",
            fatal=False,
        )
