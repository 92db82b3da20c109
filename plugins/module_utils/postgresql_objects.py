# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be in PostgreSQL, from the variables postgresql_objects_*, in the order in which it has to be done."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

Item = dict[str, t.Any]

# A user's privileges, as older versions of postgresql_user took them: CONNECT/TEMP of the database, TABLE:SELECT,INSERT
# of a table, with slashes between them.
PRIVILEGE = re.compile(r"(?:(?P<table>[^:/\s]+):)?(?P<privileges>[A-Za-z]+(?:\s*,\s*[A-Za-z]+)*)")

ROLE_KEYS = ("name", "password", "role_attr_flags", "encrypted", "state")


def user_privileges(user: Item) -> list[Item]:
    """Return the privileges that a user is given with db and priv."""
    database, text = user.get("db"), user.get("priv")
    if not text:
        return []
    if not database:
        raise InputError("priv has to come with db, the database that it is about")
    common = {"database": database, "roles": user["name"]}
    result: list[Item] = []
    of_database: list[str] = []
    for part in str(text).split("/"):
        found = PRIVILEGE.fullmatch(part.strip())
        if not found:
            raise InputError(
                f"priv: {text}: has to be privileges of the database and TABLE:PRIVILEGES with slashes between them,"
                " such as CONNECT/books:SELECT,INSERT"
            )
        privileges = re.sub(r"\s", "", found["privileges"])
        if found["table"]:
            result.append(
                {
                    "database": database,
                    "roles": user["name"],
                    "objs": found["table"],
                    "type": "table",
                    "privs": privileges,
                }
            )
        else:
            of_database.append(privileges)
    if of_database:
        result.insert(0, {**common, "type": "database", "privs": ",".join(of_database)})
    return result


def is_absent(item: Item) -> bool:
    """Tell whether an item is to be taken away."""
    return str(item.get("state", "present")) == "absent"


def with_own(own: Item, items: list[Item]) -> list[Item]:
    """Return the items, with Galaxy's own first. What is said of it under its name is added to it."""
    said = next((item for item in items if item["name"] == own["name"]), {})
    return [{**said, **own}, *(item for item in items if item["name"] != own["name"])]


def ordered(
    users: list[Item],
    groups: list[Item],
    databases: list[Item],
    privileges: list[Item],
    own_role: str,
    own_database: str,
) -> dict[str, list[Item]]:
    """Return what is to be done, by the names of the steps.

    Privileges are taken away before what they are about, and databases before the roles that own them; roles come
    before groups that they are members of, and before their databases.
    """
    all_databases = with_own({"name": own_database, "owner": own_role}, databases)
    all_roles = with_own({"name": own_role}, users) + groups
    granted = [item for user in users if not is_absent(user) for item in user_privileges(user)]
    return {
        "revoked": [item for item in privileges if is_absent(item)],
        "dropped": [item for item in all_databases if is_absent(item)],
        "roles": [{key: item[key] for key in ROLE_KEYS if key in item} for item in all_roles],
        "memberships": [
            {"group": group["name"], "user": member["name"], "state": "absent" if is_absent(member) else "present"}
            for group in groups
            if not is_absent(group)
            for member in group.get("users") or []
        ],
        "databases": [item for item in all_databases if not is_absent(item)],
        "granted": granted + [item for item in privileges if not is_absent(item)],
    }
