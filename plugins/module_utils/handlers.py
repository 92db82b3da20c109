# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers: one list of them, and Galaxy's job configuration made from it."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, plain, shown

DEFAULT_TAG = "handlers"
MOST_HANDLERS = 256

# A handler's name is a word on command lines, a program of supervisor's and part of file names.
HANDLER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")

# The web processes are main and main.1, main.2, ...; supervisor's programs for them are galaxy and http.
RESERVED = re.compile(r"main(\.\d+)?|galaxy|http|_default_")

ASSIGNMENT_METHODS = ("db-skip-locked", "db-transaction-isolation", "db-preassign")


class HandlersError(InputError):
    """The handlers or the job configuration cannot be used."""


def _bad(value: t.Any, why: str, variable: str = "galaxy_handlers") -> HandlersError:
    return HandlersError(f"{variable}: {shown(value)}: {why}")


def _name(value: t.Any, what: str, whole: t.Any) -> str:
    if not isinstance(value, str) or not HANDLER_NAME.fullmatch(value):
        raise _bad(
            whole,
            f"{what} {shown(value)} has to be a string of letters, digits, dot, hyphen and underscore, up to 63 of them"
            " and beginning with a letter, a digit or an underscore",
        )
    return value


def handler_list(handlers: t.Any) -> list[dict[str, t.Any]]:
    """Return the handlers as a list of dictionaries with the keys name and tags.

    What is given is their number, or a list of names or such dictionaries.
    """
    handlers = plain(handlers)
    if handlers is None:
        return []
    if isinstance(handlers, str) and re.fullmatch(r"\s*-?\d+\s*", handlers):
        # -e galaxy_handlers=2 gives a string.
        handlers = int(handlers)
    if isinstance(handlers, bool) or not isinstance(handlers, (int, list)):
        raise _bad(
            handlers, "allowed are a number of handlers, or a list of names or of dictionaries with name and tags"
        )
    if isinstance(handlers, int):
        if not 0 <= handlers <= MOST_HANDLERS:
            raise _bad(handlers, f"the number of handlers has to be from 0 to {MOST_HANDLERS}")
        return [{"name": f"handler{number}", "tags": [DEFAULT_TAG]} for number in range(handlers)]

    result: list[dict[str, t.Any]] = []
    names: set[str] = set()
    for given in handlers:
        item = {"name": given} if isinstance(given, str) else given
        if not isinstance(item, dict) or "name" not in item:
            raise _bad(item, "a handler is a name, or a dictionary with the key name (and tags)")
        unknown = sorted(str(key) for key in item if key not in ("name", "tags"))
        if unknown:
            raise _bad(item, f"unknown key {', '.join(unknown)}; allowed are name and tags")
        name = _name(item["name"], "the name", item)
        if RESERVED.fullmatch(name):
            raise _bad(item, f"the name {name} belongs to the web processes; allowed is any other, such as handler0")
        if name in names:
            raise _bad(item, f"the name {name} is given twice; each handler needs a name of its own")
        names.add(name)
        tags = item.get("tags")
        if tags is None:
            tags = [DEFAULT_TAG]
        if isinstance(tags, str):
            tags = [tag.strip() for tag in tags.split(",")]
        if not isinstance(tags, list) or not tags:
            raise _bad(item, "tags have to be a list of at least one name")
        # A tag given twice makes Galaxy forget the other handlers that have it.
        tags = list(dict.fromkeys(_name(tag, "the tag", item) for tag in tags))
        result.append({"name": name, "tags": tags})
    for item in result:
        for tag in item["tags"]:
            if tag in names and tag != item["name"]:
                raise _bad(item, f"the tag {tag} is the name of another handler; Galaxy cannot tell the two apart")
    return result


