# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and databases of PostgreSQL besides Galaxy's, and what is said of Galaxy's own."""

from __future__ import annotations

import re
import typing as t
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

# What stands in SQL, in names of the machine and on the command lines of PostgreSQL's programs.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$-]{0,62}")
NAMES = "letters, digits and _ . $ -, up to 63"
FLAGS = re.compile(r"(NO)?(SUPERUSER|CREATEROLE|CREATEDB|INHERIT|LOGIN|REPLICATION|BYPASSRLS)", re.IGNORECASE)
TYPES = (
    *("table", "sequence", "function", "procedure", "database", "schema", "language", "tablespace", "type"),
    *("foreign_data_wrapper", "foreign_server", "default_privs", "group", "parameter"),
)
OBJECTS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$:()\[\], -]*")

# (pattern of each word, whether there may be several with commas between them, what is allowed) by the name of a key
Rule = tuple[re.Pattern[str], bool, str]
NAME_RULE: Rule = (NAME, False, f"a name of {NAMES}")
NAMES_RULE: Rule = (NAME, True, f"names of {NAMES}, with commas between them")
FLAGS_RULE: Rule = (FLAGS, True, "flags such as CREATEDB and NOLOGIN, with commas between them")
RULES: dict[str, dict[str, Rule]] = {
    "postgresql_objects_users": {"name": NAME_RULE, "db": NAME_RULE, "role_attr_flags": FLAGS_RULE},
    "postgresql_objects_groups": {"name": NAME_RULE, "role_attr_flags": FLAGS_RULE},
    "postgresql_objects_databases": dict.fromkeys(
        ("name", "owner", "encoding", "template", "lc_collate", "lc_ctype"), NAME_RULE
    ),
    "postgresql_objects_privileges": {
        "database": NAME_RULE,
        "roles": NAMES_RULE,
        "type": (re.compile("|".join(TYPES)), False, f"one of {', '.join(TYPES)}"),
        "objs": (OBJECTS, False, "names, with commas between them"),
        "privs": (re.compile(r"[A-Za-z0-9_.$ -]+"), True, "privileges, with commas between them"),
        "schema": NAME_RULE,
    },
}


def check_objects(variables: Variables) -> Iterator[Problem]:
    """Check the roles, groups, databases and privileges."""
    for variable, rules in RULES.items():
        for number, item in enumerate(variables.get(variable) or []):
            yield from _check_words(f"{variable}[{number}]", item, rules)
            for place, member in enumerate(item.get("users") or []):
                yield from _check_words(f"{variable}[{number}].users[{place}]", member, {"name": NAME_RULE})
            password = str(item.get("password") or "")
            if re.search(r"[\x00-\x1f\x7f]", password):
                where = f"{variable}[{number}].password"
                yield problem(where, password, "may hold no control character", secret=True)
    yield from _check_twice(variables, "postgresql_objects_databases")
    yield from _check_twice(variables, "postgresql_objects_users", "postgresql_objects_groups")
    for number, user in enumerate(variables.get("postgresql_objects_users") or []):
        try:
            user_privileges(user)
        except InputError as error:
            yield Problem(f"postgresql_objects_users[{number}] ({user['name']}): {error}")
    yield from _check_own(variables)


def _check_words(where: str, item: dict[str, t.Any], rules: dict[str, Rule]) -> Iterator[Problem]:
    for key, (pattern, several, allowed) in rules.items():
        value = item.get(key)
        if value is None:
            continue
        words = re.split(r"\s*,\s*", str(value)) if several else [str(value)]
        if not all(pattern.fullmatch(word) for word in words):
            yield problem(f"{where}.{key}", value, f"has to be {allowed}")


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
