# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the user's that go into the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import check_path, inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.local_tools import local_tools
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import FILE_NAMES
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

# Variables that list files to copy, each with src and dest, and the directory beside a playbook in which src may be.
COPIED = {"galaxy_config_files": "files", "galaxy_config_templates": "templates"}

# What the collection writes there itself.
OURS = {
    "galaxy.ini": "give its options as galaxy_config",
    "secrets.json": "it holds the secrets of the instance",
    ".proof.json": "it tells what has been proved",
    "local_tool_conf.xml": "give its tools as galaxy_local_tools",
    "job_conf.yml": "give its options as galaxy_job_config, or name the file otherwise and in job_config_file",
    **dict.fromkeys(FILE_NAMES.values(), "give uWSGI's options as uwsgi_options"),
}


def check_files(variables: Variables) -> Iterator[Problem]:
    """Check where files of the user's go."""
    directory = variables.get("galaxy_config_dir")
    seen: set[str] = set()
    for variable in COPIED:
        for number, entry in enumerate(variables.get(variable) or []):
            where = f"{variable}[{number}].dest"
            dest = str(entry.get("dest"))
            wrong = list(check_path(where, dest))
            yield from wrong
            if wrong or not isinstance(directory, str):
                continue
            if not inside(dest, directory) or dest == directory:
                yield problem(where, dest, f"has to be a file below galaxy_config_dir, {directory}")
            elif dest.removeprefix(f"{directory}/") in OURS:
                name = dest.removeprefix(f"{directory}/")
                yield problem(where, dest, f"is a file that the collection writes; {OURS[name]}")
            if dest in seen:
                yield problem(where, dest, "is given twice")
            seen.add(dest)
    try:
        local_tools(variables.get("galaxy_local_tools"))
    except InputError as error:
        yield Problem(str(error))
