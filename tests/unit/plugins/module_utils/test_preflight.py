# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong input, each with what the message has to say: the variable, its value and what is allowed."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils import preflight
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.names import ONE_VALUE, RETIRED
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.uwsgi_options import COLLECTIONS_OWN
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_names import release_number

ROOT = Path(__file__).resolve().parents[4]
ROLES = ROOT / "roles"


def read_specs() -> dict[str, Spec]:
    specs: dict[str, Spec] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        specs.update(yaml.safe_load(path.read_text())["argument_specs"].get("main", {}).get("options") or {})
    return specs


def read_defaults() -> dict[str, t.Any]:
    """Return the defaults of all roles. The only templates in them are names of other variables."""
    defaults: dict[str, t.Any] = {}
    for path in sorted(ROLES.glob("*/defaults/main.yml")):
        defaults.update(yaml.safe_load(path.read_text()) or {})

    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, autoescape=False)  # noqa: S701 (no HTML)
    environment.filters["dagobah.galaxy.galaxy_release"] = release_number

    def fill(value: t.Any) -> t.Any:
        while isinstance(value, str) and "{{" in value:
            text = environment.from_string(value).render(defaults)
            value = int(text) if text.isdigit() else text
        return value

    # In their order: a condition needs the value of what it asks for, and not its template.
    for name, value in defaults.items():
        defaults[name] = fill(value)
    return defaults


SPECS = read_specs()
DEFAULTS = read_defaults()
RELEASE = json.loads((ROLES / "galaxy/files/releases/26.1.2/options.json").read_text())


def messages(changes: dict[str, t.Any], fatal: bool = True, release: t.Any = RELEASE, platform: str = "") -> list[str]:
    values = {**DEFAULTS, **changes}
    foreign = {name: value for name, value in changes.items() if name in {**RETIRED, **ONE_VALUE}}
    # What depends on it in the defaults.
    if "galaxy_root" in changes:
        for name, value in DEFAULTS.items():
            if name not in changes and isinstance(value, str) and value.startswith(DEFAULTS["galaxy_root"] + "/"):
                values[name] = str(changes["galaxy_root"]) + value[len(DEFAULTS["galaxy_root"]) :]
    found = preflight.check(
        SPECS,
        {name: value for name, value in values.items() if name in SPECS},
        names=values,
        release=release,
        foreign=foreign,
        platform=platform,
    )
    return [problem.text for problem in found if problem.fatal is fatal]


def app(**options: t.Any) -> dict[str, t.Any]:
    return {"galaxy_config": {"app:main": options}}


def test_the_defaults_are_in_order() -> None:
    assert messages({}) == []
    assert messages({}, fatal=False) == []


FINE = {
    "numbers from the command line": {"uwsgi_processes": "4", "galaxy_handlers": "3", "galaxy_create_user": "false"},
    "user as a dictionary": {
        "galaxy_user": {"name": "gx", "group": "gx", "home": "/home/gx", "shell": "/bin/bash", "uid": 900}
    },
    "external database": {"galaxy_database_connection": "postgresql://galaxy:s3cret@db.example.org:5432/galaxy"},
    "database with its driver": {"galaxy_database_connection": "postgresql+psycopg2:///galaxy"},
    "SQLite for one process": {
        "galaxy_database_connection": "sqlite:////srv/galaxy/data/universe.sqlite?isolation_level=IMMEDIATE",
        "uwsgi_processes": 1,
        "galaxy_handlers": 0,
    },
    "one process without handlers": {"uwsgi_processes": 1, "galaxy_handlers": 0},
    "mules of a classic release": {
        "galaxy_release": "20.5.0",
        "galaxy_handlers": 0,
        "uwsgi_options": {"mule": ["lib/galaxy/main.py"], "farm": ["job-handlers:1"], "py-call-osafterfork": True},
    },
    "one process that keeps jobs to itself": {
        "uwsgi_processes": 1,
        "galaxy_handlers": 0,
        "galaxy_job_config": {"handling": {"assign": ["mem-self"]}},
    },
    "web processes that run their jobs": {
        "galaxy_handlers": 0,
        "galaxy_job_config": {"handling": {"assign": ["db-self"]}},
    },
    "handlers in pools": {
        "galaxy_handlers": [{"name": "pool", "count": 2, "pools": ["job-handlers"]}],
        "galaxy_job_config": {"tools": [{"id": "a", "handler": "_default_"}]},
    },
    "schedulers of workflows": {
        "galaxy_handlers": ["handler0", {"name": "scheduler0", "jobs": False}],
        "galaxy_workflow_schedulers": ["scheduler0"],
    },
    "job configuration in Galaxy's section": app(
        job_config={"tools": [{"id": "a", "handler": "handler1"}], "handling": {"max_grab": 2}}
    ),
    "Unix socket": {"uwsgi_socket": "/srv/galaxy/run/uwsgi.sock"},
    "two sockets": {"uwsgi_socket": ["/srv/galaxy/run/uwsgi.sock", "127.0.0.1:4001"]},
    "options of the slides": {
        "galaxy_config": {
            "app:main": {"brand": "x"},
            "uwsgi": {
                "processes": 4,
                "threads": 2,
                "socket": "127.0.0.1:4002",
                "pythonpath": "lib",
                "master": True,
                "logto": "/srv/galaxy/log/uwsgi.log",
                "logfile-chmod": 644,
            },
        }
    },
    "options given repeatedly": {
        "uwsgi_options": {
            "static-map": ["/a=/b", "/c=/d"],
            "route": "^/x break:403",
            "attach-daemon2": ["cmd=a", "cmd=b"],
        }
    },
    "option of Debian's": {"uwsgi_install_method": "apt", "uwsgi_options": {"geoip-country": "/x"}},
    "placeholder on purpose": {
        "uwsgi_options": {"procname": "%(processes) of %n"},
        "uwsgi_placeholders": ["procname"],
    },
    "option of a plugin": {"uwsgi_options": {"plugin": "/opt/my_plugin.so", "my-option": 1}},
    "option that is made": {"uwsgi_options": {"declare-option": "my-own=static-map=$1", "my-own": "/a=/b"}},
    "IPv6": {"uwsgi_socket": "[::1]:4001", "nginx_listen": ["80", "[::]:80"]},
    "nginx by address": {"nginx_listen": ["127.0.0.1:8080", "*:81 default_server"]},
    "TLS of nobody's": {"nginx_tls": "self-signed", "nginx_tls_listen": ["443", "[::]:443"]},
    "TLS off, as YAML reads it": {"nginx_tls": False},
    "TLS by files": {
        "nginx_tls": "files",
        "nginx_server_names": ["*.example.org"],
        "nginx_tls_certificate": "/etc/ssl/certs/galaxy.pem",
        "nginx_tls_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
    },
    "TLS by an authority": {"nginx_tls": "acme", "nginx_server_names": ["galaxy.example.org"]},
    "no header at all": {"nginx_security_headers": {"Referrer-Policy": None, "X-Content-Type-Options": ""}},
    "the same port on another address": {"nginx_listen": ["192.0.2.1:4001"]},
    "HTTP beside nginx": {"uwsgi_http": "0.0.0.0:8080"},
    "HTTP alone": {"uwsgi_http": "[::]:8080", "uwsgi_socket": [], "nginx_listen": ["8080"]},
    "HTTP as on the slide": {"galaxy_config": {"uwsgi": {"http": ":8080", "http-processes": 2}}, "uwsgi_socket": ""},
    "several sockets": {"uwsgi_socket": ["/srv/galaxy/run/uwsgi.sock", "127.0.0.1:4001"]},
    "prefix": {"galaxy_url_prefix": "/a/galaxy"},
    "elsewhere": {"galaxy_root": "/opt/galaxy"},
    "logs beside the system's": {"galaxy_log_dir": "/var/log/galaxy"},
    "the exercises": {
        "galaxy_config": {
            "galaxy": {
                "brand": "My Galaxy",
                "admin_users": ["admin@example.org"],
                "database_connection": "postgresql:///galaxy?host=/var/run/postgresql",
                "file_path": "/srv/galaxy/data/objects",
                "job_config_file": "/srv/galaxy/config/job_conf.yml",
                "nginx_x_accel_redirect_base": "/_x_accel_redirect",
                "allow_user_impersonation": "True",
                "object_store_store_by": "uuid",
                "library_import_dir": "/libraries/admin",
                "database_engine_option_pool_size": 5,
            },
            "uwsgi": {"socket": "127.0.0.1:4001", "processes": 2, "threads": 2, "buffer-size": 16384, "master": True},
        }
    },
    "allowed unknown": {"galaxy_config": {"app:main": {"mine": 1}}, "galaxy_config_allow_unknown": "yes"},
    "uWSGI from source": {"uwsgi_install_method": "source", "uwsgi_options": {"cgi-mode": True, "legion": "x"}},
    "Debian's uWSGI": {"uwsgi_install_method": "apt"},
    "null takes out": {"galaxy_config": {"app:main": {"log_level": None}}},
    "further section": {"galaxy_config": {"filter:prefix": {"use": "egg:x"}}},
    "packages": {"galaxy_additional_venv_packages": ["drmaa", "watchdog[a,b]>=6,!=7; python_version < '3.13'"]},
    "slurm": {
        "galaxy_job_config": {
            "runners": {"slurm": {"load": "galaxy.jobs.runners.slurm:SlurmJobRunner", "workers": 2}},
            "execution": {"default": "slurm", "environments": {"slurm": {"runner": "slurm", "tags": ["a"]}}},
        }
    },
}


