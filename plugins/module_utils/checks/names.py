# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: variables that look like ours and are not."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec, Variables, same
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import nearest, shown

PREFIXES = ("galaxy_", "uwsgi_", "nginx_", "supervisor_", "postgresql_")
# Names that begin like this and that nobody here reads are more often a mistake than other software's.
OWN_PREFIXES = ("galaxy_", "uwsgi_")

# Names of other collections, and of the exercises, for what has another name here. The defaults of the new names take
# the old ones over (roles/*/defaults/main.yml), so that they work.
RETIRED = {
    "galaxy_root_dir": "galaxy_root",
    "galaxy_dir": "galaxy_root",
    "galaxy_data_dir": "galaxy_mutable_data_dir",
    "galaxy_logs_dir": "galaxy_log_dir",
    "galaxy_virtualenv_dir": "galaxy_venv_dir",
    "galaxy_virtualenv_python": "galaxy_python",
    "galaxy_venv_python": "galaxy_python",
    "galaxy_db_connection": "galaxy_database_connection",
    "galaxy_db_url": "galaxy_database_connection",
    "galaxy_version": "galaxy_release",
    "galaxy_changeset_id": "galaxy_commit_id",
    "galaxy_job_handlers": "galaxy_handlers",
    "nginx_conf_client_max_body_size": "nginx_client_max_body_size",
    "uwsgi_workers": "uwsgi_processes",
}

# Names of galaxyproject.galaxy and its neighbours with a meaning that is not shared, and why.
NOT_SHARED = {
    "galaxy_job_conf": "give job options as galaxy_job_config, or a file of your own with galaxy_config_files",
    "galaxy_job_config_file": "give it as galaxy_config app:main.job_config_file, the file with galaxy_config_files",
    "galaxy_file_path": "give it as galaxy_config app:main.file_path",
    "galaxy_config_perms": "the configuration is readable for the group galaxy_config_group",
    "galaxy_config_style": "the configuration is always galaxy.ini, which uWSGI and Galaxy share",
    "galaxy_config_file": "the configuration is always galaxy.ini in galaxy_config_dir",
    "galaxy_layout": "directories are below galaxy_root; set galaxy_root or the directories one by one",
    "galaxy_group": "set it as galaxy_user.group",
    "uwsgi_port": "set uwsgi_socket, such as 127.0.0.1:4001",
    "nginx_servers": "name templates of sites with nginx_configs",
    "nginx_ssl_servers": "name templates of sites with nginx_configs",
    "supervisor_programs": "name templates of supervisor's files with supervisor_configs",
}

# Variables of others that may have one value only, and what this collection does.
ONE_VALUE = {
    "galaxy_vcs": ("git", "Galaxy's source has not been in Mercurial since 2016"),
}

# Parts of galaxyproject.galaxy that have no counterpart and do no harm.
WITHOUT_EFFECT = re.compile(
    r"galaxy_(manage|systemd|gravity|tmpclean|errordocs|themes|client|build_client|pip|restart_handler|shed_tools_dir)(_.*)?"
    r"|nginx_flavor|postgresql_backup_.*"
)


def check_names(
    names: Iterable[str], specs: Mapping[str, Spec], values: Variables, foreign: Mapping[str, t.Any]
) -> list[Problem]:
    """Return problems with variables that look like ours and are not.

    ``values`` are those of the specs, ``foreign`` the values of other collections' names that are given.
    """
    problems = []
    unread = []
    for name in sorted(names):
        if name in specs or not name.startswith(PREFIXES):
            continue
        if name in RETIRED:
            problems.append(_check_retired(name, values, foreign))
        elif name in NOT_SHARED:
            problems.append(Problem(f"{name}: {NOT_SHARED[name]}; remove it"))
        elif name in ONE_VALUE:
            wanted, reason = ONE_VALUE[name]
            if str(foreign.get(name)) != wanted:
                problems.append(problem(name, foreign.get(name), f"has to be {wanted}, or left out: {reason}"))
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


def _check_retired(name: str, values: Variables, foreign: Mapping[str, t.Any]) -> Problem:
    new = RETIRED[name]
    value = foreign.get(name)
    # A release is named after its branch there, and the number is found out.
    if new != "galaxy_release" and new in values and not same(value, values[new]):
        return problem(
            name, value, f"this collection calls it {new}, which is {shown(values[new], new)}; give it once, as {new}"
        )
    return Problem(f"{name}: this collection calls it {new}, and takes it for that; rename it", fatal=False)
