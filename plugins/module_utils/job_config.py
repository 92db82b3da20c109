# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's job configuration: made from the handlers, read from YAML or XML, and held against the handlers."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import (
    DEFAULT_TAG,
    JOB_POOL,
    UNTAGGED,
    Handler,
    bad,
    handler_list,
    is_pooled,
    named,
    tags_of,
    takes_jobs,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import plain, shown

VARIABLE = "galaxy_job_config"
INLINE_VARIABLE = "galaxy_config app:main.job_config"

# With these, handlers take jobs from the database, by tags.
GRABBING = ("db-skip-locked", "db-transaction-isolation")
# With these, a job goes to the web process that got the request.
SELF = ("db-self", "mem-self")
ASSIGNMENT_METHODS = (*GRABBING, "db-preassign", *SELF)
# What Galaxy takes where a job configuration names handlers and no method.
GALAXYS_CHOICE = "db-preassign"

SECTIONS = ("runners", "handling", "execution", "resources")


def merge(base: dict[str, t.Any], over: dict[str, t.Any]) -> dict[str, t.Any]:
    """Merge dictionaries, deep; a value of None removes the key."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def _layer(config: t.Any, variable: str) -> dict[str, t.Any]:
    """Return what the user gives of the job configuration."""
    config = plain(config)
    if config is None or config == "":
        return {}
    if not isinstance(config, dict):
        raise bad(
            config, "has to be a dictionary with the sections of job_conf.yml (runners, execution, ...)", variable
        )
    for section in SECTIONS:
        if not isinstance(config.get(section, {}), (dict, type(None))):
            raise bad(config[section], f"{section} has to be a dictionary", variable)
    return config


def job_config(handlers: t.Any, config: t.Any = None, workers: t.Any = 4, inline: t.Any = None) -> dict[str, t.Any]:
    """Return Galaxy's job configuration (job_conf.yml) for the handlers.

    ``config`` (galaxy_job_config) is merged over it, and over that ``inline`` (the option job_config of Galaxy's, which
    galaxy.ini cannot hold). Which processes there are is said by the handlers alone, so that job configuration and
    supervisor cannot disagree; what the user says of them has to be the same.
    """
    handler_dicts = handler_list(handlers)
    layers = {VARIABLE: _layer(config, VARIABLE), INLINE_VARIABLE: _layer(inline, INLINE_VARIABLE)}
    if isinstance(workers, str) and re.fullmatch(r"\s*[0-9]+\s*", workers):
        workers = int(workers)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise bad(workers, "the workers of the local runner have to be a number from 1", "galaxy_local_runner_workers")

    result: dict[str, t.Any] = {
        "runners": {"local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": int(workers)}},
        "execution": {"default": "local", "environments": {"local": {"runner": "local"}}},
    }
    if handler_dicts:
        result["handling"] = _handling(handler_dicts)
    for variable, layer in layers.items():
        result = merge(result, layer)
        processes = (layer.get("handling") or {}).get("processes")
        if processes is not None:
            check_processes(processes, handler_dicts, variable)
            result["handling"].update(_handling(handler_dicts, only_processes=True))
    methods = methods_of(result)
    if (
        methods
        and methods[0] in SELF
        and not any("default" in (layer.get("handling") or {}) for layer in layers.values())
    ):
        # For Galaxy, the default is where every tool is sent that is sent nowhere else: nothing is left for the web.
        result["handling"].pop("default", None)
    variable = INLINE_VARIABLE if layers[INLINE_VARIABLE] and not layers[VARIABLE] else VARIABLE
    _check_default_tag(result, handler_dicts, variable)
    check(result, handler_dicts, variable)
    return result


def _handling(handlers: list[Handler], only_processes: bool = False) -> dict[str, t.Any]:
    """Return the section that says which handlers there are, and how jobs go to them."""
    processes = {
        name: {key: list(handler[key]) for key in ("tags", "plugins") if key in handler}
        for name, handler in named(handlers).items()
    }
    result: dict[str, t.Any] = {} if only_processes else {"assign": ["db-skip-locked"], "max_grab": 16}
    tags = [tag for handler in handlers for tag in tags_of(handler)]
    if tags and not only_processes:
        default = DEFAULT_TAG if DEFAULT_TAG in tags else UNTAGGED if UNTAGGED in tags else tags[0]
        # It is what Galaxy takes by itself.
        if default != UNTAGGED:
            result["default"] = default
    if processes:
        result["processes"] = processes
    return result


def _check_default_tag(config: dict[str, t.Any], handlers: list[Handler], variable: str) -> None:
    """Check that no handler of the pool of untagged jobs is left without any, unless the user said so."""
    default = (config.get("handling") or {}).get("default")
    if default != DEFAULT_TAG:
        return
    for handler in handlers:
        if JOB_POOL in handler.get("pools", ()):
            raise bad(
                handler,
                f"the pool {JOB_POOL} gets jobs that have no tag, and the others get those with the tag {DEFAULT_TAG}, "
                f"which is that of jobs in general; attach it to {JOB_POOL}.{DEFAULT_TAG}, or set handling.default of "
                f"{variable} to {UNTAGGED}",
            )


# --- The user's own file ---------------------------------------------------------------------------


def parse(text: str, name: str, variable: str) -> dict[str, t.Any]:
    """Return the job configuration in the text of a file, as a dictionary of the shape of job_conf.yml."""
    # What Galaxy tells the two by.
    if ".xml" in name:
        return parse_xml(text, name, variable)
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise bad(name, f"is no YAML: {' '.join(str(error).split())}", variable) from error
    if not isinstance(config, dict):
        raise bad(name, "has to be a dictionary with the sections of job_conf.yml (runners, execution, ...)", variable)
    return _layer(config, f"{variable} ({name})")


def read_xml(text: str, tag: str, name: str, variable: str) -> t.Any:
    """Return the outermost element of a text, which has to be of that tag."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (of the person who runs this)
    except ElementTree.ParseError as error:
        raise bad(name, f"is no XML: {error}", variable) from error
    if root.tag != tag:
        raise bad(name, f"its outermost element is {root.tag}; it has to be {tag}", variable)
    return root


