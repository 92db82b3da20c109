# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's options, secrets, downloads and jobs."""

from __future__ import annotations

import os.path
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    galaxy_options,
    http,
    is_sqlite,
    is_true,
    processes,
    same,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    Problem,
    check_job_config,
    check_options,
    check_secrets,
    problem,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import handler_list, job_config
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

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


def check_owned(variables: Variables) -> Iterator[Problem]:
    """Check that Galaxy's options agree with the variables they are made from."""
    for name, value in galaxy_options(variables).items():
        where = f"galaxy_config app:main.{name}"
        if name == "job_config":
            yield problem(where, value, "cannot stand in galaxy.ini; set galaxy_job_config")
        if name == "nginx_x_accel_redirect_base" and http(variables)[1]:
            if value is not None:
                yield problem(where, value, "has to be left out: with uwsgi_http, uWSGI itself sends the files")
            continue
        if name not in GALAXY_BY_VARIABLE:
            continue
        variable, template = GALAXY_BY_VARIABLE[name]
        try:
            ours = template.format_map(variables)
        except KeyError:
            continue
        if value is None or not same(value, ours):
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
        if not any(inside(path, directory) for directory in allowed):
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
    where, number = processes(variables)
    if not handlers and number > 1 and not is_sqlite(variables):
        yield problem(
            "galaxy_handlers",
            variables.get("galaxy_handlers"),
            "without handlers the one web process runs the jobs; name handlers, or set uwsgi_processes to 1"
            f" ({where} is {number})",
        )
