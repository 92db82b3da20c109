# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and directories."""

from __future__ import annotations

import os.path
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem

ABSOLUTE_PATH = re.compile(r"/[A-Za-z0-9._+@/-]*")
PATH_CHARACTERS = "letters, digits and . _ + @ - (others mean something to nginx or shells)"
# What is made, and given an owner, besides the variables that end in _dir.
OTHER_DIRECTORIES = ("galaxy_root", "galaxy_user.home", "nginx_client_body_temp_path")
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


# sun_path of a Unix socket has 108 bytes, the last of which is 0.
LONGEST_SOCKET_PATH = 107


def check_path(name: str, value: t.Any) -> Iterator[Problem]:
    """Check that a path can be written into every file that has it."""
    if not ABSOLUTE_PATH.fullmatch(str(value)):
        yield problem(name, value, f"has to be an absolute path of {PATH_CHARACTERS}", secret=name.endswith("_key"))
    elif os.path.normpath(value) != value or str(value).startswith("//"):
        yield problem(
            name,
            value,
            f"has to be written without ., .., double or trailing slashes: {os.path.normpath('/' + value.lstrip('/'))}",
        )
    elif name.endswith("_dir") or name in OTHER_DIRECTORIES:
        if value in SYSTEM_DIRECTORIES:
            yield problem(name, value, "is a directory of the system; name one below it, such as /srv/galaxy")
        elif name != "galaxy_run_dir" and value.startswith(tuple(item + "/" for item in VOLATILE_DIRECTORIES)):
            yield problem(
                name,
                value,
                "is below a directory that does not outlive a restart of the machine; name one such as /srv/galaxy",
            )


# Directories that hold different things for different readers: none may be, or lie in, another.
APART = (
    "galaxy_server_dir",
    "galaxy_venv_dir",
    "galaxy_releases_dir",
    "galaxy_config_dir",
    "galaxy_mutable_data_dir",
    "galaxy_log_dir",
    "galaxy_run_dir",
    "galaxy_local_tools_dir",
    "galaxy_dump_dir",
    "galaxy_backup_dir",
)
# All directories of an instance.
DIRECTORIES = (*APART, "galaxy_mutable_config_dir")
# Galaxy writes here, so that it may lie in its data and must not lie in what it only reads.
WRITABLE_IN_DATA = ("galaxy_mutable_config_dir", "galaxy_log_dir", "galaxy_run_dir")


def inside(path: str, directory: str) -> bool:
    """Tell whether a path is a directory, or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def check_directories(variables: Variables) -> Iterator[Problem]:
    """Check that directories with different readers and writers lie apart."""
    paths = {name: variables[name] for name in DIRECTORIES if isinstance(variables.get(name), str)}
    for name, path in paths.items():
        for other, directory in paths.items():
            if name == other or not inside(path, directory):
                continue
            if path == directory:
                if {name, other} == {"galaxy_mutable_config_dir", "galaxy_config_dir"}:
                    if name == "galaxy_mutable_config_dir":
                        yield problem(
                            name,
                            path,
                            "Galaxy may not write its own configuration; what it writes goes to"
                            f" {variables.get('galaxy_mutable_data_dir')}/config",
                            fatal=False,
                        )
                elif name < other:
                    yield problem(name, path, f"is also {other}; they have to be two directories")
            elif not (other == "galaxy_mutable_data_dir" and name in WRITABLE_IN_DATA):
                yield problem(name, path, f"lies in {other} ({directory}); they have to lie apart")
    yield from _check_backed_up(variables, paths)
    run_dir = variables.get("galaxy_run_dir")
    if isinstance(run_dir, str) and len(f"{run_dir}/uwsgi.stats".encode()) > LONGEST_SOCKET_PATH:
        yield problem(
            "galaxy_run_dir",
            run_dir,
            f"is too long for the sockets in it, whose paths have {LONGEST_SOCKET_PATH} bytes at most",
        )


def _check_backed_up(variables: Variables, paths: dict[str, str]) -> Iterator[Problem]:
    """Check the further directories of a backup, which a restore replaces as a whole."""
    for number, path in enumerate(variables.get("galaxy_backup_paths") or []):
        name = f"galaxy_backup_paths[{number}]"
        problems = list(check_path(name, path))
        yield from problems
        if problems:
            continue
        if path in SYSTEM_DIRECTORIES or path.startswith(tuple(item + "/" for item in VOLATILE_DIRECTORIES)):
            yield problem(name, path, "is a directory of the system; name one that holds nothing but Galaxy's data")
        for other, taken in paths.items():
            if inside(taken, path) or (other != "galaxy_mutable_data_dir" and inside(path, taken)):
                yield problem(name, path, f"and {other} ({taken}) lie in each other; they have to lie apart")
