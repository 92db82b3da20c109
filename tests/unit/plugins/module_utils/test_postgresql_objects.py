# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of what is done in PostgreSQL."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.postgresql_objects import Item, ordered, user_privileges
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError


def steps(**given: list[Item]) -> dict[str, list[Item]]:
    lists: dict[str, list[Item]] = {"users": [], "groups": [], "databases": [], "privileges": [], **given}
    return ordered(**lists, own_role="galaxy", own_database="galaxy")


def test_galaxys_own_are_there_without_being_named() -> None:
    found = steps()
    assert found["roles"] == [{"name": "galaxy"}]
    assert found["databases"] == [{"name": "galaxy", "owner": "galaxy"}]
    assert [found[name] for name in ("revoked", "dropped", "memberships", "granted")] == [[]] * 4


def test_what_the_exercises_name_is_done_once() -> None:
    found = steps(users=[{"name": "galaxy"}], databases=[{"name": "galaxy", "owner": "galaxy"}])
    assert found == steps()


def test_what_is_said_of_galaxys_own_is_added_to_it() -> None:
    found = steps(
        users=[{"name": "b"}, {"name": "galaxy", "role_attr_flags": "NOCREATEDB"}],
        databases=[{"name": "x"}, {"name": "galaxy", "lc_collate": "C"}],
    )
    assert found["roles"] == [{"name": "galaxy", "role_attr_flags": "NOCREATEDB"}, {"name": "b"}]
    assert found["databases"] == [{"name": "galaxy", "lc_collate": "C", "owner": "galaxy"}, {"name": "x"}]


def test_what_is_absent_is_taken_away_and_nothing_else() -> None:
    found = steps(
        users=[{"name": "old", "state": "absent", "db": "x", "priv": "CONNECT"}],
        databases=[{"name": "gone", "state": "absent"}, {"name": "kept", "state": "present"}],
        privileges=[
            {"database": "x", "roles": "a", "privs": "ALL", "state": "absent"},
            {"database": "x", "roles": "b", "privs": "ALL"},
        ],
    )
    assert [item["roles"] for item in found["revoked"]] == ["a"]
    assert [item["name"] for item in found["dropped"]] == ["gone"]
    assert [item["name"] for item in found["databases"]] == ["galaxy", "kept"]
    # Nobody grants anything to a role that goes.
    assert [item["roles"] for item in found["granted"]] == ["b"]
    assert {"name": "old", "state": "absent"} in found["roles"]


def test_groups_are_roles_with_members() -> None:
    found = steps(
        users=[{"name": "a"}],
        groups=[
            {"name": "readers", "users": [{"name": "a"}, {"name": "b", "state": "absent"}]},
            {"name": "gone", "state": "absent", "users": [{"name": "a"}]},
        ],
    )
    assert [item["name"] for item in found["roles"]] == ["galaxy", "a", "readers", "gone"]
    # A role that goes takes its memberships along.
    assert found["memberships"] == [
        {"group": "readers", "user": "a", "state": "present"},
        {"group": "readers", "user": "b", "state": "absent"},
    ]


@pytest.mark.parametrize(
    "priv, expected",
    [
        ("ALL", [("database", None, "ALL")]),
        ("CONNECT/TEMP", [("database", None, "CONNECT,TEMP")]),
        ("bar:ALL", [("table", "bar", "ALL")]),
        ("t:SELECT, INSERT / CONNECT", [("database", None, "CONNECT"), ("table", "t", "SELECT,INSERT")]),
    ],
)
def test_privileges_of_users(priv: str, expected: list[tuple[str, t.Any, str]]) -> None:
    found = user_privileges({"name": "a", "db": "x", "priv": priv})
    assert [(item["type"], item.get("objs"), item["privs"]) for item in found] == expected
    assert {(item["database"], item["roles"]) for item in found} == {("x", "a")}


@pytest.mark.parametrize(
    "user", [{"priv": "ALL"}, *({"db": "x", "priv": priv} for priv in ("a:", "/", "a b", "a:b:c", "1"))]
)
def test_what_is_no_privilege(user: Item) -> None:
    with pytest.raises(InputError):
        user_privileges({"name": "a", **user})


def test_a_user_without_privileges() -> None:
    assert user_privileges({"name": "a", "db": "x"}) == []