@pytest.mark.parametrize("changes", [pytest.param(changes, id=name) for name, changes in FINE.items()])
def test_right_input(changes: dict[str, t.Any]) -> None:
    assert messages(changes) == []


# What is changed, and the words that one message has to have.
WRONG: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    # Types
    "text for a number": ({"uwsgi_processes": "many"}, ["uwsgi_processes", '"many"', "whole number"]),
    "fraction for a number": ({"uwsgi_threads": 1.5}, ["uwsgi_threads", "1.5", "whole number"]),
    "boolean for a number": ({"uwsgi_threads": True}, ["uwsgi_threads", "true", "whole number"]),
    "word for a boolean": ({"galaxy_create_user": "maybe"}, ["galaxy_create_user", '"maybe"', "true or false"]),
    "list for text": ({"galaxy_url_prefix": ["/a"]}, ["galaxy_url_prefix", '["/a"]', "text"]),
    "text for a list": ({"nginx_listen": "80"}, ["nginx_listen", '"80"', "a list of texts"]),
    "text for a dictionary": ({"galaxy_config": "brand=x"}, ["galaxy_config", '"brand=x"', "a dictionary"]),
    "null": ({"galaxy_root": None}, ["galaxy_root", "null", "path"]),
    "unknown key in a list": (
        {"postgresql_objects_users": [{"name": "a", "pass": "b"}]},
        ["postgresql_objects_users", "pass", "name (required)"],
    ),
    "missing key in a list": (
        {"postgresql_objects_databases": [{"owner": "a"}]},
        ["postgresql_objects_databases", "name"],
    ),
    "state of a role": (
        {"postgresql_objects_users": [{"name": "a", "state": "gone"}]},
        ["postgresql_objects_users", "present, absent"],
    ),
    "role and group of one name": (
        {"postgresql_objects_users": [{"name": "a"}], "postgresql_objects_groups": [{"name": "a"}]},
        ['postgresql_objects_groups[0].name: "a"', "given twice"],
    ),
    "database twice": (
        {"postgresql_objects_databases": [{"name": "a"}, {"name": "a"}]},
        ['postgresql_objects_databases[1].name: "a"', "given twice"],
    ),
    "privileges of no database": (
        {"postgresql_objects_users": [{"name": "a", "priv": "CONNECT"}]},
        ["postgresql_objects_users[0] (a)", "priv has to come with db"],
    ),
    "no privilege": (
        {"postgresql_objects_users": [{"name": "a", "db": "b", "priv": "t:"}]},
        ["postgresql_objects_users[0] (a): priv: t:", "CONNECT/books:SELECT,INSERT"],
    ),
    "own role absent": (
        {"postgresql_objects_users": [{"name": "galaxy", "state": "absent"}]},
        ["postgresql_objects_users[0].state", "Galaxy itself connects as galaxy"],
    ),
    "own role as a group": (
        {"postgresql_objects_groups": [{"name": "galaxy"}]},
        ["postgresql_objects_groups[0].name", "Galaxy itself connects as"],
    ),
    "own database absent": (
        {"postgresql_objects_databases": [{"name": "galaxy", "state": "absent"}]},
        ["postgresql_objects_databases[0].state", "Galaxy's own data are in galaxy"],
    ),
    "owner of the own database": (
        {"postgresql_objects_databases": [{"name": "galaxy", "owner": "other"}]},
        ['postgresql_objects_databases[0].owner: "other"', "has to be galaxy"],
    ),
    # Numbers
    "no process": ({"uwsgi_processes": 0}, ["uwsgi_processes", "0", "from 1"]),
    "fewer than no process": ({"uwsgi_processes": -2}, ["uwsgi_processes", "-2", "from 1"]),
    "no thread": ({"uwsgi_threads": 0}, ["uwsgi_threads", "0", "from 1"]),
    "no time": ({"galaxy_request_timeout": 0}, ["galaxy_request_timeout", "0", "from 1", "seconds"]),
    "negative stop time": ({"supervisor_web_stop_timeout": -1}, ["supervisor_web_stop_timeout", "-1", "from 1"]),
    "no drain time": ({"galaxy_drain_timeout": 0}, ["galaxy_drain_timeout", "0", "from 1"]),
    "negative expiry": ({"nginx_static_expires": -1}, ["nginx_static_expires", "-1", "from 0"]),
    "no worker": ({"galaxy_local_runner_workers": 0}, ["galaxy_local_runner_workers", "0", "from 1"]),
    "no dump": ({"galaxy_keep_dumps": 0}, ["galaxy_keep_dumps", "0", "from 1"]),
    "no release to go back to": ({"galaxy_keep_releases": 1}, ["galaxy_keep_releases", "1", "from 2", "rollback"]),
    "no time for the trial": ({"galaxy_trial_timeout": 0}, ["galaxy_trial_timeout", "0", "from 1", "seconds"]),
    "dumps among the data": (
        {"galaxy_dump_dir": "/srv/galaxy/data/backups"},
        ["galaxy_dump_dir", "/srv/galaxy/data/backups", "galaxy_mutable_data_dir", "apart"],
    ),
    "no backup": ({"galaxy_keep_backups": 0}, ["galaxy_keep_backups", "0", "from 1"]),
    "backups among the data": (
        {"galaxy_backup_dir": "/srv/galaxy/data/backups"},
        ["galaxy_backup_dir", "/srv/galaxy/data/backups", "galaxy_mutable_data_dir", "apart"],
    ),
    "backups for all to find": (
        {"galaxy_backup_dir": "/var/backups"},
        ["galaxy_backup_dir", "directory of the system"],
    ),
    "backups in memory": ({"galaxy_backup_dir": "/tmp/backups"}, ["galaxy_backup_dir", "outlive a restart"]),
    "backup by its path": (
        {"galaxy_restore": "../20261124T141500Z"},
        ["galaxy_restore", "../2026", "the name of a backup"],
    ),
    "backup of no name": ({"galaxy_restore": ""}, ["galaxy_restore", "the name of a backup"]),
    "replace what": ({"galaxy_restore_replace": "datasets"}, ["galaxy_restore_replace", "true or false"]),
    "backup path relative": ({"galaxy_backup_paths": ["objects"]}, ["galaxy_backup_paths[0]", '"objects"', "absolute"]),
    "backup path of the system": ({"galaxy_backup_paths": ["/", "/var"]}, ["galaxy_backup_paths[1]", "of the system"]),
    "backup path volatile": ({"galaxy_backup_paths": ["/run/x"]}, ["galaxy_backup_paths[0]", "of the system"]),
    "backup path with the configuration": (
        {"galaxy_backup_paths": ["/srv/galaxy"]},
        ["galaxy_backup_paths[0]", "galaxy_config_dir (/srv/galaxy/config)", "apart"],
    ),
    "backup path among the backups": (
        {"galaxy_backup_paths": ["/var/backups/galaxy/mine"]},
        ["galaxy_backup_paths[0]", "galaxy_backup_dir", "apart"],
    ),
    # Names
    "instance name": ({"galaxy_instance_name": "my galaxy"}, ["galaxy_instance_name", "my galaxy", "letters"]),
    "instance name with a slash": ({"galaxy_instance_name": "../x"}, ["galaxy_instance_name", "../x"]),
    "group of programs": ({"galaxy_supervisor_group": "g:x"}, ["galaxy_supervisor_group", "g:x", "letters"]),
    "user": ({"galaxy_user": "Galaxy User"}, ["galaxy_user", "Galaxy User", "lower-case"]),
    "user with options": ({"galaxy_user": "-galaxy"}, ["galaxy_user", "-galaxy"]),
    "user is a number": ({"galaxy_user": 1000}, ["galaxy_user", "1000", "a name, or a dictionary"]),
    "user without name": ({"galaxy_user": {"uid": 7}}, ["galaxy_user", "name is required"]),
    "user's unknown key": ({"galaxy_user": {"name": "g", "hoem": "/x"}}, ["galaxy_user.hoem", "home"]),
    "user's group": ({"galaxy_user": {"name": "g", "group": "g;x"}}, ["galaxy_user.group", "g;x", "lower-case"]),
    "user's home": ({"galaxy_user": {"name": "g", "home": "home"}}, ["galaxy_user.home", '"home"', "absolute"]),
    "user's number": ({"galaxy_user": {"name": "g", "uid": 0}}, ["galaxy_user.uid", "0", "from 1"]),
    "root": ({"galaxy_user": "root"}, ["galaxy_user", "root", "must not run as root"]),
    "one account for both": ({"galaxy_privsep_user": "galaxy"}, ["galaxy_privsep_user", "galaxy", "another account"]),
    "configuration for nginx": ({"galaxy_config_group": "galaxy"}, ["galaxy_config_group", "galaxy", "nginx"]),
    "server name": (
        {"nginx_server_names": ["a.example.org; return 200"]},
        ["nginx_server_names", "return 200", "host name"],
    ),
    "server name with a variable": ({"nginx_server_names": ["$host"]}, ["nginx_server_names", "$host"]),
    "no server name": ({"nginx_server_names": []}, ["nginx_server_names", "[]", "at least one"]),
    "header": (
        {"nginx_stripped_headers": ["Remote-User"]},
        ["nginx_stripped_headers", "Remote-User", "HTTP_REMOTE_USER"],
    ),
    # Release
    "release without a patch level": ({"galaxy_release": 26.1}, ["galaxy_release", "26.1", "26.1.2"]),
    "branch for a release": ({"galaxy_release": "release_26.1"}, ["galaxy_release", "release_26.1", "26.1.2"]),
    "newest": ({"galaxy_release": "latest"}, ["galaxy_release", "latest", "26.1.2"]),
    "classic release": ({"galaxy_release": "22.1.1"}, ["galaxy_release", "22.1.1", "22.5.0 or later, or 20.5.0"]),
    "mules of a modern release": (
        {"galaxy_handlers": 0, "uwsgi_options": {"mule": "lib/galaxy/main.py", "farm": "job-handlers:1"}},
        ["galaxy_handlers", "0", "name handlers"],
    ),
    "a farm for something else": (
        {"galaxy_release": "20.5.0", "galaxy_handlers": 0, "uwsgi_options": {"farm": "other:1"}},
        ["galaxy_handlers", "0", "name handlers"],
    ),
    "classic release without its hook": (
        {"galaxy_release": "20.5.0", "uwsgi_options": {"py-call-osafterfork": False}},
        ["py-call-osafterfork", "false", "has to be"],
    ),
    "bridge for a classic release": (
        {"galaxy_release": "20.5.0", "galaxy_config": {"app:main": {"paste.app_factory": "galaxy_wsgi:app_factory"}}},
        ["paste.app_factory", "galaxy_wsgi:app_factory", "galaxy.web.buildapp:app_factory"],
    ),
    "uv's version": ({"galaxy_uv_version": "latest"}, ["galaxy_uv_version", "latest", "0.13.9"]),
    "no such way to install": (
        {"uwsgi_install_method": "pip"},
        ["uwsgi_install_method", '"pip"', "wheel, source, apt"],
    ),
    "Debian's uWSGI for another Python": (
        {"uwsgi_install_method": "apt", "galaxy_python": "/opt/python3.12/bin/python3"},
        ["uwsgi_install_method", '"apt"', "/usr/bin/python3", "/opt/python3.12/bin/python3"],
    ),
    # Paths
    "relative path": ({"galaxy_root": "srv/galaxy"}, ["galaxy_root", '"srv/galaxy"', "absolute path"]),
    "home directory": ({"galaxy_root": "~/galaxy"}, ["galaxy_root", '"~/galaxy"', "absolute path"]),
    "space in a path": ({"galaxy_log_dir": "/srv/my logs"}, ["galaxy_log_dir", "/srv/my logs", "absolute path"]),
    "shell in a path": ({"galaxy_config_dir": "/srv/$(id)"}, ["galaxy_config_dir", "/srv/$(id)", "absolute path"]),
    "semicolon in a path": ({"nginx_client_body_temp_path": "/x;y"}, ["nginx_client_body_temp_path", "/x;y"]),
    "line break in a path": ({"galaxy_log_dir": "/srv/a\n"}, ["galaxy_log_dir", "/srv/a\\n"]),
    "dots in a path": ({"galaxy_root": "/srv/../etc/galaxy"}, ["galaxy_root", "/srv/../etc/galaxy", "/etc/galaxy"]),
    "slash at the end": ({"galaxy_root": "/srv/galaxy/"}, ["galaxy_root", "/srv/galaxy/", "trailing"]),
    "root directory": ({"galaxy_root": "/"}, ["galaxy_root", '"/"', "directory of the system"]),
    "system directory": (
        {"galaxy_mutable_data_dir": "/var/lib"},
        ["galaxy_mutable_data_dir", "/var/lib", "directory of the system"],
    ),
    "lost at restart": ({"galaxy_root": "/tmp/galaxy"}, ["galaxy_root", "/tmp/galaxy", "restart"]),
    "data in the configuration": (
        {"galaxy_mutable_data_dir": "/srv/galaxy/config/data"},
        ["galaxy_mutable_data_dir", "/srv/galaxy/config/data", "lies in galaxy_config_dir", "apart"],
    ),
    "configuration in the data": (
        {"galaxy_config_dir": "/srv/galaxy/data/config"},
        ["galaxy_config_dir", "/srv/galaxy/data/config", "galaxy_m"],
    ),
    "one directory twice": (
        {"galaxy_log_dir": "/srv/galaxy/run"},
        ["galaxy_log_dir", "/srv/galaxy/run", "galaxy_run_dir"],
    ),
    "long path of a socket": ({"galaxy_run_dir": "/srv/" + "x" * 100}, ["galaxy_run_dir", "too long", "107"]),
    # Where it listens
    "no port": ({"uwsgi_socket": "127.0.0.1"}, ["uwsgi_socket", '"127.0.0.1"', "host:port"]),
    "port out of range": ({"uwsgi_socket": "127.0.0.1:70000"}, ["uwsgi_socket", "127.0.0.1:70000", "65535"]),
    "open to all": ({"uwsgi_socket": "0.0.0.0:4001"}, ["uwsgi_socket", "0.0.0.0:4001", "127.0.0.1:4001"]),
    "socket with a space": ({"uwsgi_socket": "/srv/galaxy/a b"}, ["uwsgi_socket", "/srv/galaxy/a b", "absolute path"]),
    "one port twice": ({"nginx_listen": ["4001"]}, ["nginx_listen", "4001", "uwsgi_socket", "one of its own"]),
    "no socket at all": ({"uwsgi_socket": []}, ["uwsgi_socket", "[]", "at least one", "uwsgi_http"]),
    "HTTP without a port": ({"uwsgi_http": "localhost"}, ["uwsgi_http", '"localhost"', "host:port"]),
    "HTTP with a path": ({"uwsgi_http": "/srv/galaxy/run/http.sock"}, ["uwsgi_http", "host:port"]),
    "HTTP on a port that is none": ({"uwsgi_http": "127.0.0.1:70000"}, ["uwsgi_http", "70000", "host:port"]),
    "HTTP and nginx on one port": (
        {"uwsgi_http": "127.0.0.1:80"},
        ["uwsgi_http", "127.0.0.1:80", "nginx_listen: 80", "one of its own"],
    ),
    "HTTP and nginx on one address": (
        {"uwsgi_http": ":8080", "nginx_listen": ["127.0.0.1:8080"]},
        ["uwsgi_http", '":8080"', "nginx_listen: 127.0.0.1:8080"],
    ),
    "HTTP and uWSGI's protocol on one port": (
        {"uwsgi_http": "0.0.0.0:4001"},
        ["uwsgi_http", "0.0.0.0:4001", "uwsgi_socket", "127.0.0.1:4001"],
    ),
    "HTTP without a router": (
        {"uwsgi_options": {"http-socket": ":8080"}},
        ["uwsgi_options.http-socket", ":8080", "set uwsgi_http"],
    ),
    "HTTP's own address twice": (
        {"uwsgi_http": ":8080", "uwsgi_http_options": {"http": ":8081"}},
        ["uwsgi_http_options.http", ":8081", "uwsgi_http"],
    ),
    "users named by a proxy that is not there": (
        {"uwsgi_http": ":8080", "galaxy_config": {"galaxy": {"use_remote_user": True}}},
        ["use_remote_user", "uwsgi_http", "no proxy"],
    ),
    "downloads by an nginx that is not there": (
        {"uwsgi_http": ":8080", "galaxy_config": {"galaxy": {"nginx_x_accel_redirect_base": "/_x_accel_redirect"}}},
        ["nginx_x_accel_redirect_base", "uwsgi_http"],
    ),
    "handler called as the router is": ({"galaxy_handlers": ["http"]}, ["galaxy_handlers", '"http"', "web processes"]),
    "nginx's port out of range": ({"nginx_listen": ["0"]}, ["nginx_listen", '"0"', "from 1 to 65535"]),
    "nginx's port is a word": ({"nginx_listen": ["http"]}, ["nginx_listen", '"http"', "port or address:port"]),
    "nginx injected": (
        {"nginx_listen": ["80; include /etc/passwd"]},
        ["nginx_listen", "include", "port or address:port"],
    ),
    "TLS in the wrong variable": ({"nginx_listen": ["443 ssl"]}, ["nginx_listen", '"443 ssl"', "nginx_tls_listen"]),
    "TLS of an unknown kind": ({"nginx_tls": "letsencrypt"}, ["nginx_tls", '"letsencrypt"', "self-signed", "acme"]),
    "TLS without nginx": (
        {"nginx_tls": "self-signed", "uwsgi_socket": [], "uwsgi_http": ":8080"},
        ["nginx_tls", '"self-signed"', "there is no nginx"],
    ),
    "TLS nowhere": ({"nginx_tls_listen": []}, ["nginx_tls_listen", "[]", "at least one port"]),
    "TLS at the port of others": (
        {"nginx_tls": "self-signed", "nginx_tls_listen": ["80"]},
        ["nginx_tls_listen", '"80"', "a port of its own"],
    ),
    "TLS at uWSGI's port": (
        {"nginx_tls": "self-signed", "nginx_tls_listen": ["4001"]},
        ["nginx_tls_listen", '"4001"', "uwsgi_socket"],
    ),
    "a certificate without a key": (
        {"nginx_tls": "files", "nginx_server_names": ["a.example.org"], "nginx_tls_certificate": "/x/a.pem"},
        ["nginx_tls_key", "has to be given"],
    ),
    "a certificate without TLS": (
        {"nginx_tls_certificate": "/x/a.pem"},
        ["nginx_tls_certificate", '"/x/a.pem"', 'nginx_tls is "off"'],
    ),
    "a relative certificate": (
        {"nginx_tls": "files", "nginx_server_names": ["a.example.org"], "nginx_tls_certificate": "a.pem"},
        ["nginx_tls_certificate", '"a.pem"', "PEM"],
    ),
    "a key for a certificate": (
        {
            "nginx_tls": "files",
            "nginx_server_names": ["a.example.org"],
            "nginx_tls_certificate": "-----BEGIN PRIVATE KEY-----",
        },
        ["nginx_tls_certificate", "is a private key"],
    ),
    "a certificate for any name": (
        {"nginx_tls": "files", "nginx_tls_certificate": "/x/a.pem", "nginx_tls_key": "/x/a.key"},
        ["nginx_server_names", "names in the certificate"],
    ),
    "an authority for an address": (
        {"nginx_tls": "acme", "nginx_server_names": ["192.0.2.1"]},
        ["nginx_server_names", '"192.0.2.1"', "full host names"],
    ),
    "an authority for all names of a domain": (
        {"nginx_tls": "acme", "nginx_server_names": ["*.example.org"]},
        ["nginx_server_names", '"*.example.org"', "full host names"],
    ),
    "headers injected": (
        {"nginx_security_headers": {"X-A": 'a"; include /etc/passwd; "'}},
        ["nginx_security_headers.X-A", "one line"],
    ),
    "no header's name": (
        {"nginx_security_headers": {"X A": "b"}},
        ["nginx_security_headers", '"X A"', "name of a header"],
    ),
    "a negative rate": ({"nginx_login_rate": -1}, ["nginx_login_rate", "-1", "0"]),
    "nginx nowhere": ({"nginx_listen": []}, ["nginx_listen", "[]", "at least one port"]),
    "prefix without a slash": ({"galaxy_url_prefix": "galaxy"}, ["galaxy_url_prefix", '"galaxy"', "/galaxy"]),
    "prefix with a slash at its end": (
        {"galaxy_url_prefix": "/galaxy/"},
        ["galaxy_url_prefix", '"/galaxy/"', "without a slash"],
    ),
    "prefix with a brace": ({"galaxy_url_prefix": "/g{x}"}, ["galaxy_url_prefix", "/g{x}", "/galaxy"]),
    "prefix is a URL": ({"galaxy_url_prefix": "https://a/galaxy"}, ["galaxy_url_prefix", "https://a/galaxy", "path"]),
    "size with a word": ({"nginx_client_max_body_size": "10 GB"}, ["nginx_client_max_body_size", "10 GB", "10g"]),
    "size with a fraction": ({"nginx_client_max_body_size": "1.5g"}, ["nginx_client_max_body_size", "1.5g", "10g"]),
    "directive without an end": ({"nginx_server_directives": ["gzip on"]}, ["nginx_server_directives", "gzip on", ";"]),
    "directive with a brace": (
        {"nginx_server_directives": ["location / {;"]},
        ["nginx_server_directives", "do not match"],
    ),
    # Environment
    "umask as a number": ({"supervisor_umask": 23}, ["supervisor_umask", "23", '"027"']),
    "name in the environment": ({"supervisor_environment": {"A-B": "x"}}, ["supervisor_environment", "A-B", "letters"]),
    "line in the environment": (
        {"supervisor_environment": {"A": "x\ny"}},
        ["supervisor_environment.A", "line break"],
    ),
    "list in the environment": (
        {"galaxy_download_environment": {"A": ["x"]}},
        ["galaxy_download_environment.A", "text"],
    ),
    # Database
    "other database": (
        {"galaxy_database_connection": "mysql://u:hunter2@h/galaxy"},
        ["galaxy_database_connection", "mysql://u:********@h/galaxy", "postgresql"],
    ),
    "short scheme": (
        {"galaxy_database_connection": "postgres:///galaxy"},
        ["galaxy_database_connection", "is called postgresql"],
    ),
    "percent sign": (
        {"galaxy_database_connection": "postgresql://u:hunter%402@h/galaxy"},
        ["galaxy_database_connection", "postgresql://u:********@h/galaxy", "no percent sign", "migrations"],
    ),
    "no URL": ({"galaxy_database_connection": "galaxy"}, ["galaxy_database_connection", '"galaxy"', "URL"]),
    "no database": (
        {"galaxy_database_connection": "postgresql://h"},
        ["galaxy_database_connection", "names no database"],
    ),
    "port of the database": (
        {"galaxy_database_connection": "postgresql://h:x/g"},
        ["galaxy_database_connection", "65535"],
    ),
    "SQLite for two": (
        {"galaxy_database_connection": "sqlite:////srv/galaxy/data/x.sqlite", "galaxy_handlers": 0},
        [
            "galaxy_database_connection",
            "sqlite:////srv/galaxy/data/x.sqlite",
            "one process write at a time",
            "uwsgi_processes to 1",
        ],
    ),
    "SQLite with handlers": (
        {"galaxy_database_connection": "sqlite:////srv/galaxy/data/x.sqlite", "uwsgi_processes": 1},
        ["galaxy_database_connection", "sqlite:////srv/galaxy/data/x.sqlite", "take jobs", "galaxy_handlers to 0"],
    ),
    "SQLite in Galaxy's options": (
        app(database_connection="sqlite:////srv/galaxy/data/x.sqlite"),
        ["galaxy_config app:main.database_connection", "sqlite:////srv/galaxy/data/x.sqlite", "uwsgi_processes to 1"],
    ),
    # Handlers and jobs
    "negative handlers": ({"galaxy_handlers": -1}, ["galaxy_handlers", "-1", "from 0"]),
    "two handlers of one name": ({"galaxy_handlers": ["a", "a"]}, ["galaxy_handlers", "given twice"]),
    "handler called main": ({"galaxy_handlers": ["main"]}, ["galaxy_handlers", "main", "web processes"]),
    "no handlers for two": ({"galaxy_handlers": 0}, ["galaxy_handlers", "0", "uwsgi_processes to 1"]),
    "processes in the job configuration": (
        {"galaxy_job_config": {"handling": {"processes": {"a": {}}}}},
        ["galaxy_job_config", "handling.processes", "galaxy_handlers"],
    ),
    "unknown environment": (
        {"galaxy_job_config": {"execution": {"default": "slrm"}}},
        ["galaxy_job_config", '"slrm"', "execution.environments", "local"],
    ),
    "unknown section of jobs": (
        {"galaxy_job_config": {"runer": {}}},
        ["galaxy_job_config.runer", "runners", "did you mean runners?"],
    ),
    "type in the job configuration": (
        {"galaxy_job_config": {"runners": {"local": {"workers": "4"}}}},
        ["galaxy_job_config.runners.local.workers", '"4"', "whole number"],
    ),
    "job configuration in Galaxy's section": (
        app(job_config={"tools": [{"id": "a", "handler": "x"}]}),
        ["galaxy_config app:main.job_config", "handler x", "handler0"],
    ),
    "unknown section in Galaxy's section": (
        app(job_config={"runer": {}}),
        ["runer", "did you mean runners?"],
    ),
    "missing handler in Galaxy's section": (
        app(job_config={"handling": {"processes": {"handler0": {"tags": ["handlers"]}, "x": {}}}}),
        ["galaxy_config app:main.job_config handling.processes", '"x"', "no such handler runs"],
    ),
    "job configuration of words": (app(job_config="x"), ["galaxy_config app:main.job_config", "dictionary"]),
    "two job configurations": (
        {"galaxy_job_config_template": "job_conf.xml", "galaxy_job_config": {"runners": {}, "tools": []}},
        ["galaxy_job_config", "galaxy_job_config_template", "write it there"],
    ),
    "two places of a job configuration": (
        {"galaxy_job_config_template": "job_conf.xml.j2", **app(job_config_file="/srv/galaxy/config/job_conf.yml")},
        ["job_config_file", "has to be /srv/galaxy/config/job_conf.xml"],
    ),
    "mem-self for two": (
        {"galaxy_handlers": 0, "galaxy_job_config": {"handling": {"assign": ["mem-self"]}}},
        ["galaxy_job_config", "mem-self", "uwsgi_processes to 1", "db-self"],
    ),
    "web processes schedule workflows": (
        {"galaxy_workflow_schedulers": ["main"]},
        ["galaxy_workflow_schedulers", "main", "web processes schedule no workflows"],
    ),
    "an idle scheduler": (
        {"galaxy_handlers": ["handler0", {"name": "s", "jobs": False}]},
        ["galaxy_handlers", "neither jobs nor workflows"],
    ),
    "schedulers in a file of nobody": (
        app(workflow_schedulers_config_file="/x.xml"),
        ["workflow_schedulers_config_file", "/x.xml", "galaxy_workflow_schedulers"],
    ),
    "parallel scheduling that Galaxy cannot start with": (
        {"galaxy_workflow_schedulers": ["handler0"], **app(parallelize_workflow_scheduling_within_histories=True)},
        ["parallelize_workflow_scheduling_within_histories", "does not start"],
    ),
    "neither reassign nor refuse": ({"galaxy_removed_handlers": "drop"}, ["galaxy_removed_handlers", "refuse"]),
    # Galaxy's options
    "unknown option": (
        app(admin_user="a@b"),
        ["galaxy_config app:main.admin_user", "a@b", "did you mean admin_users?"],
    ),
    "word for a boolean option": (
        app(require_login="sometimes"),
        ["app:main.require_login", "sometimes", "true or false"],
    ),
    "word for a number option": (app(session_duration="long"), ["app:main.session_duration", "long", "whole number"]),
    "not among the allowed": (app(cleanup_job="maybe"), ["app:main.cleanup_job", "maybe", "always, onsuccess, never"]),
    "boolean that was a word": (
        app(simplified_workflow_run_ui=False),
        ["app:main.simplified_workflow_run_ui", "false", "off, prefer", "quote it"],
    ),
    "structure in an INI file": (app(file_sources=[{"type": "ftp"}]), ["app:main", "file_sources", "ftp"]),
    "known secret": (
        app(id_secret="USING THE DEFAULT IS NOT SECURE!"),
        ["app:main.id_secret", "********", "leave the option out"],
    ),
    "short secret": (app(id_secret="abcd"), ["app:main.id_secret", "********", "from 5 to 56"]),
    "long secret": (app(id_secret="x" * 64), ["app:main.id_secret", "********", "64 bytes", "from 5 to 56"]),
    "known key": (app(bootstrap_admin_api_key="changeme"), ["app:main.bootstrap_admin_api_key", "no secret"]),
    "section in a value": (app(brand="x\n[uwsgi]"), ["galaxy_config", "[app:main] brand", "section"]),
    "two names, two values": (
        {"galaxy_config": {"galaxy": {"brand": "a"}, "app:main": {"brand": "b"}}},
        ["galaxy_config", "brand", "give it once"],
    ),
    "section is a list": ({"galaxy_config": {"uwsgi": ["a"]}}, ["galaxy_config", "uwsgi", "dictionary"]),
    "another job configuration": (
        app(job_config_file="/x.yml"),
        ["app:main.job_config_file", "/x.yml", "/srv/galaxy/config/job_conf.yml", "galaxy_job_config"],
    ),
    "another data directory": (app(data_dir="/data"), ["app:main.data_dir", "/data", "galaxy_mutable_data_dir"]),
    "downloads from elsewhere": (
        app(file_path="/data"),
        ["file_path", "/data", "files below /srv/galaxy/data only"],
    ),
    "another application": (
        app(**{"paste.app_factory": "galaxy.web.buildapp:app_factory"}),
        ["app:main.paste.app_factory", "galaxy_wsgi:app_factory"],
    ),
    # uWSGI's options
    "SQLite elsewhere": (
        {"galaxy_database_connection": "sqlite:////tmp/x.sqlite", "galaxy_handlers": 0, "uwsgi_processes": 1},
        ["galaxy_database_connection", "sqlite:////tmp/x.sqlite", "galaxy_mutable_data_dir", "/srv/galaxy/data/"],
    ),
    "SQLite, relative": (
        {"galaxy_database_connection": "sqlite:///x.sqlite", "galaxy_handlers": 0, "uwsgi_processes": 1},
        ["galaxy_database_connection", "sqlite:///x.sqlite", "galaxy_mutable_data_dir"],
    ),
    "socket out of reach": (
        {"uwsgi_socket": "/run/uwsgi.sock"},
        ["uwsgi_socket", "/run/uwsgi.sock", "galaxy_run_dir", "/srv/galaxy/run/uwsgi.sock"],
    ),
    "no processes in the options": ({"uwsgi_options": {"processes": 0}}, ["uwsgi_options.processes", "0", "from 1"]),
    "processes taken out": ({"uwsgi_options": {"workers": None}}, ["uwsgi_options.workers", "null", "from 1"]),
    "socket taken out": ({"galaxy_config": {"uwsgi": {"socket": None}}}, ["galaxy_config uwsgi.socket", "taken out"]),
    "socket of the options": (
        {"galaxy_config": {"uwsgi": {"socket": "0.0.0.0:5000"}}},
        ["galaxy_config uwsgi.socket", "0.0.0.0:5000", "passes nginx by"],
    ),
    "socket by its other name": (
        {"galaxy_config": {"uwsgi": {"uwsgi-socket": "127.0.0.1:80"}}},
        ["nginx_listen", "80", "galaxy_config uwsgi.uwsgi-socket: 127.0.0.1:80"],
    ),
    "a socket twice": ({"uwsgi_socket": ["127.0.0.1:1", "127.0.0.1:1"]}, ["uwsgi_socket", "127.0.0.1:1", "twice"]),
    "no socket": ({"uwsgi_socket": []}, ["uwsgi_socket", "[]", "at least one socket"]),
    "long socket in a list": (
        {"galaxy_run_dir": "/srv/" + "r" * 100, "uwsgi_socket": ["127.0.0.1:1", "/srv/" + "r" * 100 + "/u.sock"]},
        ["uwsgi_socket", "107 bytes"],
    ),
    "unknown option of uWSGI": (
        {"uwsgi_options": {"harakiry": 60}},
        ["uwsgi_options.harakiry", "60", "uWSGI 2.0.31 has no option harakiry", "did you mean harakiri"],
    ),
    "option of a plugin": (
        {"galaxy_config": {"uwsgi": {"geoip-country": "/x"}}},
        ["galaxy_config uwsgi.geoip-country", "plugin geoip", "wheel"],
    ),
    "flag with a value": ({"uwsgi_options": {"vacuum": "often"}}, ["uwsgi_options.vacuum", "often", "true or false"]),
    "flag twice": ({"uwsgi_options": {"vacuum": [True, True]}}, ["uwsgi_options.vacuum", "true or false"]),
    "log elsewhere": ({"uwsgi_options": {"logto": "/var/log/x"}}, ["uwsgi_options.logto", "/srv/galaxy/log"]),
    "unknown way to configure": ({"uwsgi_config_method": "toml"}, ["uwsgi_config_method", "toml", "paste_deploy, ini"]),
    "a way that cannot say it": (
        {"uwsgi_config_method": "yaml", "uwsgi_options": {"include": "#x"}},
        ["uwsgi_options.include", "(yaml)", "another uwsgi_config_method"],
    ),
    "a placeholder of files": (
        {"uwsgi_config_method": "environment", "uwsgi_options": {"procname": "%n"}, "uwsgi_placeholders": ["procname"]},
        ["uwsgi_options.procname", "%n", "only in files"],
    ),
    "threads of another kind": (
        {"uwsgi_options": {"threads": 2, "ugreen": True}},
        ["uwsgi_options.ugreen", "true", "served by threads"],
    ),
    "no threads": ({"uwsgi_options": {"async": 10}}, ["uwsgi_options.async", "10", "served by threads"]),
    "unknown to every uWSGI": (
        {"uwsgi_install_method": "apt", "uwsgi_options": {"harakiry": 60}},
        ["uwsgi_options.harakiry", "did you mean harakiri"],
    ),
    "placeholder of an option": (
        {"uwsgi_options": {"procname": "%(processes)"}},
        ["galaxy_config", "procname", "%(processes)", "write the value out"],
    ),
    "daemon": ({"uwsgi_options": {"daemonize": "/x.log"}}, ["uwsgi_options.daemonize", "/x.log", "foreground"]),
    "no master": ({"uwsgi_options": {"master": False}}, ["uwsgi_options.master", "false", "has to be true"]),
    "hook of Python": (
        {"uwsgi_options": {"py-call-osafterfork": True}},
        ["uwsgi_options.py-call-osafterfork", "true", "cannot be set", "py-call-uwsgi-fork-hooks"],
    ),
    "no application": ({"uwsgi_options": {"need-app": "false"}}, ["uwsgi_options.need-app", "has to be true"]),
    "two lines": ({"uwsgi_options": {"env": "A=x\nB=y"}}, ["uwsgi_options", "[uwsgi] env", "one line"]),
    "option of uWSGI": ({"uwsgi_options": {"a b": 1}}, ["uwsgi_options", "a b", "not a name"]),
    "buffer too small": ({"uwsgi_options": {"buffer-size": 1000}}, ["uwsgi_options.buffer-size", "1000", "from 4096"]),
    "buffer taken out": ({"uwsgi_options": {"buffer-size": None}}, ["uwsgi_options.buffer-size", "null", "from 4096"]),
    # Packages
    "option for a package": (
        {"galaxy_additional_venv_packages": ["--pre"]},
        ["galaxy_additional_venv_packages", "--pre", "PyPI"],
    ),
    "address for a package": (
        {"galaxy_uwsgi_package": "git+https://a/b"},
        ["galaxy_uwsgi_package", "git+https://a/b", "PyPI"],
    ),
    # Names of variables
    "misspelt variable": ({"galaxy_handler": 2}, ["galaxy_handler", "did you mean galaxy_handlers?"]),
    "misspelt variable of nginx": (
        {"nginx_server_name": "a"},
        ["nginx_server_name", "did you mean nginx_server_names?"],
    ),
    "retired variable": ({"galaxy_root_dir": "/srv/x", "galaxy_root": "/srv/y"}, ["galaxy_root_dir", "/srv/y", "once"]),
    "another meaning": ({"galaxy_config_style": "yaml"}, ["galaxy_config_style", "always galaxy.ini", "remove it"]),
    "a repository and no Git": (
        {"galaxy_repo": "https://github.com/galaxyproject/galaxy.git"},
        ["galaxy_repo", "https://github.com/galaxyproject/galaxy.git", "git", "package"],
    ),
    "a client and no Git": (
        {"galaxy_client_package": "galaxy-web-client==26.1.2"},
        ["galaxy_client_package", "galaxy-web-client==26.1.2", "git", "package"],
    ),
    "a commit and no Git": (
        {"galaxy_commit_id": "5d4f2b1"},
        ["galaxy_commit_id", "5d4f2b1", "26.1.2", "galaxy_install_method", "git"],
    ),
    "Git and no repository": (
        {"galaxy_install_method": "git", "galaxy_commit_id": "release_26.1"},
        ["galaxy_repo", '""', "https://github.com/galaxyproject/galaxy.git"],
    ),
    "Git and a relative path": (
        {"galaxy_install_method": "git", "galaxy_commit_id": "dev", "galaxy_repo": "../galaxy"},
        ["galaxy_repo", "../galaxy", "full path"],
    ),
    "Git and a program for an address": (
        {"galaxy_install_method": "git", "galaxy_commit_id": "dev", "galaxy_repo": "ext::sh -c id"},
        ["galaxy_repo", "ext::sh", "address of a repository"],
    ),
    "Git and no commit": (
        {"galaxy_install_method": "git", "galaxy_repo": "/opt/galaxy.git"},
        ["galaxy_commit_id", '""', "release_26.1"],
    ),
    "Git and an option for a commit": (
        {"galaxy_install_method": "git", "galaxy_repo": "/opt/galaxy.git", "galaxy_commit_id": "--upload-pack=x"},
        ["galaxy_commit_id", "--upload-pack=x", "a branch, a tag or a commit"],
    ),
    "Git and a path for a client": (
        {
            "galaxy_install_method": "git",
            "galaxy_repo": "/opt/galaxy.git",
            "galaxy_commit_id": "dev",
            "galaxy_client_package": "/root/client.whl",
        },
        ["galaxy_client_package", "/root/client.whl", "PyPI"],
    ),
    "an unknown way to install Galaxy": (
        {"galaxy_install_method": "docker"},
        ["galaxy_install_method", "docker", "package", "git"],
    ),
    "Mercurial": ({"galaxy_vcs": "hg"}, ["galaxy_vcs", '"hg"', "has to be git", "Mercurial"]),
    "Galaxy for Python 2": ({"galaxy_release": "release_16.10"}, ["galaxy_release", "release_16.10", "Python 2"]),
    "a branch": ({"galaxy_release": "dev"}, ["galaxy_release", "dev", "as PyPI numbers it"]),
    "tool data among code": (
        app(galaxy_data_manager_data_path="/srv/galaxy/server/tool-data"),
        ["galaxy_data_manager_data_path", "galaxy_server_dir (/srv/galaxy/server)"],
    ),
    "a file in the place of ours": (
        {"galaxy_config_files": [{"src": "x", "dest": "/srv/galaxy/config/galaxy.ini"}]},
        ["galaxy_config_files[0].dest", "give its options as galaxy_config"],
    ),
    "digits of another script": ({"uwsgi_threads": "٤"}, ['uwsgi_threads: "٤"', "whole number"]),
    "digits that are none": ({"uwsgi_options": {"processes": "²"}}, ['processes: "²"', "number from 1"]),
    "Python's way to write a number": ({"uwsgi_threads": "1_0"}, ['uwsgi_threads: "1_0"', "whole number"]),
    "a home that is the machine": (
        {"galaxy_user": {"name": "galaxy", "home": "/"}},
        ['galaxy_user.home: "/"', "directory of the system"],
    ),
    "a download directory that nginx cannot read": (
        app(file_path="/srv/galaxy/data/a;b"),
        ['app:main.file_path: "/srv/galaxy/data/a;b"', "letters, digits"],
    ),
    "a private key that is none": (
        {
            "nginx_tls": "files",
            "nginx_server_names": ["a.example.org"],
            "nginx_tls_certificate": "/c",
            "nginx_tls_key": "-----BEGIN PRIVATE KEY-----\nhunter2!",
        },
        ["nginx_tls_key: ********", "text in PEM"],
    ),
    "SQL in a name": (
        {"postgresql_objects_users": [{"name": 'a"; --'}]},
        ["postgresql_objects_users[0].name", "name of letters"],
    ),
    "a brace that ends the server": (
        {"nginx_server_directives": ["} server { listen 81; }", "{"]},
        ["nginx_server_directives", "} server {", "do not match"],
    ),
    "an option of the router's of two lines": (
        {"uwsgi_http_options": {"http-var": "a\nb"}},
        ["uwsgi_http_options", "one line"],
    ),
}


