# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and databases of PostgreSQL besides Galaxy's, and what is said of Galaxy's own."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    account,
    database_connection,
    is_sqlite,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.database_url import parse_database_url
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.postgresql_objects import is_absent, user_privileges
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def check_objects(variables: Variables) -> Iterator[Problem]:
    """Check the roles, groups, databases and privileges."""
    yield from _check_twice(variables, "postgresql_objects_databases")
    yield from _check_twice(variables, "postgresql_objects_users", "postgresql_objects_groups")
    for number, user in enumerate(variables.get("postgresql_objects_users") or []):
        try:
            user_privileges(user)
        except InputError as error:
            yield Problem(f"postgresql_objects_users[{number}] ({user['name']}): {error}")
    yield from _check_own(variables)


def _check_twice(variables: Variables, *names: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for variable in names:
        for number, item in enumerate(variables.get(variable) or []):
            if item["name"] in seen:
                yield problem(f"{variable}[{number}].name", item["name"], "is given twice")
            seen.add(item["name"])


def _check_own(variables: Variables) -> Iterator[Problem]:
    """Check that nothing takes away what Galaxy itself lives on."""
    role = str(account(variables).get("name"))
    for variable in ("postgresql_objects_users", "postgresql_objects_groups"):
        for number, item in enumerate(variables.get(variable) or []):
            if item["name"] == role and is_absent(item):
                yield problem(
                    f"{variable}[{number}].state", "absent", f"Galaxy itself connects as {role}; leave it out"
                )
            elif item["name"] == role and variable == "postgresql_objects_groups":
                yield problem(f"{variable}[{number}].name", role, "is the role that Galaxy itself connects as")
    url = database_connection(variables)[1]
    if not isinstance(url, str) or is_sqlite(variables):
        return
    try:
        database = parse_database_url(url)
    except ValueError:
        return
    for number, item in enumerate(variables.get("postgresql_objects_databases") or []):
        where = f"postgresql_objects_databases[{number}]"
        if not database["local"] or item["name"] != database["database"]:
            continue
        if is_absent(item):
            yield problem(f"{where}.state", "absent", f"Galaxy's own data are in {item['name']}; leave it out")
        elif item.get("owner", role) != role:
            yield problem(f"{where}.owner", item["owner"], f"has to be {role}, as which Galaxy itself connects")
