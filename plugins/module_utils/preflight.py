# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be wrong with an instance's variables and can be told without looking at a machine.

Each function takes the variables of one host as plain values and returns a list of problems.
"""

from __future__ import annotations

import os.path
import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    FALSE_WORDS,
    TRUE_WORDS,
    Problem,
    check_job_config,
    check_options,
    check_secrets,
    problem,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import handler_list, job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import (
    APP_SECTION,
    SECTION_ALIASES,
    UWSGI_SECTION,
    combine_sections,
    to_paste_deploy,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import fault_of
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import MASK, InputError, is_secret, nearest, shown

Variables = dict[str, t.Any]
Spec = dict[str, t.Any]

# --- Types -----------------------------------------------------------------------------------------

TYPE_WORDS = {
    "str": "text",
    "path": "the path of a file or directory",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
}


def check_types(specs: Mapping[str, Spec], values: Variables) -> tuple[list[Problem], Variables]:
    """Return what does not fit the argument specs, and the values that do fit, in the type of the spec."""
    problems: list[Problem] = []
    good: Variables = {}
    for name, spec in specs.items():
        if name not in values:
            if spec.get("required"):
                problems.append(problem(name, None, f"has to be given: {_expected(spec)}"))
            continue
        value = values[name]
        secret = bool(spec.get("no_log"))
        if not _fits(value, spec.get("type", "str")):
            hint = ""
            if isinstance(value, str) and spec.get("type") in ("list", "dict"):
                example = '["..."]' if spec["type"] == "list" else '{"...": "..."}'
                hint = f""" (on the command line: -e '{{"{name}": {example}}}')"""
            problems.append(problem(name, value, f"has to be {_expected(spec)}{hint}", secret=secret))
            continue
        bare = {key: item for key, item in spec.items() if key not in ("default", "required")}
        result = ArgumentSpecValidator({name: bare}).validate({name: value})
        if result.error_messages:
            why = "; ".join(_without(message, _secrets_in(value)) for message in result.error_messages)
            detail = f" ({why})" if "options" in spec and not secret else ""
            problems.append(problem(name, value, f"has to be {_expected(spec)}{detail}", secret=secret))
            continue
        # Paths are looked at as they were written: conversion would fill in ~ and $VARIABLES.
        good[name] = value if spec.get("type") in ("path", "raw", "dict", "list") else result.validated_parameters[name]
    return problems, good


def _expected(spec: Spec) -> str:
    if spec.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in spec["choices"])
    words = TYPE_WORDS.get(spec.get("type", "str"), "a value")
    elements = spec.get("elements")
    if elements:
        words += {"str": " of texts", "dict": " of dictionaries", "int": " of whole numbers"}.get(
            elements, f" of {elements}"
        )
    options = spec.get("options")
    if options:
        words += " with the keys " + ", ".join(
            name + (" (required)" if item.get("required") else "") for name, item in options.items()
        )
    return words


def _fits(value: t.Any, kind: str) -> bool:
    """Tell whether a value has a type, more strictly than Ansible, which for example makes text of a list."""
    if kind == "dict":
        return isinstance(value, dict)
    if kind == "list":
        return isinstance(value, list)
    if kind in ("str", "path"):
        return isinstance(value, str) or (
            kind == "str" and isinstance(value, (int, float)) and not isinstance(value, bool)
        )
    if kind == "bool":
        return isinstance(value, bool) or str(value).strip().lower() in TRUE_WORDS + FALSE_WORDS
    if kind in ("int", "float"):
        return not isinstance(value, bool)
    return True


def _secrets_in(value: t.Any) -> list[str]:
    if isinstance(value, dict):
        return [
            secret
            for key, item in value.items()
            for secret in ([str(item)] if is_secret(str(key)) and isinstance(item, (str, int)) else _secrets_in(item))
        ]
    if isinstance(value, list):
        return [secret for item in value for secret in _secrets_in(item)]
    return []


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


# --- Names -----------------------------------------------------------------------------------------

PREFIXES = ("galaxy_", "uwsgi_", "nginx_", "supervisor_", "postgresql_")
# Names that begin like this and that nobody here reads are more often a mistake than other software's.
OWN_PREFIXES = ("galaxy_", "uwsgi_")

# Names of other collections for what has another name here.
RETIRED = {
    "galaxy_root_dir": "galaxy_root",
    "galaxy_dir": "galaxy_root",
    "galaxy_data_dir": "galaxy_mutable_data_dir",
    "galaxy_file_path": "galaxy_mutable_data_dir",
    "galaxy_logs_dir": "galaxy_log_dir",
    "galaxy_virtualenv_dir": "galaxy_venv_dir",
    "galaxy_virtualenv_python": "galaxy_python",
    "galaxy_venv_python": "galaxy_python",
    "galaxy_db_connection": "galaxy_database_connection",
    "galaxy_db_url": "galaxy_database_connection",
    "galaxy_version": "galaxy_release",
    "galaxy_job_conf": "galaxy_job_config",
    "galaxy_job_config_file": "galaxy_job_config",
    "galaxy_job_handlers": "galaxy_handlers",
    "galaxy_config_perms": "galaxy_config_group",
    "nginx_conf_client_max_body_size": "nginx_client_max_body_size",
    "uwsgi_workers": "uwsgi_processes",
    "uwsgi_port": "uwsgi_socket",
}

# Names of galaxyproject.galaxy and its neighbours with a meaning that is not shared, and why.
NOT_SHARED = {
    "galaxy_commit_id": "a release is installed from PyPI, not from a git repository; set galaxy_release",
    "galaxy_changeset_id": "a release is installed from PyPI, not from a repository; set galaxy_release",
    "galaxy_repo": "a release is installed from PyPI, not from a git repository; set galaxy_release",
    "galaxy_vcs": "a release is installed from PyPI, not from a repository; set galaxy_release",
    "galaxy_local_tools": "this version of the collection installs no local tools",
    "galaxy_local_tools_dir": "this version of the collection installs no local tools",
    "galaxy_config_files": "no further files are copied yet; the job configuration is galaxy_job_config",
    "galaxy_config_templates": "no further files are copied yet; the job configuration is galaxy_job_config",
    "galaxy_config_style": "the configuration is always galaxy.ini, which uWSGI and Galaxy share",
    "galaxy_config_file": "the configuration is always galaxy.ini in galaxy_config_dir",
    "galaxy_layout": "directories are below galaxy_root; set galaxy_root or the directories one by one",
    "galaxy_group": "set it as galaxy_user.group",
    "nginx_configs": "nginx has one site, made from the nginx_ variables; add to it with nginx_server_directives",
    "nginx_servers": "nginx has one site, made from the nginx_ variables; add to it with nginx_server_directives",
    "nginx_ssl_servers": "nginx has one site, made from the nginx_ variables; add to it with nginx_server_directives",
    "supervisor_configs": "supervisor's programs are made from uwsgi_processes and galaxy_handlers",
    "supervisor_programs": "supervisor's programs are made from uwsgi_processes and galaxy_handlers",
}

# Parts of galaxyproject.galaxy that have no counterpart and do no harm.
WITHOUT_EFFECT = re.compile(
    r"galaxy_(manage|systemd|gravity|tmpclean|errordocs|themes|client|build_client|pip|restart_handler)(_.*)?"
)


def check_names(names: Iterable[str], specs: Mapping[str, Spec]) -> list[Problem]:
    """Return problems with variables that look like ours and are not."""
    problems = []
    unread = []
    for name in sorted(names):
        if name in specs or not name.startswith(PREFIXES):
            continue
        if name in RETIRED:
            problems.append(Problem(f"{name}: this collection calls it {RETIRED[name]}; rename it"))
        elif name in NOT_SHARED:
            problems.append(Problem(f"{name}: {NOT_SHARED[name]}; remove it"))
        elif WITHOUT_EFFECT.fullmatch(name):
            problems.append(
                Problem(f"{name}: has no effect; nothing in this collection corresponds to it", fatal=False)
            )
        else:
            guess = nearest(name, specs, cutoff=0.86)
            if guess:
                problems.append(Problem(f"{name}: no role has such a variable; did you mean {guess}?"))
            elif name.startswith(OWN_PREFIXES):
                unread.append(name)
    if unread:
        problems.append(Problem(f"no role of this collection reads {', '.join(unread)}", fatal=False))
    return problems


# --- Single values ---------------------------------------------------------------------------------

ABSOLUTE_PATH = re.compile(r"/[A-Za-z0-9._+@/-]*")
SYSTEM_DIRECTORIES = frozenset(
    [
        "/",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/etc/nginx",
        "/etc/supervisor",
        "/home",
        "/lib",
        "/lib32",
        "/lib64",
        "/lost+found",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/tmp",  # noqa: S108 (a name to refuse)
        "/usr",
        "/usr/bin",
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/lib",
        "/usr/sbin",
        "/usr/share",
        "/var",
        "/var/backups",
        "/var/cache",
        "/var/lib",
        "/var/lib/nginx",
        "/var/lib/postgresql",
        "/var/local",
        "/var/log",
        "/var/mail",
        "/var/opt",
        "/var/run",
        "/var/spool",
        "/var/tmp",  # noqa: S108
    ]
)
# Emptied at every start of the machine, or no real files.
VOLATILE_DIRECTORIES = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp", "/boot")  # noqa: S108

INSTANCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
GROUP_OF_PROGRAMS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
ACCOUNT_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
RELEASE = re.compile(r"(?P<year>\d\d)\.(?P<minor>\d{1,2})\.(?P<patch>\d+)")
URL_PREFIX = re.compile(r"/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
BODY_SIZE = re.compile(r"\d+[kKmMgG]?")
SERVER_NAME = re.compile(r"[^\s;{}$\"'\\#]+")
HEADER_VARIABLE = re.compile(r"HTTP_[A-Z0-9_]+")
UMASK = re.compile(r"0?[0-7]{3}")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VERSION = re.compile(r"\d+(\.\d+)+([a-z0-9.]*)?")
# A name, with extras, versions and markers; no option of pip's, no path, no address.
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?[A-Za-z0-9 .,*+!<>=~;_()'\"-]*")
LISTEN = re.compile(
    r"(?:(?P<address>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]+):)?(?P<port>\d+)(?P<parameters>(?: [a-z0-9_=]+)*)"
)
SOCKET = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):(?P<port>\d+)")

# Every address of the machine, as uWSGI and nginx write it.
ANY_ADDRESS = ("", "*", "0.0.0.0", "[::]")  # noqa: S104 (names to refuse)

# sun_path of a Unix socket has 108 bytes, the last of which is 0.
LONGEST_SOCKET_PATH = 107

# First release without a native WSGI application.
FIRST_MODERN = (22, 5)

# (variable, lowest, highest, unit)
RANGES: tuple[tuple[str, int, int | None, str], ...] = (
    ("uwsgi_processes", 1, 1024, ""),
    ("uwsgi_threads", 1, 1024, ""),
    ("galaxy_request_timeout", 1, 86400, " seconds"),
    ("galaxy_drain_timeout", 1, 86400, " seconds"),
    ("supervisor_web_stop_timeout", 1, 86400, " seconds"),
    ("supervisor_handler_stop_margin", 1, 86400, " seconds"),
    ("nginx_static_expires", 0, None, " seconds"),
    ("galaxy_local_runner_workers", 1, 1024, ""),
    ("uwsgi_log_rotations", 1, 3650, ""),
)

# (variable, pattern, what is allowed)
PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "galaxy_instance_name",
        INSTANCE_NAME,
        "lower-case letters, digits, hyphens and underscores, up to 32, a letter or digit first",
    ),
    ("galaxy_supervisor_group", GROUP_OF_PROGRAMS, "letters, digits, hyphens and underscores, up to 32"),
    (
        "galaxy_privsep_user",
        ACCOUNT_NAME,
        "the name of an account: lower-case letters, digits, hyphens and underscores",
    ),
    ("galaxy_config_group", ACCOUNT_NAME, "the name of a group: lower-case letters, digits, hyphens and underscores"),
    ("galaxy_url_prefix", URL_PREFIX, "/ or a path such as /galaxy, without a slash at its end"),
    ("nginx_client_max_body_size", BODY_SIZE, "a number, with k, m or g for its unit, such as 10g"),
    ("supervisor_umask", UMASK, 'three octal digits as text, such as "027"'),
    ("galaxy_uv_version", VERSION, "a version such as 0.13.9"),
)


def check_values(variables: Variables, specs: Mapping[str, Spec]) -> Iterator[Problem]:
    """Check variables one by one."""
    for name, lowest, highest, unit in RANGES:
        value = variables.get(name)
        if value is not None and (value < lowest or (highest is not None and value > highest)):
            upper = "" if highest is None else f" to {highest}"
            yield problem(name, value, f"has to be a number from {lowest}{upper}{unit}")
    for name, pattern, allowed in PATTERNS:
        value = variables.get(name)
        if value is not None and not pattern.fullmatch(str(value)):
            yield problem(name, value, f"allowed is {allowed}")
    for name, spec in specs.items():
        if spec.get("type") == "path" and variables.get(name) is not None:
            yield from _check_path(name, variables[name])
    yield from _check_release(variables)
    yield from _check_user(variables)
    yield from _check_nginx(variables)
    packages = [
        ("galaxy_additional_venv_packages", item) for item in variables.get("galaxy_additional_venv_packages") or []
    ]
    packages += [("galaxy_uwsgi_package", variables[name]) for name in ("galaxy_uwsgi_package",) if name in variables]
    for name, item in packages:
        if not REQUIREMENT.fullmatch(str(item)):
            yield problem(
                name, item, "has to be the name of a package on PyPI, with its version if need be, such as drmaa==0.7.9"
            )
    for name in ("supervisor_environment", "galaxy_download_environment"):
        yield from _check_environment(name, variables.get(name) or {})


def _check_path(name: str, value: t.Any) -> Iterator[Problem]:
    if not ABSOLUTE_PATH.fullmatch(str(value)):
        yield problem(
            name,
            value,
            "has to be an absolute path of letters, digits and . _ + @ - (others mean something to nginx or shells)",
        )
    elif os.path.normpath(value) != value or str(value).startswith("//"):
        yield problem(
            name,
            value,
            f"has to be written without ., .., double or trailing slashes: {os.path.normpath('/' + value.lstrip('/'))}",
        )
    elif name.endswith("_dir") or name == "galaxy_root":
        if value in SYSTEM_DIRECTORIES:
            yield problem(name, value, "is a directory of the system; name one below it, such as /srv/galaxy")
        elif name != "galaxy_run_dir" and value.startswith(tuple(item + "/" for item in VOLATILE_DIRECTORIES)):
            yield problem(
                name,
                value,
                "is below a directory that does not outlive a restart of the machine; name one such as /srv/galaxy",
            )


def _check_release(variables: Variables) -> Iterator[Problem]:
    release = variables.get("galaxy_release")
    if release is None:
        return
    found = RELEASE.fullmatch(str(release))
    if not found:
        yield problem(
            "galaxy_release", release, "has to be a release as PyPI numbers it, in quotes if need be, such as 26.1.2"
        )
    elif (int(found["year"]), int(found["minor"])) < FIRST_MODERN:
        yield problem(
            "galaxy_release",
            release,
            "has to be 22.5.0 or later; classic releases (up to 22.1) are not supported yet",
        )


def account(variables: Variables) -> dict[str, t.Any]:
    """Return galaxy_user as a dictionary."""
    user = variables.get("galaxy_user")
    return dict(user) if isinstance(user, dict) else {"name": user}


def _check_user(variables: Variables) -> Iterator[Problem]:
    user = variables.get("galaxy_user")
    if user is None:
        return
    keys = ("name", "group", "home", "shell", "uid")
    if not isinstance(user, (str, dict)) or (isinstance(user, dict) and "name" not in user):
        yield problem(
            "galaxy_user", user, f"has to be a name, or a dictionary with the keys {', '.join(keys)} (name is required)"
        )
        return
    parts = account(variables)
    for key in parts:
        if key not in keys:
            yield problem(f"galaxy_user.{key}", parts[key], f"unknown key; allowed are {', '.join(keys)}")
    for key in ("name", "group"):
        if key in parts and not (isinstance(parts[key], str) and ACCOUNT_NAME.fullmatch(parts[key])):
            yield problem(
                "galaxy_user" if isinstance(user, str) else f"galaxy_user.{key}",
                parts[key],
                "has to be lower-case letters, digits, hyphens and underscores, up to 32, not beginning with a digit",
            )
    for key in ("home", "shell"):
        if key in parts:
            yield from _check_path(f"galaxy_user.{key}", parts[key])
    uid = parts.get("uid")
    if uid is not None and (isinstance(uid, bool) or not str(uid).isdigit() or int(uid) < 1):
        yield problem("galaxy_user.uid", uid, "has to be a number from 1")
    if parts.get("name") == "root":
        yield problem(
            "galaxy_user",
            "root",
            "Galaxy and its jobs must not run as root; name an account of its own, such as galaxy",
        )
    separate = is_true(variables.get("galaxy_separate_privileges", True))
    if separate and variables.get("galaxy_privsep_user") == parts.get("name"):
        yield problem(
            "galaxy_privsep_user",
            parts.get("name"),
            "has to be another account than galaxy_user while galaxy_separate_privileges is true",
        )
    group = parts.get("group") or parts.get("name")
    if variables.get("galaxy_config_group") is not None and variables["galaxy_config_group"] in (group, "www-data"):
        yield problem(
            "galaxy_config_group",
            variables["galaxy_config_group"],
            "nginx is in that group, and may not read the configuration; name another, such as galaxy-config",
        )


def is_true(value: t.Any) -> bool:
    """Tell whether a value that passed for a boolean is true."""
    return value if isinstance(value, bool) else str(value).strip().lower() in TRUE_WORDS


def _check_nginx(variables: Variables) -> Iterator[Problem]:
    listen = variables.get("nginx_listen")
    if listen is not None and not listen:
        yield problem("nginx_listen", listen, 'has to name at least one port, such as "80"')
    for item in listen or []:
        found = LISTEN.fullmatch(str(item))
        if not found:
            yield problem(
                "nginx_listen", item, 'has to be a port or address:port, such as "80", "[::]:80" or "443 ssl"'
            )
        elif not 1 <= int(found["port"]) <= 65535:
            yield problem("nginx_listen", item, "the port has to be from 1 to 65535")
    names = variables.get("nginx_server_names")
    if names is not None and not names:
        yield problem("nginx_server_names", names, "has to name at least one name; _ is any")
    for item in names or []:
        if not SERVER_NAME.fullmatch(str(item)):
            yield problem(
                "nginx_server_names", item, "has to be a host name, without white space, quotes and ; { } $ # \\"
            )
    for item in variables.get("nginx_stripped_headers") or []:
        if not HEADER_VARIABLE.fullmatch(str(item)):
            yield problem(
                "nginx_stripped_headers", item, "has to be a header as a CGI variable, such as HTTP_REMOTE_USER"
            )
    for item in variables.get("nginx_server_directives") or []:
        text = str(item).strip()
        if not text.endswith((";", "}")) and not text.startswith("#"):
            yield problem("nginx_server_directives", item, "a directive of nginx ends with ; or a block with }")
        elif text.count("{") != text.count("}"):
            yield problem("nginx_server_directives", item, "{ and } do not match")


def _check_environment(variable: str, environment: dict[str, t.Any]) -> Iterator[Problem]:
    for name, value in environment.items():
        where = f"{variable}.{name}"
        if not ENVIRONMENT_NAME.fullmatch(str(name)):
            yield problem(
                variable,
                name,
                "the name of an environment variable has letters, digits and underscores, no digit first",
            )
        elif isinstance(value, (dict, list)):
            yield problem(where, value, "the value of an environment variable has to be text")
        elif variable == "supervisor_environment" and value is not None and fault_of(str(value)):
            yield problem(where, "...", str(fault_of(str(value))))
        elif re.search(r"[\x00-\x1f\x7f]", str(value)):
            yield problem(
                where, value, "the value of an environment variable may hold no line break or other control character"
            )


# --- Relations -------------------------------------------------------------------------------------

# Directories that hold different things for different readers: none may be, or lie in, another.
APART = (
    "galaxy_server_dir",
    "galaxy_venv_dir",
    "galaxy_releases_dir",
    "galaxy_config_dir",
    "galaxy_mutable_data_dir",
    "galaxy_log_dir",
    "galaxy_run_dir",
)
# Galaxy writes here, so that it may lie in its data and must not lie in what it only reads.
WRITABLE_IN_DATA = ("galaxy_mutable_config_dir", "galaxy_log_dir", "galaxy_run_dir")


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def check_directories(variables: Variables) -> Iterator[Problem]:
    """Check that directories with different readers and writers lie apart."""
    paths = {
        name: variables[name] for name in (*APART, "galaxy_mutable_config_dir") if isinstance(variables.get(name), str)
    }
    for name, path in paths.items():
        for other, directory in paths.items():
            if name == other or not _inside(path, directory):
                continue
            if path == directory:
                if name < other:
                    yield problem(name, path, f"is also {other}; they have to be two directories")
            elif not (other == "galaxy_mutable_data_dir" and name in WRITABLE_IN_DATA):
                yield problem(name, path, f"lies in {other} ({directory}); they have to lie apart")
    run_dir = variables.get("galaxy_run_dir")
    if isinstance(run_dir, str) and len(f"{run_dir}/uwsgi.stats".encode()) > LONGEST_SOCKET_PATH:
        yield problem(
            "galaxy_run_dir",
            run_dir,
            f"is too long for the sockets in it, whose paths have {LONGEST_SOCKET_PATH} bytes at most",
        )


def check_ports(variables: Variables) -> Iterator[Problem]:
    """Check where uWSGI and nginx listen."""
    socket = variables.get("uwsgi_socket")
    if socket is None:
        return
    allowed = "has to be host:port or the absolute path of a Unix socket, such as 127.0.0.1:4001"
    if str(socket).startswith("/"):
        before = list(_check_path("uwsgi_socket", socket))
        yield from before
        if not before and len(str(socket).encode()) > LONGEST_SOCKET_PATH:
            yield problem("uwsgi_socket", socket, f"the path of a Unix socket has {LONGEST_SOCKET_PATH} bytes at most")
        run_dir = variables.get("galaxy_run_dir")
        if not before and run_dir is not None and not _inside(str(socket), str(run_dir)):
            yield problem(
                "uwsgi_socket",
                socket,
                f"Galaxy's user can make a socket in galaxy_run_dir only, such as {run_dir}/uwsgi.sock",
            )
        return
    found = SOCKET.fullmatch(str(socket))
    if not found:
        yield problem("uwsgi_socket", socket, allowed)
        return
    port = int(found["port"])
    if not 1 <= port <= 65535:
        yield problem("uwsgi_socket", socket, "the port has to be from 1 to 65535")
        return
    host = found["host"]
    if host in ANY_ADDRESS:
        yield problem(
            "uwsgi_socket",
            socket,
            "uWSGI's protocol knows no password, and whoever reaches this port passes nginx by; allowed is one address,"
            f" such as 127.0.0.1:{port}",
        )
    for item in variables.get("nginx_listen") or []:
        listen = LISTEN.fullmatch(str(item))
        if listen and int(listen["port"]) == port and (listen["address"] or "") in (*ANY_ADDRESS, host):
            yield problem(
                "nginx_listen", item, f"uWSGI has that port (uwsgi_socket: {socket}); each needs one of its own"
            )


def database_connection(variables: Variables) -> tuple[str, t.Any]:
    """Return the variable that names the database, and its value. Galaxy's own option wins."""
    options = galaxy_options(variables)
    if options.get("database_connection") is not None:
        return "galaxy_config app:main.database_connection", options["database_connection"]
    return "galaxy_database_connection", variables.get("galaxy_database_connection")


