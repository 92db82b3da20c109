# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two instances on one machine."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.instances import check_instances


def instance(name: str, **changes: t.Any) -> dict[str, t.Any]:
    root = changes.get("galaxy_root", f"/srv/{name}")
    return {
        "galaxy_instance_name": name,
        "galaxy_user": name,
        "galaxy_config_group": f"{name}-config",
        "galaxy_root": root,
        "galaxy_server_dir": f"{root}/server",
        "galaxy_venv_dir": f"{root}/venv",
        "galaxy_releases_dir": f"{root}/releases",
        "galaxy_config_dir": f"{root}/config",
        "galaxy_mutable_data_dir": f"{root}/data",
        "galaxy_mutable_config_dir": f"{root}/data/config",
        "galaxy_log_dir": f"{root}/log",
        "galaxy_run_dir": f"{root}/run",
        "galaxy_database_connection": f"postgresql:///{name}",
        "galaxy_supervisor_group": f"gx-{name}",
        "galaxy_url_prefix": "/",
        "uwsgi_socket": f"/srv/{name}/run/uwsgi.sock",
        "nginx_site": name,
        "nginx_listen": ["80"],
        "nginx_server_names": [f"{name}.example.org"],
        "nginx_server_directives": [],
        **changes,
    }


def messages(**changes: t.Any) -> list[str]:
    """What is wrong with two instances, of which the second differs from a good one."""
    return [found.text for found in check_instances({"a": instance("one"), "b": instance("two", **changes)})]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nginx_site": "one", "nginx_server_names": ["one.example.org"], "galaxy_url_prefix": "/two"},
        {"nginx_listen": ["8080"], "nginx_server_names": ["one.example.org"]},
        {"galaxy_user": "one", "galaxy_config_group": "one-config"},
    ],
    ids=["a name each", "one site, a path each", "a port each", "one account for both"],
)
def test_they_get_along(changes: dict[str, t.Any]) -> None:
    assert messages(**changes) == []


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"galaxy_instance_name": "one"}, 'galaxy_instance_name: "one": each needs one of its own'),
        ({"galaxy_root": "/srv/one"}, 'galaxy_root: "/srv/one": each needs one of its own'),
        ({"galaxy_supervisor_group": "gx-one"}, 'galaxy_supervisor_group: "gx-one": each needs'),
        ({"galaxy_log_dir": "/srv/one/data/log"}, "galaxy_log_dir (/srv/one/data/log) lie in each other"),
        ({"galaxy_database_connection": "postgresql:///one"}, "galaxy_database_connection: "),
        (
            {"galaxy_config": {"galaxy": {"database_connection": "postgresql:///one"}}},
            '"postgresql:///one": each needs a database of its own',
        ),
        ({"uwsgi_socket": "/srv/one/run/uwsgi.sock"}, "each needs a socket of its own"),
        ({"uwsgi_socket": ["127.0.0.1:1", "/srv/one/run/uwsgi.sock"]}, "each needs a socket of its own"),
        ({"galaxy_config": {"uwsgi": {"socket": "/srv/one/run/uwsgi.sock"}}}, "each needs a socket of its own"),
        ({"galaxy_config_group": "one-config"}, "while galaxy_user differs, so must the group"),
        ({"nginx_server_names": ["one.example.org", "x"]}, '"one.example.org": both answer to it at 80'),
        ({"nginx_site": "one", "galaxy_url_prefix": "/two"}, 'nginx_server_names: ["one.example.org"]: differs from'),
        (
            {"nginx_site": "one", "nginx_server_names": ["one.example.org"]},
            'galaxy_url_prefix: "/": both are in one site (nginx_site: one)',
        ),
    ],
)
def test_they_do_not(changes: dict[str, t.Any], words: str) -> None:
    found = messages(**changes)
    assert any(words in text for text in found), found
    assert all(text.startswith("a and b are on one machine: ") for text in found)


def test_each_pair_of_three_is_looked_at() -> None:
    names = ["one", "two", "three"]
    found = check_instances({name: instance(name, galaxy_supervisor_group="gx") for name in names})
    assert [problem.text.split(" are on")[0] for problem in found] == ["one and three", "one and two", "three and two"]
