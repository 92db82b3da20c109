# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be wrong with an instance's variables and can be told without looking at a machine.

Each function takes the variables of one host as plain values and returns a list of problems.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.argument_types import check_types
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.database import check_database
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.files import check_files
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.galaxy import (
    check_downloads,
    check_galaxy,
    check_owned,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec, Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.jobs import Files, check_jobs
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.listening import (
    check_http,
    check_nginx,
    check_ports,
    check_tls,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.names import check_names
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import check_directories
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.postgresql import check_objects
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.source import check_source
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.uwsgi_options import (
    check_config_method,
    check_sections,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.values import check_values
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem


def check(
    specs: Mapping[str, Spec],
    values: Variables,
    names: Iterable[str] = (),
    release: dict[str, t.Any] | None = None,
    files: Files | None = None,
    foreign: Mapping[str, t.Any] | None = None,
    platform: str = "",
    made_from: Mapping[str, Iterable[str]] | None = None,
    known: Iterable[Problem] = (),
) -> list[Problem]:
    """Return everything that is wrong with a host's variables.

    ``values`` are the variables of the specs, ``names`` those of all variables of the host, ``release`` is
    what the release in galaxy_release knows, if the collection has a table of it, ``files`` are the user's own, and
    ``foreign`` values of variables that other collections have. ``platform`` is the host's distribution.
    ``made_from`` are the variables that stand in the defaults of those that nobody has given, and ``known`` is what
    has been found to be wrong before.
    """
    problems, good = check_types(specs, values)
    problems += known
    problems += check_names(names, specs, good, foreign or {})
    problems += check_values(good, specs)
    problems, good = _without_consequences(problems, good, made_from or {})
    problems += check_source(good, platform)
    problems += check_nginx(good)
    problems += check_tls(good)
    problems += check_directories(good)
    problems += check_ports(good)
    problems += check_http(good)
    problems += check_database(good)
    problems += check_objects(good)
    problems += check_sections(good)
    problems += check_config_method(good)
    problems += check_owned(good)
    problems += check_files(good)
    problems += check_downloads(good)
    problems += check_galaxy(good, release)
    problems += check_jobs(good, release, files or {})
    problems = _without_consequences(problems, good, made_from or {})[0]
    # One value may be wrong in the eyes of several checks, in the same words.
    return list(dict.fromkeys(problems))


def _without_consequences(
    problems: list[Problem], variables: Variables, made_from: Mapping[str, Iterable[str]]
) -> tuple[list[Problem], Variables]:
    """Leave out what is wrong with a variable only because of what its default is made from.

    Return with it the variables that are right, so that others are not compared with those that are wrong.
    """
    wrong = {_variable(found) for found in problems if found.fatal}

    def follows(name: str) -> bool:
        return any(source in wrong or follows(source) for source in made_from.get(name, ()))

    return (
        [found for found in problems if not follows(_variable(found))],
        {name: value for name, value in variables.items() if name not in wrong and not follows(name)},
    )


def _variable(found: Problem) -> str:
    name = re.match(r"\w+", found.text)
    return name.group() if name else ""