def check_database(variables: Variables) -> Iterator[Problem]:
    """Check the database's URL, and what it allows."""
    name, url = database_connection(variables)
    if url is None:
        return
    allowed = "has to be a URL of SQLAlchemy's, such as postgresql:///galaxy?host=/var/run/postgresql"
    if not isinstance(url, str) or re.search(r"\s", url):
        yield problem(name, url, allowed)
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        yield problem(name, url, "the port has to be a number from 1 to 65535")
        return
    if not parts.scheme or "://" not in url:
        yield problem(name, url, allowed)
        return
    if parts.scheme not in ("postgresql", "postgresql+psycopg2", "sqlite"):
        hint = "postgres is called postgresql; " if parts.scheme == "postgres" else ""
        yield problem(
            name, url, f"{hint}the database has to be postgresql://... (or sqlite:///... for a single process)"
        )
        return
    if "%" in url:
        yield problem(
            name,
            url,
            "may hold no percent sign, which Galaxy's database migrations take for the start of a substitution; use a"
            " password of letters, digits, hyphens and underscores, or the Unix socket, which needs none",
        )
    if not parts.path.strip("/"):
        yield problem(name, url, "names no database; " + allowed)
    if port == 0:
        yield problem(name, url, "the port has to be a number from 1 to 65535")
    if parts.scheme == "sqlite":
        yield from _check_sqlite(name, url, variables)


