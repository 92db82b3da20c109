# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers: which there are, and by which names, tags and pools jobs and workflows find them.

Galaxy knows a handler in one of two ways. A *named* handler stands in the job configuration, with its tags. A *pool*
handler does not: it is started with ``--attach-to-pool``, and its tags follow from its pools (galaxy.web_stack).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, did_you_mean, plain, shown

DEFAULT_TAG = "handlers"
MOST_HANDLERS = 256

# What Galaxy calls the tag of handlers that have none, and of the pool job-handlers.
UNTAGGED = "_default_"

JOB_POOL = "job-handlers"
WORKFLOW_POOL = "workflow-schedulers"
# Under this tag workflows wait for their schedulers.
WORKFLOW_TAG = WORKFLOW_POOL

# A handler's name is a word on command lines, a program of supervisor's and part of file names.
HANDLER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")

# The web processes are main and main.1, main.2, ...; supervisor's programs for them are galaxy and http.
RESERVED = re.compile(r"main(\.\d+)?|galaxy|http|_default_")

KEYS = ("name", "count", "tags", "pools", "plugins", "jobs")

Handler = dict[str, t.Any]


class HandlersError(InputError):
    """The handlers or the job configuration cannot be used."""


def bad(value: t.Any, why: str, variable: str = "galaxy_handlers") -> HandlersError:
    """Return an error in the form "variable: value: what is allowed"."""
    return HandlersError(f"{variable}: {shown(value)}: {why}")


def _name(value: t.Any, what: str, whole: t.Any) -> str:
    if not isinstance(value, str) or not HANDLER_NAME.fullmatch(value):
        raise bad(
            whole,
            f"{what} {shown(value)} has to be a string of letters, digits, dot, hyphen and underscore, up to 63 of them"
            " and beginning with a letter, a digit or an underscore",
        )
    return value


def _words(value: t.Any, key: str, what: str, whole: t.Any) -> list[str]:
    """Return a list of names without repetitions: a tag given twice makes Galaxy forget the others that have it."""
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, list) or not value:
        raise bad(whole, f"{key} have to be a list of at least one name")
    return list(dict.fromkeys(_name(word, what, whole) for word in value))


def handler_list(handlers: t.Any) -> list[Handler]:
    """Return the handlers as a list of dictionaries: name and tags, or name and pools, or name and jobs (false).

    What is given is their number, or a list of names or of dictionaries.
    """
    handlers = plain(handlers)
    if handlers is None:
        return []
    if isinstance(handlers, str) and re.fullmatch(r"\s*-?[0-9]+\s*", handlers):
        # -e galaxy_handlers=2 gives a string.
        handlers = int(handlers)
    if isinstance(handlers, bool) or not isinstance(handlers, (int, list)):
        raise bad(
            handlers,
            "allowed are a number of handlers, or a list of names or of dictionaries with name and tags or pools",
        )
    if isinstance(handlers, int):
        if not 0 <= handlers <= MOST_HANDLERS:
            raise bad(handlers, f"the number of handlers has to be from 0 to {MOST_HANDLERS}")
        return [{"name": f"handler{number}", "tags": [DEFAULT_TAG]} for number in range(handlers)]

    result: list[Handler] = []
    names: set[str] = set()
    for given in handlers:
        for handler in _handlers(given):
            name = handler["name"]
            if RESERVED.fullmatch(name):
                raise bad(
                    given, f"the name {name} belongs to the web processes; allowed is any other, such as handler0"
                )
            if name in names:
                raise bad(given, f"the name {name} is given twice; each handler needs a name of its own")
            names.add(name)
            result.append(handler)
    if len(result) > MOST_HANDLERS:
        raise bad(len(result), f"the number of handlers has to be from 0 to {MOST_HANDLERS}")
    for handler in result:
        for tag in tags_of(handler):
            if tag in names and (tag != handler["name"] or is_pooled(handler)):
                raise bad(handler, f"the tag {tag} is the name of another handler; Galaxy cannot tell the two apart")
    return result


def _handlers(given: t.Any) -> list[Handler]:
    """Return the handlers that one item stands for: one, or as many as its count."""
    item = {"name": given} if isinstance(given, str) else given
    if not isinstance(item, dict) or "name" not in item:
        raise bad(item, "a handler is a name, or a dictionary with the key name (and tags or pools)")
    for key in item:
        if key not in KEYS:
            raise bad(
                item, f"unknown key {key}; allowed are {', '.join(KEYS[:-1])} and {KEYS[-1]}{did_you_mean(key, KEYS)}"
            )
    name = _name(item["name"], "the name", item)
    item = {key: value for key, value in item.items() if value is not None}
    common = _what_it_does(item)
    if "count" not in item:
        return [{"name": name, **common}]
    count = item["count"]
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_HANDLERS:
        raise bad(item, f"count has to be a number from 1 to {MOST_HANDLERS}; the names are then {name}0, {name}1, ...")
    return [{"name": _name(f"{name}{number}", "the name", item), **common} for number in range(count)]


def _what_it_does(item: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the keys of a handler but for its name."""
    jobs = item.get("jobs", True)
    if not isinstance(jobs, bool):
        raise bad(item, "jobs has to be true or false")
    given = [key for key in ("tags", "plugins") if key in item]
    if "pools" in item:
        if given:
            raise bad(
                item, f"a handler that attaches to pools does not stand in the job configuration; leave out {given[0]}"
            )
        if "jobs" in item:
            raise bad(item, f"which work it does is said by its pools ({JOB_POOL}, {WORKFLOW_POOL}); leave out jobs")
        pools = _words(item["pools"], "pools", "the pool", item)
        for pool in pools:
            if not (pool in (JOB_POOL, WORKFLOW_POOL) or re.fullmatch(rf"{JOB_POOL}\.[^.].*", pool)):
                raise bad(
                    item,
                    f"the pool {pool} gets no work; allowed are {JOB_POOL}, {JOB_POOL}.TAG and {WORKFLOW_POOL}"
                    f"{did_you_mean(pool, (JOB_POOL, WORKFLOW_POOL))}",
                )
        return {"pools": pools}
    if not jobs:
        if given:
            raise bad(item, f"a handler without jobs can have no {given[0]}")
        return {"jobs": False}
    result: dict[str, t.Any] = {"tags": [DEFAULT_TAG]}
    if "tags" in item:
        result["tags"] = _words(item["tags"], "tags", "the tag", item)
    if "plugins" in item:
        result["plugins"] = _words(item["plugins"], "plugins", "the runner", item)
    return result


def is_pooled(handler: Handler) -> bool:
    """Tell whether a handler attaches to pools, and does not stand in the job configuration."""
    return "pools" in handler


def tags_of(handler: Handler) -> list[str]:
    """Return the tags by which jobs find a handler; none for one that takes no jobs."""
    tags = [
        UNTAGGED if pool == JOB_POOL else pool[len(JOB_POOL) + 1 :]
        for pool in handler.get("pools", ())
        if pool.split(".")[0] == JOB_POOL
    ]
    return tags or list(handler.get("tags", ()))


def named(handlers: list[Handler]) -> dict[str, Handler]:
    """Return the handlers that stand in the job configuration, by name."""
    return {handler["name"]: handler for handler in handlers if "tags" in handler}


def takes_jobs(handler: Handler) -> bool:
    """Tell whether a handler takes jobs."""
    return bool(tags_of(handler))
