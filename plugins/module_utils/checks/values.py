# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single values: ranges, patterns, accounts, environments."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Spec,
    Variables,
    account,
    is_count,
    is_true,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import check_path
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import fault_of

INSTANCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
INSTANCE_CHARACTERS = "lower-case letters, digits, hyphens and underscores, up to 32, a letter or digit first"
GROUP_OF_PROGRAMS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
ACCOUNT_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
URL_PREFIX = re.compile(r"/|(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
BACKUP_NAME = re.compile(r"latest|[A-Za-z0-9][A-Za-z0-9._-]*")
BODY_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
UMASK = re.compile(r"0?[0-7]{3}")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VERSION = re.compile(r"[0-9]+(\.[0-9]+)+([a-z0-9.]*)?")
# A name, with extras, versions and markers; no option of pip's, no path, no address.
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._, -]+\])?[A-Za-z0-9 .,*+!<>=~;_()'\"-]*")


DEBIAN_PYTHON = "/usr/bin/python3"

# As long as nginx and browsers have a use for.
TEN_YEARS = 315_360_000

# (variable, lowest, highest, unit)
RANGES: tuple[tuple[str, int, int, str], ...] = (
    ("uwsgi_processes", 1, 1024, ""),
    ("uwsgi_threads", 1, 1024, ""),
    ("galaxy_request_timeout", 1, 86400, " seconds"),
    ("galaxy_drain_timeout", 1, 86400, " seconds"),
    ("supervisor_web_stop_timeout", 1, 86400, " seconds"),
    ("supervisor_handler_stop_margin", 1, 86400, " seconds"),
    ("nginx_static_expires", 0, TEN_YEARS, " seconds"),
    ("nginx_hsts_max_age", 0, TEN_YEARS, " seconds"),
    ("nginx_login_rate", 0, 1_000_000, " a minute"),
    ("nginx_upload_rate", 0, 1_000_000, " a minute"),
    ("galaxy_local_runner_workers", 1, 1024, ""),
    ("galaxy_keep_dumps", 1, 1000, ""),
    ("galaxy_keep_backups", 1, 1000, ""),
    ("galaxy_keep_releases", 2, 1000, " (the one that serves, and the one that a rollback needs)"),
    ("galaxy_trial_timeout", 1, 86400, " seconds"),
    ("uwsgi_log_rotations", 1, 3650, ""),
    ("uwsgi_restart_timeout", 1, 86400, " seconds"),
)

# (variable, pattern, what is allowed)
PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("galaxy_instance_name", INSTANCE_NAME, INSTANCE_CHARACTERS),
    ("nginx_site", INSTANCE_NAME, INSTANCE_CHARACTERS),
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
    ("galaxy_restore", BACKUP_NAME, "the name of a backup below galaxy_backup_dir, or latest"),
    ("galaxy_uv_version", VERSION, "a version such as 0.13.9"),
)


def check_values(variables: Variables, specs: Mapping[str, Spec]) -> Iterator[Problem]:
    """Check variables one by one."""
    for name, lowest, highest, unit in RANGES:
        value = variables.get(name)
        if value is not None and not lowest <= value <= highest:
            yield problem(name, value, f"has to be a number from {lowest} to {highest}{unit}")
    for name, pattern, allowed in PATTERNS:
        value = variables.get(name)
        if value is not None and not pattern.fullmatch(str(value)):
            yield problem(name, value, f"allowed is {allowed}")
    for name in ("nginx_configs", "supervisor_configs"):
        for item in variables.get(name) or []:
            if not INSTANCE_NAME.fullmatch(str(item)):
                yield problem(name, item, f"the name of a template has {INSTANCE_CHARACTERS}")
    for name, spec in specs.items():
        if spec.get("type") == "path" and variables.get(name) is not None:
            yield from check_path(name, variables[name])
    yield from _check_user(variables)
    packages = [
        ("galaxy_additional_venv_packages", item) for item in variables.get("galaxy_additional_venv_packages") or []
    ]
    single = ["galaxy_uwsgi_package"]
    if variables.get("galaxy_install_method") == "git":
        single.append("galaxy_client_package")
    packages += [(name, variables[name]) for name in single if variables.get(name)]
    for name, item in packages:
        if not REQUIREMENT.fullmatch(str(item)):
            yield problem(
                name, item, "has to be the name of a package on PyPI, with its version if need be, such as drmaa==0.7.9"
            )
    python = variables.get("galaxy_python", DEBIAN_PYTHON)
    if variables.get("uwsgi_install_method") == "apt" and python != DEBIAN_PYTHON:
        yield problem(
            "uwsgi_install_method",
            "apt",
            "Debian's uWSGI has a plugin for Debian's own Python; choose wheel or source, or set galaxy_python to"
            f" {DEBIAN_PYTHON} (it is {python})",
        )
    for name in ("supervisor_environment", "galaxy_download_environment"):
        yield from _check_environment(name, variables.get(name) or {})


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
            yield from check_path(f"galaxy_user.{key}", parts[key])
    uid = parts.get("uid")
    if uid is not None and (not is_count(uid) or int(uid) < 1):
        yield problem("galaxy_user.uid", uid, "has to be a number from 1")
    if parts.get("name") == "root":
        yield problem(
            "galaxy_user",
            "root",
            "Galaxy and its jobs must not run as root; name an account of its own, such as galaxy",
        )
    separate = is_true(variables.get("galaxy_separate_privileges", True)) and parts.get("name") != "root"
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