def _check_sqlite(name: str, url: str, variables: Variables) -> Iterator[Problem]:
    reason = (
        "SQLite lets one process write at a time, and has no way for handlers to take jobs from it; use PostgreSQL, or"
    )
    data = variables.get("galaxy_mutable_data_dir")
    path = urlsplit(str(url)).path[1:]
    if data is not None and not _inside(os.path.normpath(path), str(data)):
        yield problem(
            name, url, f"the file has to be in galaxy_mutable_data_dir, such as sqlite:///{data}/galaxy.sqlite"
        )
    processes = variables.get("uwsgi_processes")
    if processes is not None and processes > 1:
        yield problem(name, url, f"{reason} set uwsgi_processes to 1 (it is {processes})")
    try:
        handlers = len(handler_list(variables.get("galaxy_handlers")))
    except InputError:
        return
    if handlers:
        yield problem(
            name, url, f"{reason} set galaxy_handlers to 0 (there are {handlers}; the web process then runs the jobs)"
        )


# --- galaxy.ini ------------------------------------------------------------------------------------


def user_sections(variables: Variables) -> dict[str, dict[str, t.Any]]:
    """Return what the user sets in galaxy.ini, nulls included, as far as it can be read."""
    result: dict[str, dict[str, t.Any]] = {}
    config = variables.get("galaxy_config")
    for section, options in config.items() if isinstance(config, dict) else ():
        if isinstance(section, str) and isinstance(options, dict):
            result.setdefault(SECTION_ALIASES.get(section, section), {}).update(options)
    return result