def parse_xml(text: str, name: str, variable: str) -> dict[str, t.Any]:
    """Return what a job_conf.xml says, as far as it is about who does what.

    Parameters of runners and destinations are left out: in XML all of them are text.
    """
    root = read_xml(text, "job_conf", name, variable)
    if root.find("macros") is not None or next(root.iter("expand"), None) is not None:
        raise bad(name, "has macros, and cannot be held against galaxy_handlers; write them out, or use YAML", variable)
    return {
        "runners": {
            item["id"]: {
                "load": item["load"],
                "workers": _number(item.get("workers", root.find("plugins").get("workers", "4"))),
            }
            for item in _children(root, "plugins", "plugin", "id", "type", "load")
            if item["type"] == "runner"
        },
        "handling": handlers_in_xml(root.find("handlers")),
        "execution": _execution(root),
        "tools": [
            {key: item[key] for key in ("id", "class", "handler", "resources") if item.get(key)}
            | ({"environment": item["destination"]} if item.get("destination") else {})
            for item in _children(root, "tools", "tool")
        ],
        "limits": [dict(item) for item in _children(root, "limits", "limit", "type")],
    }


def _children(root: t.Any, section: str, tag: str, *required: str) -> list[dict[str, str]]:
    """Return the attributes of the elements that Galaxy reads: it leaves out those that lack one it needs."""
    found = root.find(section)
    elements = [] if found is None else found.findall(tag)
    return [dict(item.attrib) for item in elements if all(name in item.attrib for name in required)]


def _number(text: str) -> t.Any:
    return int(text) if re.fullmatch(r"\s*[0-9]+\s*", text) else text


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _execution(root: t.Any) -> dict[str, t.Any]:
    destinations = root.find("destinations")
    environments: dict[str, t.Any] = {}
    for item in [] if destinations is None else destinations.findall("destination"):
        if "id" not in item.attrib or "runner" not in item.attrib:
            continue
        environment: dict[str, t.Any] = {"runner": item.get("runner")}
        if item.get("tags") is not None:
            environment["tags"] = _split(item.get("tags"))
        resubmit = [
            {key: value for key, value in entry.attrib.items() if key in ("condition", "handler", "delay")}
            | ({"environment": entry.get("destination")} if entry.get("destination") else {})
            for entry in item.findall("resubmit")
        ]
        if resubmit:
            environment["resubmit"] = resubmit
        environments[item.get("id")] = environment
    result: dict[str, t.Any] = {"environments": environments}
    if destinations is not None and destinations.get("default"):
        result["default"] = destinations.get("default")
    elif len(environments) == 1:
        # As Galaxy does.
        result["default"] = next(iter(environments))
    if destinations is not None and {"default_from_environ", "default_from_config"} & set(destinations.attrib):
        # Only Galaxy can tell.
        result["default"] = next(iter(environments), None)
    return result


