# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several instances on one machine: what each needs for itself, and what those of one site have to agree on."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    account,
    database_connection,
    nginx_listens,
    sockets,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import DIRECTORIES, inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import shown

# Names under which an instance is known to the machine.
NAMES = ("galaxy_instance_name", "galaxy_root", "galaxy_supervisor_group")
# What stands in the part of nginx's site that its instances share.
OF_THE_SITE = (
    "nginx_listen",
    "nginx_server_names",
    "nginx_server_directives",
    "nginx_tls",
    "nginx_tls_listen",
    "nginx_tls_certificate",
    "nginx_tls_key",
    "nginx_login_rate",
    "nginx_upload_rate",
    "nginx_hsts_max_age",
    "nginx_security_headers",
)


def check_instances(instances: Mapping[str, Variables]) -> list[Problem]:
    """Return what is wrong between the instances of one machine, given as variables by host."""
    return [
        found
        for (name, one), (other_name, other) in itertools.combinations(sorted(instances.items()), 2)
        for found in _check_pair(f"{name} and {other_name}", one, other)
    ]


def _check_pair(both: str, one: Variables, other: Variables) -> Iterator[Problem]:
    where = f"{both} are on one machine"
    for name in NAMES:
        if name in one and one[name] == other.get(name):
            yield problem(f"{where}: {name}", one[name], "each needs one of its own")
    yield from _check_directories(where, one, other)
    name, database = database_connection(one)
    if database is not None and database == database_connection(other)[1]:
        yield problem(f"{where}: {name}", database, "each needs a database of its own")
    others = {socket for _where, socket in sockets(other)}
    for name, socket in sockets(one):
        if socket in others:
            yield problem(f"{where}: {name}", socket, "each needs a socket of its own")
    if one.get("galaxy_config_group") == other.get("galaxy_config_group") and account(one) != account(other):
        yield problem(
            f"{where}: galaxy_config_group",
            one.get("galaxy_config_group"),
            "its members read the configuration, with the secrets; while galaxy_user differs, so must the group",
        )
    yield from _check_site(where, one, other)


def _check_directories(where: str, one: Variables, other: Variables) -> Iterator[Problem]:
    if one.get("galaxy_root") == other.get("galaxy_root"):
        return  # Said already, and all others follow from it.
    for mine, theirs in itertools.product(DIRECTORIES, DIRECTORIES):
        first, second = one.get(mine), other.get(theirs)
        if isinstance(first, str) and isinstance(second, str) and (inside(first, second) or inside(second, first)):
            yield problem(
                f"{where}: {mine}", first, f"and {theirs} ({second}) lie in each other; they have to lie apart"
            )


def _check_site(where: str, one: Variables, other: Variables) -> Iterator[Problem]:
    site = one.get("nginx_site")
    if site is not None and site == other.get("nginx_site"):
        for name in OF_THE_SITE:
            if one.get(name) != other.get(name):
                yield problem(
                    f"{where}: {name}",
                    one.get(name),
                    f"differs from {shown(other.get(name))}, and both are in one site (nginx_site: {site}), which has"
                    " one; set it alike, or give each a site of its own",
                )
        if one.get("galaxy_url_prefix") == other.get("galaxy_url_prefix"):
            yield problem(
                f"{where}: galaxy_url_prefix",
                one.get("galaxy_url_prefix"),
                f"both are in one site (nginx_site: {site}); each needs a path of its own in it",
            )
        return
    for listen, name in sorted(_addresses(one) & _addresses(other)):
        yield problem(
            f"{where}: nginx_server_names",
            name,
            f"both answer to it at {listen}, and nginx would ask one of them only; give each a name or a port of its"
            " own, or put both into one site (nginx_site) with a galaxy_url_prefix each",
        )


def _addresses(variables: Variables) -> set[tuple[str, str]]:
    names: list[t.Any] = variables.get("nginx_server_names") or []
    return {(item.split(" ", maxsplit=1)[0], str(name)) for _where, item in nginx_listens(variables) for name in names}
