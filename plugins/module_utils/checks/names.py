# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: variables that look like ours and are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Spec
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import nearest

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