@pytest.mark.parametrize("changes, words", [pytest.param(*case, id=name) for name, case in WRONG.items()])
def test_wrong_input(changes: dict[str, t.Any], words: list[str]) -> None:
    found = messages(changes)
    assert any(all(word in message for word in words) for message in found), found
    for message in found:
        assert "\n" not in message
        assert "hunter" not in message


def test_there_are_enough_wrong_inputs() -> None:
    assert len(WRONG) >= 40


def test_everything_is_told_at_once() -> None:
    together: dict[str, t.Any] = {}
    names = [
        "no process",
        "no thread",
        "no time",
        "root",
        "prefix without a slash",
        "one port twice",
        "misspelt variable",
    ]
    for name in names:
        together.update(WRONG[name][0])
    found = messages(together)
    for name in names:
        assert any(all(word in message for word in WRONG[name][1]) for message in found), name


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"galaxy_manage_clone": False}, ["galaxy_manage_clone", "no effect"]),
        ({"galaxy_systemd_mode": "mule"}, ["galaxy_systemd_mode", "no effect"]),
        ({"galaxy_brand_of_mine": "x"}, ["galaxy_brand_of_mine", "no role"]),
        (app(allow_user_creation=True), ["allow_user_creation", "allow_local_account_creation"]),
        (app(session_key="a"), ["session_key", "no longer"]),
        (app(nginx_upload_store="/srv/galaxy/upload_store"), ["nginx_upload_store", "left out", "upload module"]),
        ({"galaxy_mutable_config_dir": "/srv/galaxy/config"}, ["galaxy_mutable_config_dir", "/srv/galaxy/data/config"]),
        ({"galaxy_root_dir": "/srv/galaxy"}, ["galaxy_root_dir", "galaxy_root", "rename it"]),
        (
            {"galaxy_changeset_id": "release_26.1", "galaxy_commit_id": "release_26.1"},
            ["galaxy_changeset_id", "galaxy_commit_id", "rename it"],
        ),
        (
            {"galaxy_commit_id": "release_26.1"},
            ["galaxy_commit_id", "release_26.1", "26.1.2", "galaxy_release", "galaxy_install_method"],
        ),
        (
            {"galaxy_release": "26.0.2"},
            ["galaxy_release", "26.0.2", "not among the releases that are proved", "26.1.2"],
        ),
        ({"galaxy_shed_tools_dir": "/x", "nginx_flavor": "extras"}, ["galaxy_shed_tools_dir", "no effect"]),
    ],
)
def test_warnings(changes: dict[str, t.Any], words: list[str]) -> None:
    assert messages(changes) == []
    found = messages(changes, fatal=False)
    assert any(all(word in message for word in words) for message in found), found