def galaxy_options(variables: Variables) -> dict[str, t.Any]:
    """Return the user's options of Galaxy."""
    return user_sections(variables).get(APP_SECTION, {})


def uwsgi_options(variables: Variables) -> dict[str, tuple[str, t.Any]]:
    """Return the user's options of uWSGI, each with the variable that sets it; galaxy_config wins."""
    result: dict[str, tuple[str, t.Any]] = {}
    options = variables.get("uwsgi_options")
    for name, value in options.items() if isinstance(options, dict) else ():
        result[str(name)] = (f"uwsgi_options.{name}", value)
    for name, value in user_sections(variables).get(UWSGI_SECTION, {}).items():
        result[str(name)] = (f"galaxy_config uwsgi.{name}", value)
    return result


# Options of uWSGI that say the same as a variable which other parts need as well.
UWSGI_BY_VARIABLE = {
    "processes": "uwsgi_processes",
    "workers": "uwsgi_processes",
    "p": "uwsgi_processes",
    "threads": "uwsgi_threads",
    "socket": "uwsgi_socket",
    "uwsgi-socket": "uwsgi_socket",
    "s": "uwsgi_socket",
}

# Options of uWSGI that cannot work here, and why. A tuple gives values that are allowed all the same.
_FOREGROUND = "supervisor needs the process in the foreground"
_LOADED = "galaxy.ini already says what is served"
UWSGI_REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "daemonize": ((), _FOREGROUND),
    "daemonize2": ((), _FOREGROUND),
    "ini-paste": ((), _LOADED),
    "ini-paste-logged": ((), _LOADED),
    "paste": ((), _LOADED),
    "wsgi-file": ((), _LOADED),
    "wsgi": ((), _LOADED),
    "module": ((), _LOADED),
    "gevent": ((), "Galaxy is served by threads"),
    "asyncio": ((), "Galaxy is served by threads"),
    "async": ((), "Galaxy is served by threads"),
    "uid": ((), "supervisor already starts it as galaxy_user"),
    "gid": ((), "supervisor already starts it as galaxy_user"),
    "master": (TRUE_WORDS, "without a master nothing loads Galaxy once and restarts its workers"),
    "need-app": (TRUE_WORDS, "without it a Galaxy that does not load is tried again for ever"),
    "die-on-term": (TRUE_WORDS, "without it supervisor's signal to stop would restart uWSGI"),
    "enable-threads": (TRUE_WORDS, "Galaxy has threads of its own"),
    "py-call-osafterfork": ((), "it kills every worker of Python 3.13; py-call-uwsgi-fork-hooks does its work"),
}

