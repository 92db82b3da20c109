# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which handlers schedule workflows: workflow_schedulers_conf.xml, made, and read from a user's own.

Galaxy reads it as XML only. Without it, every job handler schedules workflows.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from ansible_collections.dagobah.galaxy.plugins.module_utils.handlers import (
    WORKFLOW_POOL,
    WORKFLOW_TAG,
    Handler,
    bad,
    handler_list,
    is_pooled,
    tags_of,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.job_config import (
    GRABBING,
    handlers_in_xml,
    methods_of,
    read_xml,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import plain

VARIABLE = "galaxy_workflow_schedulers"


def schedulers(handlers: t.Any, given: t.Any = None) -> list[str]:
    """Return the names of the handlers that schedule workflows; none if every job handler does.

    ``given`` (galaxy_workflow_schedulers) names them, or tags of theirs. Those in the pool workflow-schedulers are
    others.
    """
    handlers = handler_list(handlers)
    given = plain(given)
    if isinstance(given, str):
        given = [word.strip() for word in given.split(",") if word.strip()]
    if not isinstance(given or [], list):
        raise bad(given, "has to be a list of handlers or of their tags", VARIABLE)
    candidates = [handler for handler in handlers if not is_pooled(handler)]
    result: list[str] = []
    for word in given or []:
        found = [item["name"] for item in candidates if item["name"] == word] or [
            item["name"] for item in candidates if word in tags_of(item)
        ]
        if not found and any(word == item["name"] for item in handlers):
            raise bad(word, f"attaches to pools; give it the pool {WORKFLOW_POOL} in galaxy_handlers", VARIABLE)
        if not found:
            words = [item["name"] for item in candidates] + [tag for item in candidates for tag in tags_of(item)]
            raise bad(
                word,
                "is neither a handler nor a tag of galaxy_handlers: "
                f"{', '.join(dict.fromkeys(words)) or 'there is none'} (web processes schedule no workflows)",
                VARIABLE,
            )
        result += found
    result = list(dict.fromkeys(result))
    for handler in handlers:
        if handler.get("jobs") is False and handler["name"] not in result:
            raise bad(handler, f"does neither jobs nor workflows; name it in {VARIABLE}")
    return result


def workflow_schedulers(handlers: t.Any, given: t.Any, config: Mapping[str, t.Any] | None = None) -> str:
    """Return workflow_schedulers_conf.xml; nothing if every job handler schedules workflows.

    ``config`` is the job configuration, whose way of assigning is that of workflows, too.
    """
    handlers = handler_list(handlers)
    names = schedulers(handlers, given)
    if not names and not any(WORKFLOW_POOL in handler.get("pools", ()) for handler in handlers):
        return ""
    methods = methods_of(config or {})
    # A workflow is assigned by nobody's request but by the file, so db-self cannot be meant.
    method = next((method for method in methods if method in GRABBING), "db-preassign" if methods else GRABBING[0])
    if len(names) < 1 and method == "db-preassign":
        raise bad(methods, f"handling.assign: only {' and '.join(GRABBING)} give workflows to the pool {WORKFLOW_POOL}")
    lines = [
        # Workflows that were begun without this file have a scheduler of this name.
        '<workflow_schedulers default="default">',
        '  <core id="default" />',
        f"  <handlers assign_with={quoteattr(method)} default={quoteattr(WORKFLOW_TAG)}>",
        *(f"    <handler id={quoteattr(name)} tags={quoteattr(WORKFLOW_TAG)} />" for name in names),
        "  </handlers>",
        "</workflow_schedulers>",
    ]
    return "\n".join(lines) + "\n"


def check_file(text: str, name: str, handlers: list[Handler], variable: str) -> None:
    """Check the user's own workflow_schedulers_conf.xml against the handlers."""
    root = read_xml(text, "workflow_schedulers", name, variable)
    handling = handlers_in_xml(root.find("handlers"))
    pooled = any(WORKFLOW_POOL in handler.get("pools", ()) for handler in handlers)
    if not handling.get("processes") and not pooled:
        raise bad(
            name,
            "names no handlers, and then no process takes workflows from the database; name some of galaxy_handlers,"
            " or do without the file",
            variable,
        )
    names = [handler["name"] for handler in handlers]
    for process in handling.get("processes", {}):
        if process not in names:
            raise bad(
                process, f"no such handler runs: galaxy_handlers names {', '.join(names) or 'none'} ({name})", variable
            )