def handlers_in_xml(element: t.Any) -> dict[str, t.Any]:
    """Return what an element ``handlers`` says, of the job configuration or of the workflow schedulers'."""
    if element is None:
        return {}
    result: dict[str, t.Any] = {"processes": {}}
    for item in element.findall("handler"):
        if "id" in item.attrib:
            process: dict[str, t.Any] = {"tags": _split(item.get("tags", UNTAGGED))}
            plugins = [plugin.get("id") for plugin in item.findall("plugin") if plugin.get("id")]
            result["processes"][item.get("id")] = process | ({"plugins": plugins} if plugins else {})
    for attribute, key in (("assign_with", "assign"), ("default", "default"), ("max_grab", "max_grab")):
        value = element.get(attribute)
        if value:
            result[key] = _split(value) if key == "assign" else _number(value) if key == "max_grab" else value
    return result


# --- Checks ----------------------------------------------------------------------------------------


def check_processes(processes: t.Any, handlers: list[Handler], variable: str) -> None:
    """Check that the handlers named in a job configuration are those that supervisor runs."""
    where = f"{variable} handling.processes"
    ours = {name: sorted(handler["tags"]) for name, handler in named(handlers).items()}
    if not isinstance(processes, dict):
        raise bad(processes, "has to be a dictionary of handlers by name", where)
    for name, process in processes.items():
        if not isinstance(process, (dict, type(None))):
            raise bad(process, f"{name} has to be a dictionary (tags, plugins)", where)
    theirs = {
        str(name): sorted((process or {}).get("tags") or [UNTAGGED])
        if isinstance((process or {}).get("tags") or [], list)
        else [str(process["tags"])]
        for name, process in processes.items()
    }
    missing = sorted(set(theirs) - set(ours))
    if missing:
        raise bad(
            missing[0] if len(missing) == 1 else missing,
            f"no such handler runs: galaxy_handlers names {', '.join(ours) or 'none'}; name it there, too",
            where,
        )
    unknown = sorted(set(ours) - set(theirs))
    if unknown:
        raise bad(
            list(theirs),
            f"lacks {', '.join(unknown)} of galaxy_handlers, which would get no jobs; name it, or take it out there",
            where,
        )
    for name, tags in theirs.items():
        if tags != ours[name]:
            raise bad(tags, f"are the tags of {name}, and in galaxy_handlers these are {shown(ours[name])}", where)


def check(config: dict[str, t.Any], handlers: list[Handler], variable: str) -> None:
    """Check that what a job configuration says of handlers, runners and environments fits together."""
    known = _check_handling(config, handlers, variable)
    runners = config.get("runners")
    _check_execution(config, variable, known)
    for handler in handlers:
        for plugin in handler.get("plugins", ()):
            if plugin not in (runners or {}):
                raise bad(handler, f"the runner {plugin} is not one of {', '.join(runners or {})}")
    _check_tools(config, known, variable)


def methods_of(config: Mapping[str, t.Any]) -> list[str]:
    """Return the assignment methods of a job configuration, in Galaxy's spelling; none if Galaxy is to choose."""
    assign = (config.get("handling") or {}).get("assign")
    return [str(method).lower() for method in assign] if isinstance(assign, list) else []


def web_runs_jobs(config: Mapping[str, t.Any], handlers: list[Handler]) -> bool:
    """Tell whether the web processes run jobs."""
    methods = methods_of(config)
    return any(method in SELF for method in methods) or not (methods or any(map(takes_jobs, handlers)))


def job_processes(handlers: t.Any, config: Mapping[str, t.Any], web_processes: t.Any = 1) -> list[Handler]:
    """Return the processes that take jobs, each with the tags under which jobs wait for it."""
    handlers = handler_list(handlers)
    result = [{"name": handler["name"], "tags": tags_of(handler)} for handler in handlers if takes_jobs(handler)]
    if web_runs_jobs(config, handlers):
        # As the bridge names uWSGI's workers.
        result += [{"name": f"main.{number}", "tags": [UNTAGGED]} for number in range(1, int(web_processes) + 1)]
    return result