# The lowest and highest that uWSGI's protocol (and nginx, which takes it over) can do with.
BUFFER_SIZE = (4096, 65535)

# Options of Galaxy that say the same as a variable (here as a template of it) which other parts need as well.
GALAXY_BY_VARIABLE = {
    "data_dir": ("galaxy_mutable_data_dir", "{galaxy_mutable_data_dir}"),
    "config_dir": ("galaxy_config_dir", "{galaxy_config_dir}"),
    "managed_config_dir": ("galaxy_mutable_config_dir", "{galaxy_mutable_config_dir}"),
    "galaxy_url_prefix": ("galaxy_url_prefix", "{galaxy_url_prefix}"),
    "monitor_thread_join_timeout": ("galaxy_drain_timeout", "{galaxy_drain_timeout}"),
    "job_config_file": ("galaxy_handlers and galaxy_job_config", "{galaxy_config_dir}/job_conf.yml"),
    "nginx_x_accel_redirect_base": ("the collection", "/_x_accel_redirect"),
    "paste.app_factory": ("the collection", "galaxy_wsgi:app_factory"),
}


def check_sections(variables: Variables) -> Iterator[Problem]:
    """Check that galaxy.ini can be written, and that its options agree with the variables."""
    layers = [variables.get("galaxy_config")]
    options = variables.get("uwsgi_options")
    if options:
        layers.insert(0, {UWSGI_SECTION: options})
    try:
        sections = combine_sections({}, *layers)
    except InputError as error:
        yield Problem(str(error))
        return
    before = len(found := [*_render_each(sections)])
    yield from found
    if not before:
        # What only shows when options stand beside each other.
        try:
            to_paste_deploy(sections)
        except InputError as error:
            yield Problem(f"galaxy_config: {error}")
    yield from _check_uwsgi_options(variables)
    yield from _check_galaxy_owned(variables)