def _merge(base: dict[str, t.Any], over: dict[str, t.Any]) -> dict[str, t.Any]:
    """Merge dictionaries, deep; a value of None removes the key."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merge(result[key], value)
        else:
            result[key] = value
    return result


def job_config(handlers: t.Any, config: t.Any = None, workers: t.Any = 4) -> dict[str, t.Any]:
    """Return Galaxy's job configuration (job_conf.yml) for the handlers.

    ``config`` (the variable galaxy_job_config) is merged over it. Which processes there are is said by
    the handlers alone, so that job configuration and supervisor cannot disagree.
    """
    variable = "galaxy_job_config"
    handler_dicts = handler_list(handlers)
    config = plain(config)
    if config is None or config == "":
        config = {}
    if not isinstance(config, dict):
        raise _bad(
            config, "has to be a dictionary with the sections of job_conf.yml (runners, execution, ...)", variable
        )
    for section in ("runners", "handling", "execution", "resources"):
        if not isinstance(config.get(section, {}), (dict, type(None))):
            raise _bad(config[section], f"{section} has to be a dictionary", variable)
    if isinstance(workers, str) and workers.strip().isdigit():
        workers = int(workers)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise _bad(workers, "the workers of the local runner have to be a number from 1", "galaxy_local_runner_workers")
    handling = config.get("handling") or {}
    if "processes" in handling:
        raise _bad(
            handling["processes"], "handling.processes is made from galaxy_handlers; name the handlers there", variable
        )

    result: dict[str, t.Any] = {
        "runners": {"local": {"load": "galaxy.jobs.runners.local:LocalJobRunner", "workers": int(workers)}},
        "execution": {"default": "local", "environments": {"local": {"runner": "local"}}},
    }
    if handler_dicts:
        tags = list(dict.fromkeys(tag for handler in handler_dicts for tag in handler["tags"]))
        result["handling"] = {
            "assign": ["db-skip-locked"],
            "max_grab": 16,
            "default": DEFAULT_TAG if DEFAULT_TAG in tags else tags[0],
            "processes": {handler["name"]: {"tags": list(handler["tags"])} for handler in handler_dicts},
        }
    elif handling:
        raise _bad(handling, "handling says how jobs go to handlers, and galaxy_handlers names none", variable)
    result = _merge(result, config)
    _check_handling(result, handler_dicts, variable)
    _check_execution(result, variable)
    _check_tools(result, handler_dicts, variable)
    return result


def _check_handling(config: dict[str, t.Any], handlers: list[dict[str, t.Any]], variable: str) -> None:
    if not handlers:
        return
    handling = config.get("handling")
    assign = handling.get("assign") if isinstance(handling, dict) else None
    if not isinstance(handling, dict) or not isinstance(assign, list) or not assign:
        raise _bad(handling, "handling.assign has to be a list of at least one method", variable)
    for method in assign:
        if method not in ASSIGNMENT_METHODS:
            raise _bad(
                method,
                "handling.assign: with handlers, allowed are " + ", ".join(ASSIGNMENT_METHODS) + " (the others let the"
                " web processes run jobs)",
                variable,
            )
    grab = handling.get("max_grab")
    if grab is not None and (isinstance(grab, bool) or not isinstance(grab, int) or grab < 1):
        raise _bad(grab, "handling.max_grab has to be a number from 1", variable)
    known = {handler["name"] for handler in handlers} | {tag for handler in handlers for tag in handler["tags"]}
    default = handling.get("default")
    if default not in known:
        raise _bad(default, f"handling.default has to be a handler or a tag: {', '.join(sorted(known))}", variable)


def _check_execution(config: dict[str, t.Any], variable: str) -> None:
    runners = config.get("runners")
    execution = config.get("execution")
    if not isinstance(runners, dict) or not runners:
        raise _bad(runners, "runners has to be a dictionary with at least one runner", variable)
    if not isinstance(execution, dict):
        raise _bad(execution, "execution has to be a dictionary", variable)
    environments = execution.get("environments")
    if isinstance(environments, list):
        environments = {item.get("id"): item for item in environments if isinstance(item, dict)}
    if not isinstance(environments, dict) or not environments:
        raise _bad(
            environments, "execution.environments has to be a dictionary with at least one environment", variable
        )
    names = set(environments)
    for name, environment in environments.items():
        if not isinstance(environment, dict):
            raise _bad(environment, f"execution.environments.{name} has to be a dictionary", variable)
        runner = environment.get("runner")
        # Galaxy's own runners for rules that choose the environment.
        if runner not in runners and runner not in ("dynamic", "dynamic_tpv"):
            raise _bad(
                runner,
                f"execution.environments.{name}.runner has to be one of runners: {', '.join(sorted(runners))}",
                variable,
            )
        tags = environment.get("tags") or []
        names.update(tags if isinstance(tags, list) else [])
    if execution.get("default") not in names:
        raise _bad(
            execution.get("default"),
            f"execution.default has to be one of execution.environments: {', '.join(sorted(map(str, names)))}",
            variable,
        )


def _check_tools(config: dict[str, t.Any], handlers: list[dict[str, t.Any]], variable: str) -> None:
    tools = config.get("tools") or []
    if not isinstance(tools, list):
        raise _bad(tools, "tools has to be a list", variable)
    known = {handler["name"] for handler in handlers} | {tag for handler in handlers for tag in handler["tags"]}
    for tool in tools:
        if not isinstance(tool, dict) or ("id" in tool) == ("class" in tool):
            raise _bad(tool, "an item of tools is a dictionary with id or class", variable)
        handler = tool.get("handler")
        if handler is not None and handler not in known:
            raise _bad(
                tool, f"the handler {handler} is neither a handler nor a tag: {', '.join(sorted(known))}", variable
            )
