#!/usr/bin/python
# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prove that a Galaxy server works, link by link."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_proof
short_description: Prove that a Galaxy server works, link by link
version_added: 0.1.0
author:
  - The dagobah.galaxy developers (@dagobah)
description:
  - Walks the chain that a request and a job go along, in this order - the database, the programs under
    supervisor, the web processes behind uWSGI's socket, every mapped URL through nginx or uWSGI's own HTTP, and a job.
  - Stops at the first link that does not hold, says what was expected, what was seen, how long was waited and
    what to look at, and shows the lines of the logs that tell why. Secrets in them are masked.
  - A link whose options are not given is not asked, so that a machine with a part of a server can be asked for
    its part.
  - The job (the canary) is an upload by the account C(canary@galaxy.invalid), which nobody can log in to, and which
    is deleted and has no API key before and after. Its dataset is compared with what was sent, and purged.
requirements:
  - Python 3.9 or later on the target
attributes:
  check_mode:
    support: full
    description: In check mode nothing is asked, and the result says so.
  diff_mode:
    support: none
    description: There is nothing to compare. The module changes nothing.
options:
  galaxy:
    description: Where Galaxy is and how to act as its user. Needed for O(database) and O(job).
    type: dict
    suboptions:
      user:
        description: The system user that runs Galaxy.
        type: str
        default: galaxy
      launcher:
        description:
          - Command that runs another command in the environment of the release in use.
        type: path
        required: true
      config_file:
        description: Galaxy's configuration.
        type: path
        required: true
      server_dir:
        description: The working directory of Galaxy's processes.
        type: path
        required: true
      canary:
        description: Where C(galaxy_canary.py) is on the target. Galaxy's user must be able to read it.
        type: path
        required: true
      release:
        description:
          - The release that has to answer, for example V(26.1.2).
          - Any will do if it is not given.
        type: str
  database:
    description:
      - The link V(database). The database that O(galaxy.config_file) names takes a connection from Galaxy's user, and
        its schema has the revision that the release wants.
    type: dict
    suboptions:
      timeout:
        description: Seconds to wait for a server that is starting or full.
        type: float
        default: 30
  supervisor:
    description: The link V(supervisor). Programs run, and stay so until the proof ends.
    type: dict
    suboptions:
      programs:
        description: Names as C(supervisorctl status) shows them, C(group:name).
        type: list
        elements: str
        required: true
      socket:
        description: Unix socket of supervisord.
        type: path
        default: /var/run/supervisor.sock
      min_uptime:
        description: Seconds that a program has to have run.
        type: float
        default: 3
      timeout:
        description: Seconds to wait for programs that are starting.
        type: float
        default: 60
  uwsgi:
    description: The link V(uwsgi). Galaxy answers in the uWSGI protocol, and every worker does.
    type: dict
    suboptions:
      socket:
        description: Where uWSGI listens for nginx, C(host:port) or the path of a Unix socket.
        type: str
        required: true
      stats:
        description:
          - uWSGI's stats socket, a path or C(host:port).
          - The workers are not asked one by one if it is not given.
        type: str
      processes:
        description: How many workers there have to be.
        type: int
      program:
        description:
          - Name of uWSGI's program under O(supervisor.programs). Waiting ends early if it is no longer running.
          - The first of them if it is not given.
        type: str
      start_timeout:
        description: Seconds to wait for Galaxy to load.
        type: float
        default: 300
      worker_timeout:
        description: Seconds to wait until every worker has answered.
        type: float
        default: 30
  nginx:
    description: The link V(nginx) or V(http). Every mapped URL answers over HTTP.
    type: dict
    suboptions:
      server:
        description:
          - Who answers there. V(uwsgi) is uWSGI's own HTTP router; the link is called V(http) then.
        type: str
        choices: [nginx, uwsgi]
        default: nginx
      url:
        description: Scheme, address and port to connect to.
        type: str
        default: http://127.0.0.1
      host:
        description:
          - Server name to ask for, in the C(Host) header and in TLS.
          - The host in O(nginx.url) if it is not given.
        type: str
      prefix:
        description: Path below which Galaxy is served.
        type: str
        default: /
      validate_certs:
        description: Whether the certificate has to be valid for O(nginx.host).
        type: bool
        default: true
      ca_file:
        description: Certificates to trust instead of the system's.
        type: path
      timeout:
        description: Seconds during which a URL that fails is asked again.
        type: float
        default: 10
      urls:
        description:
          - What to ask for.
          - A status of 500 and more never counts as success, nor does an error page of nginx.
        type: list
        elements: dict
        default:
          - path: /
            status: [200, 302]
          - path: /api/version
            content_type: application/json
            contains: version_major
        suboptions:
          path:
            description: Path below O(nginx.prefix), beginning with a slash.
            type: str
            required: true
          status:
            description: Statuses that are right.
            type: list
            elements: int
            default: [200]
          contains:
            description: Text that the body has to contain.
            type: str
          content_type:
            description: What the content type has to begin with.
            type: str
          headers:
            description: Headers that have to be there, each with a regular expression that its value has to match.
            type: dict
  job:
    description:
      - The link V(job). Each handler has reported to the database, and a job goes through one of them and can be read
        back. Needs O(galaxy) and O(nginx).
    type: dict
    suboptions:
      handlers:
        description:
          - Names of the job handlers. V(main) stands for the web processes, where these run the jobs.
          - A handler is compared with the process of the program of that name in O(supervisor.programs), if there
            is one.
        type: list
        elements: str
        default: [main]
      start_timeout:
        description: Seconds to wait for the handlers to load.
        type: float
        default: 300
      timeout:
        description: Seconds to wait for the job.
        type: float
        default: 300
      record:
        description:
          - File on the target that says which processes a job has gone through. Its directory has to exist.
          - None is kept if it is not given.
        type: path
      repeat:
        description:
          - Ask for a job although O(job.record) says that one has gone through these very processes, less than a day
            ago and after the last change of O(job.inputs).
        type: bool
        default: true
      inputs:
        description: Files and directories whose change asks for another job.
        type: list
        elements: path
        default: []
  logs:
    description:
      - Log files to look into when a link is broken. Shell patterns are allowed.
      - Those of programs that supervisor finds not running are found without being listed.
    type: dict
    default: {}
    suboptions:
      postgresql:
        description: Logs of the database.
        type: list
        elements: str
        default: []
      supervisor:
        description: Logs of supervisord.
        type: list
        elements: str
        default: []
      uwsgi:
        description: Logs of uWSGI.
        type: list
        elements: str
        default: []
      nginx:
        description: Logs of nginx.
        type: list
        elements: str
        default: []
      http:
        description: Logs of uWSGI's HTTP router.
        type: list
        elements: str
        default: []
      handlers:
        description: Logs of the job handlers.
        type: list
        elements: str
        default: []
  log_lines:
    description: How many lines to show of each log file at most.
    type: int
    default: 25