def _render_each(sections: dict[str, dict[str, t.Any]]) -> Iterator[Problem]:
    for section, options in sections.items():
        for key, value in options.items():
            try:
                to_paste_deploy({section: {key: value}})
            except InputError as error:
                variable = "uwsgi_options/galaxy_config" if section == UWSGI_SECTION else "galaxy_config"
                yield Problem(f"{variable}: {error}")


def _same(value: t.Any, other: t.Any) -> bool:
    return str(value).strip() == str(other).strip()


def _check_uwsgi_options(variables: Variables) -> Iterator[Problem]:
    for name, (where, value) in uwsgi_options(variables).items():
        if name in UWSGI_BY_VARIABLE:
            variable = UWSGI_BY_VARIABLE[name]
            if variables.get(variable) is not None and not _same(value, variables[variable]):
                yield problem(
                    where,
                    value,
                    f"contradicts {variable} ({shown(variables[variable])}), which others need too; set {variable}",
                )
        elif name == "buffer-size":
            lowest, highest = BUFFER_SIZE
            if not str(value).isdigit() or not lowest <= int(value) <= highest:
                yield problem(where, value, f"has to be a number of bytes from {lowest} to {highest}")
        elif name in UWSGI_REFUSED:
            values, reason = UWSGI_REFUSED[name]
            if str(value).strip().lower() not in values:
                allowed = f"has to be {values[0]}" if values else "cannot be set"
                yield problem(where, value, f"{allowed}: {reason}")