def test_a_release_is_proved_on_a_machine() -> None:
    assert not [text for text in messages({}, fatal=False, platform="Debian 13") if "galaxy_release" in text]
    changes = {"galaxy_release": "23.1.4"}
    assert not [text for text in messages(changes, fatal=False, platform="Debian 12") if "galaxy_release" in text]
    found = [text for text in messages(changes, fatal=False, platform="Debian 13") if "galaxy_release" in text]
    assert len(found) == 1
    assert "23.1.4" in found[0]
    assert "not among the releases that are proved on Debian 13 (26.1.2, " in found[0]


@pytest.mark.parametrize(
    "name", ["nginx_conf_user", "postgresql_version", "supervisor_installed", "ansible_user", "my_galaxy"]
)
def test_variables_of_other_software_are_left_alone(name: str) -> None:
    assert messages({name: "x"}) == []
    assert messages({name: "x"}, fatal=False) == []


def test_a_release_without_a_table_is_not_checked_against_one() -> None:
    assert messages(app(whatever=1), release=None) == []


def test_secrets_are_not_shown() -> None:
    changes = {
        "postgresql_objects_users": [{"name": "a", "password": "hunter2", "x": 1}],
        "supervisor_environment": {"API_TOKEN": "hunter2\n"},
        **app(id_secret="hunter2 ", remote_user_secret="hunter2\n[x]", smtp_password=["hunter2"]),
        "galaxy_database_connection": "postgresql://galaxy:hunter2@h:99999/g",
    }
    found = messages(changes)
    assert len(found) >= 5
    assert "hunter2" not in "\n".join(found)