def _check_handling(config: dict[str, t.Any], handlers: list[Handler], variable: str) -> set[str]:
    """Check who gets jobs; return by which words a handler can be named, none if no handler takes jobs."""
    handling = config.get("handling")
    if handling is None and not handlers:
        return set()
    if not isinstance(handling, dict):
        raise bad(handling, "handling has to be a dictionary", variable)
    workers = [handler for handler in handlers if takes_jobs(handler)]
    assign = handling.get("assign")
    if assign is None and not handlers:
        if any(handling.values()):
            raise bad(handling, "handling says how jobs go to handlers, and galaxy_handlers names none", variable)
        return set()
    if assign is not None and (not isinstance(assign, list) or not assign):
        raise bad(assign, "handling.assign has to be a list of at least one method", variable)
    methods = methods_of(config) or [GALAXYS_CHOICE]
    for method in methods:
        if method not in ASSIGNMENT_METHODS:
            raise bad(method, f"handling.assign: allowed are {', '.join(ASSIGNMENT_METHODS)}", variable)
    grabbing = [method for method in methods if method in GRABBING]
    pooled = [handler for handler in workers if is_pooled(handler)]
    if not workers and handlers:
        raise bad([handler["name"] for handler in handlers], "at least one handler has to take jobs")
    if not workers and (grabbing or methods[0] not in SELF):
        raise bad(
            methods,
            f"handling.assign: there are no handlers; allowed are {' and '.join(SELF)}, or name galaxy_handlers",
            variable,
        )
    if handlers and "mem-self" in methods:
        raise bad(
            methods,
            "handling.assign: mem-self keeps all jobs in the memory of the web process, and the handlers would get"
            " none; set galaxy_handlers to 0, or use db-skip-locked",
            variable,
        )
    if pooled and not grabbing:
        raise bad(
            methods,
            f"handling.assign: only {' and '.join(GRABBING)} give jobs to handlers in pools ({pooled[0]['name']})",
            variable,
        )
    for key in ("max_grab", "ready_window_size"):
        number = handling.get(key)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise bad(number, f"handling.{key} has to be a number from 1", variable)
    reachable = workers if grabbing else [handler for handler in workers if not is_pooled(handler)]
    known = {handler["name"] for handler in reachable} | {tag for handler in reachable for tag in tags_of(handler)}
    default = handling.get("default")
    if default is None and (UNTAGGED in known or not known or methods[0] in SELF):
        return known
    if default not in known:
        raise bad(default, f"handling.default has to be a handler or a tag: {', '.join(sorted(known))}", variable)
    return known


def _check_execution(config: dict[str, t.Any], variable: str, known: set[str]) -> None:
    runners = config.get("runners")
    execution = config.get("execution")
    if not isinstance(runners, dict) or not runners:
        raise bad(runners, "runners has to be a dictionary with at least one runner", variable)
    if not isinstance(execution, dict):
        raise bad(execution, "execution has to be a dictionary", variable)
    environments = execution.get("environments")
    if isinstance(environments, list):
        environments = {item.get("id"): item for item in environments if isinstance(item, dict)}
    if not isinstance(environments, dict) or not environments:
        raise bad(environments, "execution.environments has to be a dictionary with at least one environment", variable)
    names = set(environments)
    for name, environment in environments.items():
        if not isinstance(environment, dict):
            raise bad(environment, f"execution.environments.{name} has to be a dictionary", variable)
        runner = environment.get("runner")
        # Galaxy's own runners for rules that choose the environment.
        if runner not in runners and runner not in ("dynamic", "dynamic_tpv"):
            raise bad(
                runner,
                f"execution.environments.{name}.runner has to be one of runners: {', '.join(sorted(runners))}",
                variable,
            )
        tags = environment.get("tags") or []
        names.update(tags if isinstance(tags, list) else [])
        for entry in environment.get("resubmit") or []:
            if isinstance(entry, dict):
                _check_handler(entry, known, f"{variable} execution.environments.{name}.resubmit")
    if execution.get("default") not in names:
        raise bad(
            execution.get("default"),
            f"execution.default has to be one of execution.environments: {', '.join(sorted(map(str, names)))}",
            variable,
        )


def _check_tools(config: dict[str, t.Any], known: set[str], variable: str) -> None:
    tools = config.get("tools") or []
    if not isinstance(tools, list):
        raise bad(tools, "tools has to be a list", variable)
    for tool in tools:
        if not isinstance(tool, dict) or ("id" in tool) == ("class" in tool):
            raise bad(tool, "an item of tools is a dictionary with id or class", variable)
        _check_handler(tool, known, variable)


def _check_handler(item: dict[str, t.Any], known: set[str], variable: str) -> None:
    handler = item.get("handler")
    if handler is not None and handler not in known:
        raise bad(
            item,
            f"the handler {handler} is neither a handler nor a tag: {', '.join(sorted(known)) or 'there is none'}",
            variable,
        )