def _check_galaxy_owned(variables: Variables) -> Iterator[Problem]:
    for name, value in galaxy_options(variables).items():
        where = f"galaxy_config app:main.{name}"
        if name == "job_config":
            yield problem(where, value, "cannot stand in galaxy.ini; set galaxy_job_config")
        if name not in GALAXY_BY_VARIABLE:
            continue
        variable, template = GALAXY_BY_VARIABLE[name]
        try:
            ours = template.format_map(variables)
        except KeyError:
            continue
        if value is None or not _same(value, ours):
            yield problem(
                where, value, f"has to be {ours}, or left out: it is made from {variable}, which others need too"
            )


# Directories below galaxy_mutable_data_dir from which nginx may hand files out.
DOWNLOAD_DIRECTORIES = ("objects", "tmp", "cache", "object_store_cache")
# Options of Galaxy that say where such files are.
DOWNLOAD_OPTIONS = ("file_path", "new_file_path", "object_store_cache_path")


def check_downloads(variables: Variables) -> Iterator[Problem]:
    """Check that nginx reaches every directory that Galaxy hands downloads over from."""
    data = variables.get("galaxy_mutable_data_dir")
    if not isinstance(data, str):
        return
    options = galaxy_options(variables)
    for name in DOWNLOAD_OPTIONS:
        value = options.get(name)
        if value is None:
            continue
        # Galaxy takes these relative to its data_dir.
        path = os.path.normpath(os.path.join(data, str(value)))
        allowed = [f"{data}/{directory}" for directory in DOWNLOAD_DIRECTORIES]
        if not any(_inside(path, directory) for directory in allowed):
            yield problem(
                f"galaxy_config app:main.{name}",
                value,
                f"nginx hands out {', '.join(allowed)}; name one below them, or set galaxy_mutable_data_dir",
            )