def test_what_follows_from_another_error_is_not_told() -> None:
    specs: dict[str, Spec] = {name: {"type": "path"} for name in ("galaxy_root", "galaxy_log_dir", "galaxy_run_dir")}
    values = {"galaxy_root": "/a b", "galaxy_log_dir": "/a b/log", "galaxy_run_dir": "/c d"}
    made_from = {"galaxy_log_dir": ["galaxy_root"]}
    found = [problem.text for problem in preflight.check(specs, values, made_from=made_from)]
    assert [text.split(":")[0] for text in found] == ["galaxy_root", "galaxy_run_dir"]


def test_before_a_checkout_has_been_looked_at_it_may_be_a_classic_one() -> None:
    git = {
        "galaxy_install_method": "git",
        "galaxy_repo": "https://example.org/galaxy.git",
        "galaxy_commit_id": "a" * 40,
        "galaxy_handlers": 0,
        "uwsgi_options": {"farm": "job-handlers:1", "py-call-osafterfork": True},
    }
    assert messages({**git, "galaxy_release": ""}, release=None) == []
    assert messages({**git, "galaxy_release": "20.5.0"}, release=None) == []
    assert len(messages({**git, "galaxy_release": "26.1.2"}, release=None)) == 2


def test_specs_and_defaults_name_the_same_variables() -> None:
    assert set(SPECS) == set(DEFAULTS)


def test_the_collections_own_options_are_known_by_name() -> None:
    """They are in vars, which are not read on the controller before a run."""
    own = yaml.safe_load((ROLES / "_common/vars/main.yml").read_text())["__uwsgi_default_options"]
    assert set(own) == set(COLLECTIONS_OWN)
