# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find jobs and workflows whose handler is no longer there, and give them to handlers that are.

Run by the Python of the release, as Galaxy's user. Prints one JSON object::

    {"stranded": {"handler1": {"jobs": 3, "invocations": 0}}, "moved": {"handlers": 2, "handler0": 1},
     "recover": ["handler0"]}

``stranded``: handlers that nobody is, and what waits for them. ``moved``: to whom it was given. ``recover``: handlers
that have to be restarted, since Galaxy looks for jobs that had begun only when their handler starts.

What Galaxy accepts (galaxy.jobs.handler, galaxy.workflow.scheduling_manager):

- A job that is new, or an invocation that was not begun, is taken by any handler with the tag in its column
  ``handler``, where handlers take jobs from the database (db-skip-locked, db-transaction-isolation).
- Everything else belongs to the handler whose name stands there.
"""

from __future__ import annotations

import argparse
import configparser
import datetime
import json
import os
import socket
import sys
from typing import Any

GRABBING = ("db-skip-locked", "db-transaction-isolation")
UNTAGGED = "_default_"

# States in which a job or an invocation needs nobody any more.
ENDED = {
    "job": ("ok", "error", "failed", "deleted", "skipped", "deleted_new"),
    "workflow_invocation": ("scheduled", "cancelled", "failed", "completed"),
}
# States in which any handler of its tag takes it. A job that is paused becomes new when somebody resumes it.
OPEN = {
    "job": ("new", "upload", "waiting", "paused"),
    "workflow_invocation": ("new", "requires_materialization", "cancelling"),
}
# States in which a handler looks for a job at its start only.
BEGUN = ("queued", "running", "stopped")

# Every process of Galaxy reports once a minute.
FRESH = datetime.timedelta(minutes=10)


def read_options(config_file: str) -> dict[str, str]:
    """Return the options of ``[app:main]``."""
    here = os.path.dirname(os.path.abspath(config_file))
    parser = configparser.ConfigParser(defaults={"here": here, "__file__": config_file})
    with open(config_file, encoding="utf-8") as stream:
        parser.read_file(stream)
    return dict(parser.items("app:main"))


def read_routes(job_config_file: str | None) -> dict[str, Any]:
    """Return how jobs are assigned, from the file that Galaxy reads: assign, default, tools by id."""
    if not job_config_file or not os.path.exists(job_config_file):
        return {"assign": [], "default": None, "tools": {}}
    with open(job_config_file, encoding="utf-8") as stream:
        text = stream.read()
    if ".xml" in job_config_file:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(text)  # noqa: S314 (Galaxy's own configuration)
        handlers, tools = root.find("handlers"), root.find("tools")
        attributes = {} if handlers is None else handlers.attrib
        assign: Any = [word.strip() for word in attributes.get("assign_with", "").split(",") if word.strip()]
        default = attributes.get("default")
        items: Any = [] if tools is None else [dict(tool.attrib) for tool in tools.findall("tool")]
    else:
        import yaml

        config = yaml.safe_load(text) or {}
        handling = config.get("handling") or {}
        assign, default, items = handling.get("assign") or [], handling.get("default"), config.get("tools") or []
    return {
        "assign": [str(method).lower() for method in assign],
        "default": default,
        "tools": {
            item["id"].lower().rstrip("/"): item["handler"] for item in items if item.get("id") and item.get("handler")
        },
    }


def read_schedulers(config_file: str | None, pooled: list[str]) -> dict[str, Any]:
    """Return who schedules workflows, from the file that Galaxy reads, and besides it from their pool."""
    if not config_file or not os.path.exists(config_file):
        return {"names": [], "assign": [], "default": UNTAGGED}
    from xml.etree import ElementTree

    handlers = ElementTree.parse(config_file).getroot().find("handlers")  # noqa: S314 (Galaxy's own configuration)
    attributes = {} if handlers is None else handlers.attrib
    named = [] if handlers is None else [str(item.get("id")) for item in handlers.findall("handler") if item.get("id")]
    return {
        "names": [*named, *pooled],
        "assign": [word.strip() for word in attributes.get("assign_with", "").split(",") if word.strip()],
        "default": attributes.get("default") or UNTAGGED,
    }


def tool_ids(tool_id: str) -> list[str]:
    """Return the names of a tool that a job configuration may give: with its version, without, and short."""
    names = [tool_id.lower()]
    parts = tool_id.lower().split("/")
    if len(parts) == 6:  # toolshed/repos/owner/repository/tool/version
        names += ["/".join(parts[:5]), parts[4]]
    return names


def is_grabbing(assign: list[str]) -> bool:
    """Tell whether handlers take from the database what has their tags. It is what Galaxy does if nothing is said."""
    return any(method in GRABBING for method in assign) or not assign


class Cast:
    """Who is there, by name and by tag."""

    def __init__(self, processes: dict[str, list[str]], routes: dict[str, Any], schedulers: dict[str, Any]) -> None:
        """Take the processes that take jobs, each with its tags, how jobs go to them, and who schedules workflows."""
        self.processes = processes
        self.routes = routes
        self.schedulers = schedulers

    def known(self, table: str) -> set[str]:
        """Return the values of the column ``handler`` that somebody acts upon."""
        if table == "workflow_invocation" and self.schedulers["names"]:
            tags = {self.schedulers["default"]} if is_grabbing(self.schedulers["assign"]) else set()
            return {*self.schedulers["names"], *tags}
        names = set(self.processes)
        if is_grabbing(self.routes["assign"]):
            names |= {tag for tags in self.processes.values() for tag in tags}
        return names

    def place(self, table: str, row: dict[str, Any]) -> str | None:
        """Return who is to have a job or an invocation: a tag, or the name of a handler."""
        if table == "workflow_invocation" and self.schedulers["names"]:
            target, names = self.schedulers["default"], self.schedulers["names"]
        else:
            target = self.route(row.get("tool_id") or "")
            names = [name for name, tags in self.processes.items() if target in (name, *tags)] or list(self.processes)
        if target in names or (row["state"] in OPEN[table] and target in self.known(table)):
            return target
        return names[row["id"] % len(names)] if names else None

    def route(self, tool_id: str) -> str:
        """Return the handler or the tag that the job configuration gives a tool."""
        for name in tool_ids(tool_id):
            if name in self.routes["tools"]:
                return str(self.routes["tools"][name])
        return str(self.routes["default"] or UNTAGGED)


def is_alive(process: dict[str, Any], now: datetime.datetime) -> bool:
    """Tell whether a process that once reported to the database still runs."""
    if process["hostname"] != socket.gethostname():
        updated = process["update_time"]
        if isinstance(updated, str):  # SQLite
            updated = datetime.datetime.fromisoformat(updated)
        return updated is not None and now - updated < FRESH
    try:
        with open(f"/proc/{process['pid']}/cmdline", "rb") as stream:
            command = stream.read()
    except OSError:
        return False
    # The number may have gone to another process. Web processes have no name of their own there.
    name = str(process["server_name"])
    return (b"uwsgi" if name.split(".", maxsplit=1)[0] == "main" else name.encode()) in command


def rows_of(result: Any) -> list[dict[str, Any]]:
    """Return the rows of a result as dictionaries, whatever the version of SQLAlchemy."""
    names = list(result.keys())
    return [dict(zip(names, row)) for row in result.fetchall()]  # noqa: B905 (old Pythons)


def hand_over(url: str, cast: Cast, change: bool, leave_living: bool) -> dict[str, Any]:
    """Look for what is stranded, and give it to others, all in one transaction."""
    import sqlalchemy as sa

    stranded: dict[str, dict[str, int]] = {}
    moved: dict[str, int] = {}
    recover: set[str] = set()
    engine = sa.create_engine(url)
    try:
        tables = set(sa.inspect(engine).get_table_names())
        with engine.begin() as connection:
            living: set[str] = set()
            if "worker_process" in tables:
                query = sa.text(
                    "SELECT server_name, hostname, pid, update_time FROM worker_process WHERE server_name IS NOT NULL"
                )
                now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)  # noqa: UP017 (old Pythons)
                living = {
                    process["server_name"]
                    for process in rows_of(connection.execute(query))
                    if is_alive(process, now) and (leave_living or process["hostname"] != socket.gethostname())
                }
            for table, kind in (("job", "jobs"), ("workflow_invocation", "invocations")):
                if table not in tables:
                    continue
                lock = " FOR UPDATE" if change and engine.dialect.name == "postgresql" else ""
                tool = "tool_id" if table == "job" else "NULL AS tool_id"
                query = sa.text(
                    f"SELECT id, state, handler, {tool} FROM {table} WHERE handler IS NOT NULL AND"  # noqa: S608 (fixed words)
                    f" state NOT IN :ended AND handler NOT IN :known ORDER BY id{lock}"
                ).bindparams(sa.bindparam("ended", expanding=True), sa.bindparam("known", expanding=True))
                known = sorted(cast.known(table) | living) or [""]
                found = connection.execute(query, {"ended": list(ENDED[table]), "known": known})
                for item in rows_of(found):
                    stranded.setdefault(item["handler"], {"jobs": 0, "invocations": 0})[kind] += 1
                    target = cast.place(table, item)
                    if not change or target is None:
                        continue
                    connection.execute(
                        sa.text(f"UPDATE {table} SET handler = :handler WHERE id = :id"),  # noqa: S608 (fixed words)
                        {"handler": target, "id": item["id"]},
                    )
                    moved[target] = moved.get(target, 0) + 1
                    if table == "job" and (item["state"] in BEGUN or "mem-self" in cast.routes["assign"]):
                        recover.add(target)
    finally:
        engine.dispose()
    return {"stranded": stranded, "moved": moved, "recover": sorted(recover)}


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Jobs whose handler is no longer there.")
    parser.add_argument("action", choices=["look", "reassign", "refuse"])
    parser.add_argument("--config-file", required=True, help="galaxy.ini")
    parser.add_argument(
        "--process",
        action="append",
        default=[],
        metavar="NAME=TAG,TAG",
        help="a process that takes jobs, with its tags",
    )
    parser.add_argument("--scheduler", action="append", default=[], help="a handler in the pool of workflow schedulers")
    arguments = parser.parse_args(argv)
    options = read_options(arguments.config_file)
    processes = {}
    for item in arguments.process:
        name, _equals, tags = item.partition("=")
        processes[name] = [tag for tag in tags.split(",") if tag]
    routes = read_routes(
        os.path.join(os.path.dirname(arguments.config_file), options.get("config_dir", ""), options["job_config_file"])
        if options.get("job_config_file")
        else None
    )
    schedulers = read_schedulers(options.get("workflow_schedulers_config_file"), arguments.scheduler)
    cast = Cast(processes, routes, schedulers)
    # A handler of this machine that runs and is about to be removed is no less gone.
    report = hand_over(
        options["database_connection"],
        cast,
        arguments.action == "reassign",
        leave_living=arguments.action == "reassign",
    )
    print(json.dumps(report))
    if arguments.action == "refuse" and report["stranded"]:
        print(
            "; ".join(
                f"galaxy_handlers: {name}: it is to be no longer there, and has work to do: "
                + " and ".join(f"{number} {kind}" for kind, number in found.items() if number)
                for name, found in sorted(report["stranded"].items())
            )
            + ". Wait until that is finished, keep the handler, or let others have the work"
            " (galaxy_removed_handlers: reassign).",
            file=sys.stderr,
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