def check_galaxy(variables: Variables, release: dict[str, t.Any] | None) -> Iterator[Problem]:
    """Check Galaxy's options, its secrets and its jobs."""
    options = {name: value for name, value in galaxy_options(variables).items() if isinstance(name, str)}
    yield from check_secrets(options)
    if release is not None:
        plain_options = {name: value for name, value in options.items() if name != "job_config"}
        yield from check_options(plain_options, release, is_true(variables.get("galaxy_config_allow_unknown", False)))
    try:
        handlers = handler_list(variables.get("galaxy_handlers"))
    except InputError as error:
        yield Problem(str(error))
        return
    try:
        config = job_config(
            handlers, variables.get("galaxy_job_config"), variables.get("galaxy_local_runner_workers", 4)
        )
    except InputError as error:
        # A wrong number of workers has been named already.
        if not str(error).startswith("galaxy_local_runner_workers"):
            yield Problem(str(error))
        return
    if release is not None:
        yield from check_job_config(config, release)
    if not handlers and variables.get("uwsgi_processes", 1) > 1 and not _is_sqlite(variables):
        yield problem(
            "galaxy_handlers",
            variables.get("galaxy_handlers"),
            "without handlers the one web process runs the jobs; name handlers, or set uwsgi_processes to 1"
            f" (it is {variables['uwsgi_processes']})",
        )


def _is_sqlite(variables: Variables) -> bool:
    return str(database_connection(variables)[1]).startswith("sqlite:")


# --- All of it -------------------------------------------------------------------------------------


def check(
    specs: Mapping[str, Spec],
    values: Variables,
    names: Iterable[str] = (),
    release: dict[str, t.Any] | None = None,
) -> list[Problem]:
    """Return everything that is wrong with a host's variables.

    ``values`` are the variables of the specs, ``names`` those of all variables of the host, ``release`` is
    what the release in galaxy_release knows, if the collection has a table of it.
    """
    problems, good = check_types(specs, values)
    problems += check_names(names, specs)
    problems += check_values(good, specs)
    problems += check_directories(good)
    problems += check_ports(good)
    problems += check_database(good)
    problems += check_sections(good)
    problems += check_downloads(good)
    problems += check_galaxy(good, release)
    # One value may be wrong in the eyes of several checks, in the same words.
    return list(dict.fromkeys(problems))