seealso:
  - name: How a request and a job go
    description: Galaxy's own description of its processes.
    link: https://docs.galaxyproject.org/en/master/admin/scaling.html
"""

EXAMPLES = r"""
- name: Prove that the server works
  dagobah.galaxy.instance_proof:
    galaxy:
      user: galaxy
      launcher: /srv/galaxy/server/bin/galaxy-run
      config_file: /srv/galaxy/config/galaxy.ini
      server_dir: /srv/galaxy/server
      canary: /srv/galaxy/server/bin/galaxy_canary.py
      release: 26.1.2
    database: {}
    supervisor:
      programs: ["gx:galaxy", "gx:handler0", "gx:handler1"]
    uwsgi:
      socket: 127.0.0.1:4001
      stats: /srv/galaxy/run/uwsgi.stats
      processes: 2
    nginx:
      url: http://127.0.0.1:80
      host: galaxy.example.org
      urls:
        - path: /
          content_type: text/html
        - path: /api/version
          contains: version_major
        - path: /static/favicon.ico
          headers:
            Cache-Control: max-age
    job:
      handlers: [handler0, handler1]
    logs:
      postgresql: [/var/log/postgresql/*.log]
      supervisor: [/var/log/supervisor/supervisord.log]
      uwsgi: [/srv/galaxy/log/uwsgi.log]
      handlers: [/srv/galaxy/log/handler*.log]
      nginx: [/var/log/nginx/error.log]

- name: Ask the proxy alone
  dagobah.galaxy.instance_proof:
    nginx:
      url: https://127.0.0.1
      host: galaxy.example.org
"""

RETURN = r"""
links:
  description: The links that held, in order, each with the seconds it took and what was found.
  returned: success, but in check mode
  type: list
  elements: dict
  sample:
    - name: uwsgi
      seconds: 0.4
      facts: {version: 26.1.2, workers: {"1": 4711, "2": 4712}}
    - name: job
      seconds: 6.2
      facts: {handler: handler1, job_id: 17, purged: true, credential_refused: true}
summary:
  description: One line for each link that held, for a person to read.
  returned: success, but in check mode
  type: list
  elements: str
broken_link:
  description: The link that does not hold.
  returned: failure
  type: str
  sample: uwsgi
"""

import os
import signal
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof, proof_logs, proof_record

LOGS = ("postgresql", "supervisor", "uwsgi", "nginx", "http", "handlers")


def argument_spec() -> dict[str, Any]:
    """Return the module's arguments."""
    log = {"type": "list", "elements": "str", "default": []}
    return {
        "galaxy": {
            "type": "dict",
            "options": {
                "user": {"type": "str", "default": "galaxy"},
                "launcher": {"type": "path", "required": True},
                "config_file": {"type": "path", "required": True},
                "server_dir": {"type": "path", "required": True},
                "canary": {"type": "path", "required": True},
                "release": {"type": "str"},
            },
        },
        "database": {"type": "dict", "options": {"timeout": {"type": "float", "default": 30}}},
        "supervisor": {
            "type": "dict",
            "options": {
                "programs": {"type": "list", "elements": "str", "required": True},
                "socket": {"type": "path", "default": "/var/run/supervisor.sock"},
                "min_uptime": {"type": "float", "default": 3},
                "timeout": {"type": "float", "default": 60},
            },
        },
        "uwsgi": {
            "type": "dict",
            "options": {
                "socket": {"type": "str", "required": True},
                "stats": {"type": "str"},
                "processes": {"type": "int"},
                "program": {"type": "str"},
                "start_timeout": {"type": "float", "default": 300},
                "worker_timeout": {"type": "float", "default": 30},
            },
        },
        "nginx": {
            "type": "dict",
            "options": {
                "server": {"type": "str", "choices": ["nginx", "uwsgi"], "default": "nginx"},
                "url": {"type": "str", "default": "http://127.0.0.1"},
                "host": {"type": "str"},
                "prefix": {"type": "str", "default": "/"},
                "validate_certs": {"type": "bool", "default": True},
                "ca_file": {"type": "path"},
                "timeout": {"type": "float", "default": 10},
                "urls": {
                    "type": "list",
                    "elements": "dict",
                    "default": [
                        {"path": "/", "status": [200, 302]},
                        {"path": "/api/version", "content_type": "application/json", "contains": "version_major"},
                    ],
                    "options": {
                        "path": {"type": "str", "required": True},
                        "status": {"type": "list", "elements": "int", "default": [200]},
                        "contains": {"type": "str"},
                        "content_type": {"type": "str"},
                        "headers": {"type": "dict"},
                    },
                },
            },
        },
        "job": {
            "type": "dict",
            "options": {
                "handlers": {"type": "list", "elements": "str", "default": ["main"]},
                "start_timeout": {"type": "float", "default": 300},
                "timeout": {"type": "float", "default": 300},
                "record": {"type": "path"},
                "repeat": {"type": "bool", "default": True},
                "inputs": {"type": "list", "elements": "path", "default": []},
            },
        },
        "logs": {
            "type": "dict",
            "default": {},
            "options": {name: dict(log) for name in LOGS},
        },
        "log_lines": {"type": "int", "default": 25},
    }


class Chain:
    """The links of one instance, walked in order."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.galaxy: dict[str, Any] = params["galaxy"] or {}
        self.nginx: dict[str, Any] = params["nginx"] or {}
        self.prefix = self.nginx.get("prefix") or "/"
        # The name of the link that the option nginx stands for.
        self.front = "http" if self.nginx.get("server") == "uwsgi" else "nginx"
        self.names = [self.front if name == "nginx" else name for name in proof.LINKS]
        self.host = self.nginx.get("host") or urllib.parse.urlsplit(self.nginx.get("url") or "").netloc or "localhost"
        self.supervisor: proof.Supervisor | None = None
        self.pids: dict[str, int] = {}
        self.workers: list[int] = []
        self.links: list[dict[str, Any]] = []
        self.current = ""

    def walk(self) -> None:
        """Walk the chain. Raises LinkError at the first link that does not hold."""
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "database": self.database,
            "supervisor": self.programs,
            "uwsgi": self.uwsgi,
            self.front: self.urls,
            "job": self.job,
        }
        for option, name in zip(proof.LINKS, self.names):  # noqa: B905 - Python 3.9 has no strict=
            if self.params[option] is None:
                continue
            self.current = name
            began = time.monotonic()
            facts = steps[name]()
            self.links.append({"name": name, "seconds": round(time.monotonic() - began, 2), "facts": facts})
        if self.supervisor and self.pids:
            self.current = "supervisor"
            proof.check_still_running(self.supervisor, self.pids)

    def canary(self, command: str, *arguments: str, timeout: float) -> dict[str, Any]:
        """Run a command of the canary."""
        galaxy = self.galaxy
        line = [
            galaxy["launcher"],
            "python",
            galaxy["canary"],
            command,
            "--config-file",
            galaxy["config_file"],
            *arguments,
        ]
        return proof.run_canary(line, galaxy["user"], galaxy["server_dir"], timeout)

    def database(self) -> dict[str, Any]:
        """Ask the database."""
        timeout = self.params["database"]["timeout"]
        return self.canary("database", "--timeout", "%g" % timeout, timeout=timeout + 60)

    def programs(self) -> dict[str, Any]:
        """Ask supervisor."""
        wanted = self.params["supervisor"]
        self.supervisor = proof.Supervisor(wanted["socket"])
        facts = proof.check_supervisor(self.supervisor, wanted["programs"], wanted["min_uptime"], wanted["timeout"])
        self.pids = facts["pids"]
        return facts

    def uwsgi(self) -> dict[str, Any]:
        """Ask uWSGI, then each of its workers."""
        wanted = self.params["uwsgi"]
        path = (self.prefix.rstrip("/") or "") + "/api/version"
        watch = None
        if self.supervisor and self.pids:
            program = wanted["program"] or next(iter(self.pids))
            watched = {program: self.pids[program]} if program in self.pids else {}
            supervisor = self.supervisor

            def watch() -> None:
                proof.check_still_running(supervisor, watched)

        facts = proof.check_uwsgi(
            wanted["socket"],
            path,
            self.host,
            self.galaxy.get("release"),
            wanted["start_timeout"],
            watch,
            wanted["stats"],
        )
        if wanted["stats"]:
            facts.update(
                proof.check_workers(
                    wanted["socket"], wanted["stats"], path, self.host, wanted["processes"], wanted["worker_timeout"]
                )
            )
            self.workers = [int(pid) for pid in facts["workers"].values()]
        return facts

    def urls(self) -> dict[str, Any]:
        """Ask nginx, or uWSGI's HTTP router."""
        wanted = self.nginx
        return proof.check_nginx(
            wanted["url"],
            self.host,
            self.prefix,
            wanted["validate_certs"],
            wanted["ca_file"],
            wanted["urls"],
            wanted["timeout"],
            link=self.front,
        )

    def job(self) -> dict[str, Any]:
        """Send the canary, unless one has come back from these very processes."""
        wanted = self.params["job"]
        processes = [*self.pids.values(), *self.workers]
        if wanted["record"] and not wanted["repeat"]:
            facts = proof_record.read(wanted["record"], processes, wanted["inputs"])
            if facts:
                return {**facts, "earlier": True}
        facts = self.send_canary(wanted)
        if wanted["record"]:
            proof_record.write(wanted["record"], processes, facts)
        return facts

    def send_canary(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Have a job done."""
        arguments = ["--url", self.nginx["url"], "--host", self.host, "--prefix", self.prefix]
        arguments += ["--timeout", "%g" % wanted["timeout"], "--start-timeout", "%g" % wanted["start_timeout"]]
        if not self.nginx["validate_certs"]:
            arguments.append("--insecure")
        if self.nginx["ca_file"]:
            arguments += ["--ca-file", self.nginx["ca_file"]]
        for handler in wanted["handlers"]:
            arguments += ["--handler", handler]
            for program, pid in self.pids.items():
                if program.rpartition(":")[2] == handler:
                    arguments += ["--pid", "%s=%d" % (handler, pid)]
        # Its own time limits add up to less than this; it is for a canary that hangs.
        limit = wanted["timeout"] + wanted["start_timeout"] + 300
        return self.canary("job", *arguments, timeout=limit)

    def secrets(self) -> set[str]:
        """Return what must not be shown: the secrets in Galaxy's configuration."""
        found: set[str] = set()
        path = self.galaxy.get("config_file")
        if path:
            for name in (path, os.path.join(os.path.dirname(path), "job_conf.yml")):
                try:
                    with open(name, encoding="utf-8", errors="replace") as stream:
                        found |= proof_logs.secrets_of_config(stream.read())
                except OSError:
                    continue
        return found


def summary(links: list[dict[str, Any]]) -> list[str]:
    """Write one line for each link that held."""
    lines = []
    for link in links:
        facts = link["facts"]
        text = {
            "database": lambda f: "%s, schema %s" % (f.get("server"), "/".join(f.get("revisions") or [])),
            "supervisor": lambda f: "running: %s" % ", ".join(f["pids"]),
            "uwsgi": lambda f: (
                "Galaxy %s%s" % (f["version"], ", %d workers answered" % len(f["workers"]) if "workers" in f else "")
            ),
            "nginx": lambda f: "%d URLs answered, slowest %s" % (f["urls"], f["slowest"]),
            "http": lambda f: "%d URLs answered by uWSGI itself, slowest %s" % (f["urls"], f["slowest"]),
            "job": lambda f: (
                "job %s by %s in %s s, read back; nothing left behind%s"
                % (
                    f.get("job_id"),
                    f.get("handler"),
                    f["times"].get("job"),
                    " (earlier, by the same processes)" if f.get("earlier") else "",
                )
            ),
        }[link["name"]](facts)
        lines.append("%-10s %6.1f s  %s" % (link["name"], link["seconds"], text))
    return lines


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_by={"database": ["galaxy"], "job": ["galaxy", "nginx"]},
    )
    if module.check_mode:
        module.exit_json(
            changed=False, skipped=True, msg="Nothing is proved in check mode: the server is as it was before this run."
        )
    signal.signal(signal.SIGTERM, _stop)  # so that the canary is told, and cleans up
    params = module.params
    logs = {name: list(paths or []) for name, paths in (params["logs"] or {}).items()}
    started = proof_logs.sizes(proof_logs.expand([path for paths in logs.values() for path in paths]))
    chain = Chain(params)
    try:
        chain.walk()
    except proof.LinkError as broken:
        secrets = chain.secrets()
        link = chain.current
        excerpts = proof.collect_logs(link, broken, logs, started, secrets, params["log_lines"])
        passed = [entry["name"] for entry in chain.links if entry["name"] != link]
        text = proof_logs.mask(proof.report(link, broken, passed, excerpts, chain.names), secrets)
        # The message says it all; Ansible would print each further value again.
        module.fail_json(msg=text, broken_link=link)
    lines = summary(chain.links)
    module.exit_json(changed=False, links=chain.links, summary=lines, msg="The chain holds.\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
