# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and workflows: handlers, the job configuration in each of its forms, and workflow schedulers."""

from __future__ import annotations

import os.path
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.files import COPIED
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    classic,
    galaxy_options,
    is_sqlite,
    is_true,
    processes,
    same,
    uwsgi_options,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, check_job_config, problem
from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import Handler, handler_list, takes_jobs
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import (
    VARIABLE,
    check,
    check_processes,
    job_config,
    methods_of,
    parse,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError
from ansible_collections.dagobah.galaxy.plugins.module_utils.workflow_schedulers import check_file, workflow_schedulers

# The user's own file for an option of Galaxy: the variable that names it, the file, and its text.
Files = dict[str, tuple[str, str, str]]

TEMPLATE = "galaxy_job_config_template"
JOB_OPTION = "job_config_file"
SCHEDULERS_OPTION = "workflow_schedulers_config_file"


def own_files(variables: Variables) -> dict[str, tuple[str, str, bool]]:
    """Return the user's own files by option: the variable that names it, the file, and whether it is a template."""
    result: dict[str, tuple[str, str, bool]] = {}
    template = variables.get(TEMPLATE)
    if isinstance(template, str) and template:
        result[JOB_OPTION] = (TEMPLATE, template, True)
    options = galaxy_options(variables)
    for option in (JOB_OPTION, SCHEDULERS_OPTION):
        destination = options.get(option)
        if not isinstance(destination, str):
            continue
        for variable, directory in COPIED.items():
            entries = variables.get(variable)
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict) and same(entry.get("dest"), destination) and entry.get("src"):
                    result[option] = (variable, str(entry["src"]), directory == "templates")
    return result


def check_jobs(variables: Variables, release: dict[str, t.Any] | None, files: Files) -> Iterator[Problem]:
    """Check who takes jobs, how jobs get there, and who schedules workflows."""
    try:
        handlers = handler_list(variables.get("galaxy_handlers"))
    except InputError as error:
        yield Problem(str(error))
        return
    yield from _check_options(variables)
    try:
        if JOB_OPTION in files:
            config = _from_file(files[JOB_OPTION], handlers)
            where = " ".join(files[JOB_OPTION][:2])
        else:
            inline = galaxy_options(variables).get("job_config")
            workers = variables.get("galaxy_local_runner_workers", 4)
            config, where = job_config(handlers, variables.get(VARIABLE), workers, inline), VARIABLE
    except InputError as error:
        # A wrong number of workers has been named already.
        if not str(error).startswith("galaxy_local_runner_workers"):
            yield Problem(str(error))
        return
    if release is not None:
        yield from check_job_config(config, release, where)
    yield from _check_schedulers(variables, handlers, config, files)
    yield from _check_web(variables, handlers, config)


def _from_file(file: tuple[str, str, str], handlers: list[Handler]) -> dict[str, t.Any]:
    """Return the job configuration in the user's own file, if it agrees with the handlers."""
    variable, name, text = file
    config = parse(text, name, variable)
    where = f"{variable} {name}"
    check_processes((config.get("handling") or {}).get("processes") or {}, handlers, where)
    check(config, handlers, where)
    return config


def _check_options(variables: Variables) -> Iterator[Problem]:
    """Check that the job configuration is given in one way, and that Galaxy is told of the file that has it."""
    options = galaxy_options(variables)
    template = variables.get(TEMPLATE)
    own = own_files(variables)
    if JOB_OPTION in own:
        for name, value in (
            (VARIABLE, variables.get(VARIABLE)),
            ("galaxy_config app:main.job_config", options.get("job_config")),
        ):
            if value:
                yield problem(
                    name, value, f"{own[JOB_OPTION][0]} gives the whole job configuration in a file; write it there"
                )
    destination = options.get(JOB_OPTION)
    if JOB_OPTION in options and (JOB_OPTION not in own or own[JOB_OPTION][0] == TEMPLATE):
        name = "job_conf.xml" if ".xml" in str(template or "") else "job_conf.yml"
        ours = os.path.join(str(variables.get("galaxy_config_dir")), name)
        if destination is None or not same(destination, ours):
            yield problem(
                f"galaxy_config app:main.{JOB_OPTION}",
                destination,
                f"has to be {ours}, or left out: that file is made from galaxy_handlers and galaxy_job_config; a file"
                f" of your own is named by {TEMPLATE}",
            )
    if options.get("job_config") is not None and not isinstance(options["job_config"], dict):
        yield problem(
            "galaxy_config app:main.job_config", options["job_config"], "has to be a dictionary, as in job_conf.yml"
        )


def _check_schedulers(
    variables: Variables, handlers: list[Handler], config: dict[str, t.Any], files: Files
) -> Iterator[Problem]:
    """Check who schedules workflows."""
    options = galaxy_options(variables)
    option = f"galaxy_config app:main.{SCHEDULERS_OPTION}"
    given = variables.get("galaxy_workflow_schedulers")
    try:
        made = bool(workflow_schedulers(handlers, given, config))
        if SCHEDULERS_OPTION in files:
            variable, name, text = files[SCHEDULERS_OPTION]
            check_file(text, name, handlers, variable)
    except InputError as error:
        yield Problem(str(error))
        return
    if options.get(SCHEDULERS_OPTION) is not None and SCHEDULERS_OPTION not in files:
        yield problem(
            option,
            options[SCHEDULERS_OPTION],
            "leave it out: the file is made from galaxy_handlers and galaxy_workflow_schedulers",
        )
    elif made and SCHEDULERS_OPTION in files:
        yield problem(
            "galaxy_workflow_schedulers", given, f"{files[SCHEDULERS_OPTION][0]} has a file that says it, too; give one"
        )
    # Galaxy 26.1 fails at its start with a TypeError (filter() without an iterable) when it asks for both.
    if made and is_true(options.get("parallelize_workflow_scheduling_within_histories", False)):
        yield problem(
            "galaxy_config app:main.parallelize_workflow_scheduling_within_histories",
            True,
            "Galaxy does not start with it where galaxy_workflow_schedulers or a pool says who schedules workflows",
        )


def _has_mules(variables: Variables) -> bool:
    """Tell whether mules of uWSGI run the jobs, which classic Galaxy's are for."""
    farms = uwsgi_options(variables).get("farm", ("", None))[1]
    names = [str(farm).split(":", maxsplit=1)[0] for farm in (farms if isinstance(farms, list) else [farms])]
    return classic(variables) is not False and any(name.split(".")[0] == "job-handlers" for name in names)


def _check_web(variables: Variables, handlers: list[Handler], config: dict[str, t.Any]) -> Iterator[Problem]:
    """Check that web processes that run jobs can do so."""
    where, number = processes(variables)
    if number < 2 or is_sqlite(variables):
        return
    methods = methods_of(config)
    if "mem-self" in methods:
        yield problem(
            VARIABLE,
            methods,
            "handling.assign: with mem-self, each web process knows the jobs in its own memory only; set"
            f" uwsgi_processes to 1 ({where} is {number}), or use db-self",
        )
    elif not methods and not any(map(takes_jobs, handlers)) and not _has_mules(variables):
        yield problem(
            "galaxy_handlers",
            variables.get("galaxy_handlers"),
            "without handlers the one web process runs the jobs; name handlers, or set uwsgi_processes to 1"
            f" ({where} is {number})",
        )
