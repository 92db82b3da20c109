# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's options, secrets and downloads."""

from __future__ import annotations

import os.path
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    classic,
    galaxy_options,
    http,
    is_true,
    same,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import (
    ABSOLUTE_PATH,
    PATH_CHARACTERS,
    inside,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import (
    Problem,
    check_options,
    check_secrets,
    problem,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import KEY_NAME

# Options of Galaxy that say the same as a variable (here as a template of it) which other parts need as well.
GALAXY_BY_VARIABLE = {
    "data_dir": ("galaxy_mutable_data_dir", "{galaxy_mutable_data_dir}"),
    "config_dir": ("galaxy_config_dir", "{galaxy_config_dir}"),
    "managed_config_dir": ("galaxy_mutable_config_dir", "{galaxy_mutable_config_dir}"),
    "galaxy_url_prefix": ("galaxy_url_prefix", "{galaxy_url_prefix}"),
    "monitor_thread_join_timeout": ("galaxy_drain_timeout", "{galaxy_drain_timeout}"),
    "nginx_x_accel_redirect_base": ("the collection", "/_x_accel_redirect"),
    "paste.app_factory": ("the collection", "galaxy_wsgi:app_factory"),
}
# The same for classic releases, where they differ; null is for what they do not know.
CLASSIC_BY_VARIABLE: dict[str, tuple[str, str] | None] = {
    "galaxy_url_prefix": None,
    "cookie_path": ("galaxy_url_prefix", "{galaxy_url_prefix}"),
    "filter-with": ("galaxy_url_prefix", "proxy-prefix"),
    "paste.app_factory": ("the collection", "galaxy.web.buildapp:app_factory"),
}


# Options for a module of nginx's.
UPLOAD_OPTIONS = tuple(f"nginx_upload_{name}" for name in ("store", "path", "job_files_store", "job_files_path"))
UPLOAD_MODULE = "Debian's nginx has no upload module any more, and Galaxy takes uploads itself, in parts"

# Options that name a directory in which Galaxy writes (roles/_common/vars/main.yml, __galaxy_directory_options).
DIRECTORY_OPTIONS = (
    "file_path",
    "ftp_upload_dir",
    "galaxy_data_manager_data_path",
    "job_working_directory",
    "new_file_path",
    "object_store_cache_path",
    "shed_tool_data_path",
    "template_cache_path",
    "tool_cache_data_dir",
    "tool_dependency_dir",
)
READ_ONLY = ("galaxy_server_dir", "galaxy_venv_dir", "galaxy_releases_dir", "galaxy_config_dir", "galaxy_log_dir")


def _check_directory(where: str, value: str, variables: Variables) -> Iterator[Problem]:
    path = os.path.normpath(value)
    for name in READ_ONLY:
        directory = variables.get(name)
        if isinstance(directory, str) and inside(path, directory):
            yield problem(where, value, f"Galaxy writes there, and may only read {name} ({directory}); name another")


def check_owned(variables: Variables) -> Iterator[Problem]:
    """Check that Galaxy's options agree with the variables they are made from."""
    owned: dict[str, tuple[str, str] | None] = dict(GALAXY_BY_VARIABLE)
    if classic(variables) is None:
        owned.update(dict.fromkeys(CLASSIC_BY_VARIABLE))
    elif classic(variables):
        owned.update(CLASSIC_BY_VARIABLE)
    for name, value in galaxy_options(variables).items():
        where = f"galaxy_config app:main.{name}"
        if name == "nginx_x_accel_redirect_base" and http(variables)[1]:
            if value is not None:
                yield problem(where, value, "has to be left out: with uwsgi_http, uWSGI itself sends the files")
            continue
        if name in UPLOAD_OPTIONS:
            if value is not None:
                yield problem(where, value, f"is left out: {UPLOAD_MODULE}", fatal=False)
            continue
        if name in DIRECTORY_OPTIONS and value is not None:
            yield from _check_directory(where, str(value), variables)
        made = owned.get(name)
        if made is None:
            continue
        variable, template = made
        try:
            ours = template.format_map(variables)
        except KeyError:
            continue
        if value is None or not same(value, ours):
            yield problem(
                where, value, f"has to be {ours}, or left out: it is made from {variable}, which others need too"
            )


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
        where = f"galaxy_config app:main.{name}"
        if not inside(path, data):
            yield problem(
                where,
                value,
                f"nginx hands out files below {data} only; name a directory there, or set galaxy_mutable_data_dir",
            )
        elif not ABSOLUTE_PATH.fullmatch(path):
            yield problem(where, value, f"has to be a path of {PATH_CHARACTERS}")


def check_galaxy(variables: Variables, release: dict[str, t.Any] | None) -> Iterator[Problem]:
    """Check Galaxy's options and its secrets."""
    options = {name: value for name, value in galaxy_options(variables).items() if KEY_NAME.fullmatch(str(name))}
    yield from check_secrets(options)
    if release is not None:
        plain_options = {name: value for name, value in options.items() if name != "job_config"}
        yield from check_options(plain_options, release, is_true(variables.get("galaxy_config_allow_unknown", False)))
