# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of the chain that a request and a job go along, each with its proof.

Every link is a function that returns facts or raises :class:`LinkError`. Nothing here knows Ansible.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
import xmlrpc.client
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils import proof_logs, supervisor_rpc, uwsgi_protocol

# Python 3.9 knows the flag, but not its name.
PARTIAL_CHAIN = 0x80000

LINKS = ("database", "supervisor", "uwsgi", "nginx", "job")
LOGS_OF_LINK = {
    "database": ("postgresql",),
    "supervisor": ("supervisor",),
    "uwsgi": ("uwsgi",),
    "nginx": ("nginx", "uwsgi"),
    "http": ("http", "uwsgi"),
    "job": ("handlers", "uwsgi", "nginx", "http"),
}
LOGS_OF_STAGE = {
    "prepare": ("postgresql",),
    "upload": ("uwsgi", "nginx", "http", "handlers"),
    "download": ("nginx", "http", "uwsgi", "handlers"),
    "clean up": ("uwsgi", "nginx", "postgresql"),
}
"""Stages of the canary whose suspects are not the handlers."""


class LinkError(Exception):
    """A link does not hold. It carries what a person needs to find out why."""

    def __init__(
        self,
        expected: str,
        seen: str,
        look_at: str = "",
        waited: float | None = None,
        problems: Iterable[str] = (),
        log_files: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(seen)
        self.expected = expected
        self.seen = seen
        self.look_at = look_at
        self.waited = waited
        self.problems = list(problems)
        self.log_files = list(log_files)
        self.facts = dict(facts or {})


# --- supervisor -----------------------------------------------------------------------------------


class Supervisor:
    """supervisord, asked over its Unix socket."""

    def __init__(self, path: str, timeout: float = 10.0) -> None:
        self.path = path
        self._supervisor = supervisor_rpc.connect(path, timeout)

    def processes(self) -> dict[str, dict[str, Any]]:
        """Return all programs, by the name that supervisorctl shows (``group:name``)."""
        result = {}
        answer: Any = self._supervisor.getAllProcessInfo()
        for info in answer:
            name = str(info["name"])
            group = str(info["group"])
            result[name if group == name else "%s:%s" % (group, name)] = info
        return result


_STATES = {"STOPPED": "stopped on request", "EXITED": "ended by itself", "FATAL": "given up after it ended too often"}


def describe_program(name: str, info: Mapping[str, Any] | None, known: Iterable[str] = ()) -> str:
    """Say in one line how a program is."""
    if info is None:
        return "%s: supervisor knows no such program (it knows %s)" % (name, ", ".join(sorted(known)) or "none")
    state = info["statename"]
    text = "%s: %s" % (name, state)
    if state == "RUNNING":
        return "%s for %d s, pid %s" % (text, info["now"] - info["start"], info["pid"])
    if info.get("spawnerr"):
        text += ", %s" % info["spawnerr"]
    if info.get("exitstatus"):
        text += ", exit status %s" % info["exitstatus"]
    if info.get("stop") and state in _STATES:
        text += ", %s %d s ago" % (_STATES[state], max(0, info["now"] - info["stop"]))
    return text


def check_supervisor(
    supervisor: Supervisor, programs: Sequence[str], min_uptime: float, timeout: float
) -> dict[str, Any]:
    """Wait until every program runs and has run for a while in the same process."""
    began = time.monotonic()
    pids: dict[str, set[int]] = {name: set() for name in programs}
    while True:
        try:
            infos = supervisor.processes()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise LinkError(
                "supervisord to answer on %s" % supervisor.path,
                _error(error),
                "whether supervisord runs (systemctl status supervisor, or service supervisor status)",
                time.monotonic() - began,
            ) from error
        bad = []
        hopeless = True
        for name in programs:
            info = infos.get(name)
            running = info is not None and info["statename"] == "RUNNING"
            if info and info.get("pid"):
                pids[name].add(info["pid"])
            if running and info and info["now"] - info["start"] >= min_uptime:
                continue
            bad.append(name)
            if info is not None and info["statename"] in ("STARTING", "BACKOFF", "RUNNING"):
                hopeless = False
        waited = time.monotonic() - began
        if not bad:
            return {
                "pids": {name: infos[name]["pid"] for name in programs},
                "uptime": {name: infos[name]["now"] - infos[name]["start"] for name in programs},
            }
        if hopeless or waited >= timeout:
            problems = []
            for name in bad:
                text = describe_program(name, infos.get(name), infos)
                if len(pids[name]) > 1:
                    text += ", restarted %d times while we looked" % (len(pids[name]) - 1)
                problems.append(text)
            raise LinkError(
                "all of %s to be RUNNING and to stay so for %.0f s" % (", ".join(programs), min_uptime),
                "%d of %d do not" % (len(bad), len(programs)),
                "supervisorctl status; supervisorctl tail %s" % bad[0],
                waited,
                problems,
                _log_files(infos.get(name) for name in bad),
            )
        time.sleep(1)


def check_still_running(supervisor: Supervisor, pids: Mapping[str, int]) -> None:
    """Check that each program is still the process that it was."""
    try:
        infos = supervisor.processes()
    except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
        raise LinkError(
            "supervisord to go on answering on %s" % supervisor.path, _error(error), "supervisord's log"
        ) from error
    changed = [name for name in pids if infos.get(name, {}).get("pid") != pids[name]]
    if changed:
        raise LinkError(
            "every program to keep running in the same process",
            "%s did not" % ", ".join(changed),
            "supervisorctl tail %s" % changed[0],
            None,
            ["%s; was pid %s" % (describe_program(name, infos.get(name), infos), pids[name]) for name in changed],
            _log_files(infos.get(name) for name in changed),
        )


def _log_files(infos: Iterable[Mapping[str, Any] | None]) -> list[str]:
    keys = ("stdout_logfile", "stderr_logfile")
    return [str(info[key]) for info in infos if info for key in keys if info.get(key)]


# --- uWSGI ----------------------------------------------------------------------------------------


def port_holder(address: str) -> str:
    """Return which process listens on an address, as far as /proc tells."""
    target = uwsgi_protocol.parse_address(address)
    inodes = set()
    if isinstance(target, tuple):
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for fields in _table(table):
                if len(fields) > 9 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == target[1]:
                    inodes.add(fields[9])
        what = "port %d" % target[1]
    else:
        inodes = {fields[6] for fields in _table("/proc/net/unix") if fields[-1] == target and len(fields) > 7}
        what = target
    if not inodes:
        return "nothing listens on %s" % what
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes & _sockets(pid):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as stream:
                    command = stream.read(200).replace(b"\0", b" ").decode("utf-8", "replace").strip()
            except OSError:
                continue
            return "%s is held by process %s (%s)" % (what, pid, command)
    return "%s is held by a process that cannot be seen from here" % what


def _sockets(pid: str) -> set[str]:
    """Return the numbers of a process's sockets; it may end, or close some, while it is looked at."""
    found = set()
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/%s/fd" % pid):
            with contextlib.suppress(OSError):
                link = os.readlink("/proc/%s/fd/%s" % (pid, number))
                if link.startswith("socket:["):
                    found.add(link[8:-1])
    return found


def _table(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return [line.split() for line in stream][1:]
    except OSError:
        return []


def check_uwsgi(
    address: str,
    path: str,
    host: str,
    release: str | None,
    start_timeout: float,
    watch: Callable[[], None] | None = None,
    stats_address: str | None = None,
    grace: float = 10.0,
    patience: float = 30.0,
) -> dict[str, Any]:
    """Wait until Galaxy answers through uWSGI, as the release that is expected.

    uWSGI binds its socket before it loads Galaxy, so a connection is taken at once and answered after a minute or
    more: few patient requests, and not many hasty ones that would pile up in its queue.

    :param watch: called while waiting; raises LinkError if waiting is in vain
    :param stats_address: asked for the state of the workers if there is no answer
    :param grace: how long a wrong answer is given to become right
    :param patience: how long to wait for one answer before asking anew: one worker may hang and another not
    """
    began = time.monotonic()
    wrong_since: float | None = None
    while True:
        left = start_timeout - (time.monotonic() - began)
        look_at = ""
        try:
            response = uwsgi_protocol.request(address, path, host, max(min(left, patience), 1.0), tick=watch)
            seen = "status %d, %s; %s" % (response.status, show_body(response.body), port_holder(address))
            if response.status == 200:
                version = parse_version(response.body)
                if version is not None and (release is None or is_release(version, release)):
                    return {"version": version, "waited": round(time.monotonic() - began, 1)}
                if version is None:
                    seen = "status 200, but %s" % show_body(response.body)
                    look_at = "whether this socket is Galaxy's at all; %s" % port_holder(address)
                else:
                    seen = "it answers as release %s" % version
                    look_at = "whether the web processes were restarted after the upgrade; %s" % port_holder(address)
            elif response.status == 404:
                look_at = "whether Galaxy was restarted since galaxy_url_prefix was changed"
            wrong_since = wrong_since or time.monotonic()
        except (ConnectionRefusedError, FileNotFoundError) as error:
            seen, look_at = "%s; %s" % (_error(error), port_holder(address)), "the uWSGI log; option socket of uWSGI"
        except TimeoutError:
            seen = "no answer, though the connection is taken; %s" % port_holder(address)
            look_at = "the uWSGI log: whether Galaxy still loads, or all threads are busy"
        except uwsgi_protocol.ProtocolError as error:
            seen = "%s; %s" % (_error(error), port_holder(address))
            look_at = "whether it is uWSGI that listens there, with socket (and not http-socket) as the option"
            wrong_since = wrong_since or time.monotonic()
        except OSError as error:
            seen, look_at = _error(error), "permissions of the socket and of the directories above it"
        waited = time.monotonic() - began
        if waited >= start_timeout or (wrong_since and time.monotonic() - wrong_since >= grace):
            raise LinkError(
                "Galaxy%s to answer %s with 200 in the uWSGI protocol on %s"
                % (" " + release if release else "", path, address),
                seen,
                look_at or "the uWSGI log: the traceback of the request",
                waited,
                _worker_states(stats_address),
            )
        if watch:
            watch()
        time.sleep(min(1.0, max(0.0, start_timeout - waited)))


def is_release(version: str, release: str) -> bool:
    """Tell whether Galaxy's version is a release's. Until 22.05, Galaxy writes months as 05: 20.05 is 20.5.0."""
    number = re.sub(r"^(\d\d)\.0([1-9])", r"\1.\2", version)
    classic = number != version and number.count(".") == 1
    return release in (number, number + ".0") or (classic and release.startswith(number + "."))


def parse_version(body: bytes) -> str | None:
    """Return the release that ``/api/version`` names."""
    try:
        answer = json.loads(body.decode("utf-8"))
        major, minor = answer["version_major"], answer.get("version_minor")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return "%s.%s" % (major, minor) if minor else str(major)


def check_workers(
    address: str,
    stats_address: str,
    path: str,
    host: str,
    processes: int | None,
    timeout: float,
    read_stats: Callable[[str], Mapping[str, Any]] = uwsgi_protocol.read_stats,
) -> dict[str, Any]:
    """Make every worker answer.

    As many requests as there are threads are begun together and finished together (:class:`HeldRequest`), until
    the count of each worker has risen.
    """
    began = time.monotonic()
    deadline = began + timeout
    first = _workers(read_stats, stats_address)
    if processes is not None and len(first) != processes:
        raise LinkError(
            "%d uWSGI workers" % processes,
            "%d: uWSGI's statistics name the pids %s"
            % (len(first), ", ".join(str(w["pid"]) for w in first.values()) or "none"),
            "whether uWSGI was restarted since its configuration was written",
        )
    wrong: dict[str, int] = {}
    last: dict[int, dict[str, Any]] = {}
    asked: dict[int, Mapping[str, Any]] = {}
    rounds = sent = 0
    variables = uwsgi_protocol.request_vars(path, host)
    while True:
        last = _workers(read_stats, stats_address)
        for number, worker in last.items():
            before = first.get(number)
            if before and before["pid"] == worker["pid"] and worker["requests"] > before["requests"]:
                asked[number] = worker
        alive = [number for number, worker in last.items() if worker["status"] != "cheap"]
        if alive and all(number in asked for number in alive):
            break
        if time.monotonic() >= deadline:
            break
        # One round reaches every idle thread; with each further one a few more connections are opened, for threads
        # that became free or workers that were respawned meanwhile.
        threads = sum(max(1, len(worker.get("cores") or [])) for worker in last.values() if worker["status"] != "cheap")
        count = min(max(1, threads) + rounds, 128)
        held: list[uwsgi_protocol.HeldRequest] = []
        try:
            for _number in range(count):
                held.append(uwsgi_protocol.HeldRequest(address, variables))  # noqa: PERF401 - one may fail: close those before
            time.sleep(0.05)  # for the last one to be taken too
            with concurrent.futures.ThreadPoolExecutor(max_workers=count) as pool:
                left = max(1.0, min(10.0, deadline - time.monotonic()))
                for outcome in filter(None, pool.map(_outcome, held, [left] * count)):
                    wrong[outcome] = wrong.get(outcome, 0) + 1
        except OSError as error:
            wrong[_error(error)] = wrong.get(_error(error), 0) + 1
        finally:
            for request in held:
                request.close()
        sent += count
        rounds += 1
        time.sleep(min(0.1 * rounds, 1.0))  # a worker counts a request a little after its answer
        for number, worker in last.items():
            if number in first and first[number]["pid"] != worker["pid"]:
                first[number] = worker  # respawned: the new one has to answer
                asked.pop(number, None)
    silent = [number for number in last if number not in asked and last[number]["status"] != "cheap"]
    if silent or not asked:
        raise LinkError(
            "every uWSGI worker to answer",
            "%d of %d did, within %d requests" % (len(asked), len(last), sent),
            "the uWSGI log; threads that hang (py-spy dump --pid N), harakiri",
            time.monotonic() - began,
            [describe_worker(last[number]) for number in silent]
            + ["%d times: %s" % (n, what) for what, n in wrong.items()],
        )
    if wrong:
        raise LinkError(
            "every request to every worker to be answered with 200",
            "%d of %d were not" % (sum(wrong.values()), sent),
            "the uWSGI log",
            time.monotonic() - began,
            ["%d times: %s" % (count, what) for what, count in wrong.items()],
        )
    return {
        "workers": {str(number): worker["pid"] for number, worker in sorted(asked.items())},
        "idle": [number for number in last if last[number]["status"] == "cheap"],
        "requests": sent,
    }


def _workers(
    read_stats: Callable[[str], Mapping[str, Any]], address: str, patience: float = 3.0
) -> dict[int, dict[str, Any]]:
    """Return the workers by their numbers. A uWSGI that leaves may take the socket with it for a moment."""
    began = time.monotonic()
    while True:
        try:
            stats = read_stats(address)
            break
        except (OSError, uwsgi_protocol.ProtocolError) as error:
            if time.monotonic() - began >= patience:
                raise LinkError(
                    "uWSGI's statistics on %s" % address,
                    _error(error),
                    "option stats of uWSGI, and whether uWSGI was restarted since it was set",
                ) from error
            time.sleep(0.1)
    return {int(worker["id"]): dict(worker) for worker in stats["workers"] if worker.get("pid")}


def _worker_states(address: str | None) -> list[str]:
    """Describe the workers, if their statistics can be read at all."""
    if address is None:
        return []
    try:
        return [describe_worker(worker) for worker in _workers(uwsgi_protocol.read_stats, address).values()]
    except LinkError as broken:
        return ["uWSGI's statistics on %s: %s" % (address, broken.seen)]


def _outcome(held: uwsgi_protocol.HeldRequest, timeout: float) -> str | None:
    try:
        response = held.finish(timeout)
    except (OSError, uwsgi_protocol.ProtocolError) as error:
        return _error(error)
    return None if response.status == 200 else "status %d, %s" % (response.status, show_body(response.body))


def describe_worker(worker: Mapping[str, Any]) -> str:
    """Say how a worker is, and which requests it is in. Of their variables only method and path are shown."""
    text = "worker %s, pid %s: %s, %s requests so far" % (
        worker["id"],
        worker["pid"],
        worker["status"],
        worker["requests"],
    )
    if worker.get("respawn_count", 0) > 1:
        text += ", respawned %d times" % (worker["respawn_count"] - 1)
    for core in worker.get("cores") or []:
        if core.get("in_request"):
            variables = dict(v.split("=", 1) for v in core.get("vars") or [] if isinstance(v, str) and "=" in v)
            if variables.get("REQUEST_URI"):
                path = variables["REQUEST_URI"].partition("?")[0]
                text += "; a thread is in %s %s" % (variables.get("REQUEST_METHOD", ""), path)
            else:
                text += "; a thread is in a request"
    return text


# --- nginx ----------------------------------------------------------------------------------------


def ask(
    url: str, path: str, host: str, validate_certs: bool, ca_file: str | None, timeout: float
) -> tuple[int, dict[str, str], bytes]:
    """Ask for one URL at the address in ``url``, under the server name ``host``. Redirects are not followed."""
    parts = urllib.parse.urlsplit(url)
    address = parts.hostname or "127.0.0.1"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.connect()
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            # A certificate in that file is good by itself, whoever issued it.
            context.verify_flags |= PARTIAL_CHAIN
            if not validate_certs:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host.rsplit(":", 1)[0])
        headers = {"Host": host, "Accept": "*/*", "User-Agent": "dagobah.galaxy instance_proof"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(8 * 1024 * 1024)
    finally:
        connection.close()


_ERROR_PAGE = re.compile(rb"<title>\s*(50[0-9][^<]*|40[0-9][^<]*|Welcome to nginx!?)\s*</title>", re.I)


def judge(wanted: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """Return what is wrong with an answer.

    A status of 500 and more is never right, and neither is a proxy's error page, whatever its status says.
    """
    wrong = []
    statuses = wanted.get("status") or [200]
    if status >= 500 or status not in statuses:
        wrong.append("status %d instead of %s" % (status, " or ".join(str(number) for number in statuses)))
    page = _ERROR_PAGE.search(body[:2048])
    if page:
        wrong.append("the page says %r" % page.group(1).decode("utf-8", "replace").strip())
    content_type = wanted.get("content_type")
    if content_type and not headers.get("content-type", "").lower().startswith(content_type.lower()):
        wrong.append("content type %s instead of %s" % (headers.get("content-type", "none"), content_type))
    contains = wanted.get("contains")
    if contains and contains.encode() not in body:
        wrong.append("the body does not contain %r" % contains)
    for name, pattern in (wanted.get("headers") or {}).items():
        value = headers.get(name.lower())
        if value is None:
            wrong.append("there is no header %s" % name)
        elif not re.search(str(pattern), value):
            wrong.append("header %s is %r, which does not match %r" % (name, value, pattern))
    if wrong and status not in statuses and 300 <= status < 400:
        wrong.append("it leads to %s" % headers.get("location", "nowhere"))
    if wrong and not page:
        wrong.append("it came with %s" % show_body(body, 120))
    return wrong


def check_nginx(
    url: str,
    host: str,
    prefix: str,
    validate_certs: bool,
    ca_file: str | None,
    urls: Sequence[Mapping[str, Any]],
    timeout: float,
    request_timeout: float = 30.0,
    link: str = "nginx",
) -> dict[str, Any]:
    """Ask for every mapped URL, several at a time; one that fails is asked again until the time is up."""
    began = time.monotonic()
    base = "/" + prefix.strip("/") if prefix.strip("/") else ""

    def attempt(wanted: Mapping[str, Any]) -> tuple[list[str], float]:
        start = time.monotonic()
        try:
            status, headers, body = ask(url, base + wanted["path"], host, validate_certs, ca_file, request_timeout)
        except (OSError, http.client.HTTPException) as error:
            return [_error(error)], time.monotonic() - start
        return judge(wanted, status, headers, body), time.monotonic() - start

    pending = list(range(len(urls)))
    wrong: dict[int, list[str]] = {}
    slowest = ("", 0.0)
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        while True:
            wrong = {}
            outcomes = pool.map(attempt, [urls[index] for index in pending])
            for index, (found, seconds) in zip(pending, outcomes):  # noqa: B905 - Python 3.9 has no strict=
                if found:
                    wrong[index] = found
                if seconds > slowest[1]:
                    slowest = (base + urls[index]["path"], seconds)
            pending = list(wrong)
            if not wrong or time.monotonic() - began >= timeout:
                break
            time.sleep(1)
    if wrong:
        text = " ".join("; ".join(found) for found in wrong.values())
        raise LinkError(
            "%d URLs at %s (server name %s) to answer as mapped" % (len(urls), url, host),
            "%d of them %s not" % (len(wrong), "does" if len(wrong) == 1 else "do"),
            _nginx_hint(text, url) if link == "nginx" else _http_hint(text, url),
            time.monotonic() - began,
            ["%s: %s" % (base + urls[index]["path"], "; ".join(found)) for index, found in wrong.items()],
        )
    return {"urls": len(urls), "slowest": "%s in %.2f s" % slowest}


def _nginx_hint(text: str, url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if "refused" in text.lower():
        return "whether nginx runs (nginx -t; service nginx status); %s" % port_holder("127.0.0.1:%d" % port)
    if "certificate" in text.lower():
        return "the certificate of the server name, and whether this machine trusts who signed it"
    if "status 502" in text or "502 Bad" in text or "Galaxy is busy" in text:
        return "nginx's error log: uwsgi_pass names another socket, its queue is full, or nginx may not open it"
    if "status 504" in text:
        return "which request takes so long; uwsgi_read_timeout of nginx"
    if "Welcome to nginx" in text:
        return "whether another site answers under this server name (sites-enabled/default, server_name)"
    if "status 403" in text:
        return "whether nginx's user may read the files: every directory above them counts"
    if "status 404" in text:
        return "the locations in nginx's site, and whether the client was laid out in the static directory"
    return "nginx's error log, then the uWSGI log"


def _http_hint(text: str, url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if "refused" in text.lower():
        return "supervisor's program http, uWSGI's HTTP router; %s" % port_holder("127.0.0.1:%d" % (parts.port or 80))
    if "status 404" in text:
        return "uWSGI's option static-map, and whether the client was laid out in the static directory"
    if "content-type" in text.lower():
        return "/etc/mime.types (package media-types), from which uWSGI knows the types of static files"
    return "the log of the HTTP router (http.log), then uWSGI's"


# --- the canary -------------------------------------------------------------------------------------


def run_canary(
    command: Sequence[str], user: str, cwd: str, timeout: float, popen: Callable[..., Any] = subprocess.Popen
) -> dict[str, Any]:
    """Run the canary as Galaxy's user and return what it found.

    :raises LinkError: what the canary says is broken, or that it could not be run
    """
    options: dict[str, Any] = {}
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise LinkError(
            "a system user %s" % user, "there is none", "galaxy_user, and whether the role galaxy has run"
        ) from None
    if os.geteuid() == 0 and account.pw_uid != 0:
        options = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": os.getgrouplist(account.pw_name, account.pw_gid),
        }
    # Of our environment nothing is handed on: it may hold what is not Galaxy's business.
    environment = {
        "HOME": account.pw_dir,
        "USER": user,
        "LOGNAME": user,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    began = time.monotonic()
    try:
        process = popen(
            list(command),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o027,
            **options,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LinkError(
            "to start %s as user %s in %s" % (command[0], user, cwd),
            _error(error),
            "whether the release is installed, and whether the user may enter the directories above",
        ) from error
    late = False
    try:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            late = True
            process.send_signal(signal.SIGTERM)  # it cleans up and answers
            try:
                output, errors = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()  # its second process takes the credential away
                output, errors = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        raise
    waited = time.monotonic() - began
    result = _last_object(output)
    if result is None:
        said = (errors or output).decode("utf-8", "replace").strip().splitlines()
        raise LinkError(
            "the canary to answer",
            "nothing within %.0f s" % timeout if late else "exit status %s" % process.returncode,
            "what it said, below; it can be run by hand: cd %s && runuser -u %s -- %s" % (cwd, user, " ".join(command)),
            waited,
            said[-15:],
        )
    if result.get("ok"):
        return result
    facts = {
        key: value for key, value in result.items() if key not in ("expected", "seen", "look_at", "problems", "waited")
    }
    problems = list(result.get("problems") or [])
    problems += ["note: %s" % note for note in result.get("notes") or []]
    if late:
        problems.append("note: it was stopped, since it took longer than %.0f s" % timeout)
    raise LinkError(
        str(result.get("expected")),
        str(result.get("seen")),
        str(result.get("look_at") or ""),
        result.get("waited", waited),
        problems,
        facts=facts,
    )


def _last_object(output: bytes) -> dict[str, Any] | None:
    """Return the JSON object on the last line of the output."""
    try:
        result = json.loads(output.decode("utf-8", "replace").strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return result if isinstance(result, dict) else None


# --- the report --------------------------------------------------------------------------------------


def report(
    link: str,
    broken: LinkError,
    passed: Sequence[str],
    excerpts: Mapping[str, Sequence[str]],
    links: Sequence[str] = LINKS,
) -> str:
    """Write the message that a person reads."""
    order = []
    for name in links:
        if name in passed:
            order.append("%s ok" % name)
        elif name == link:
            order.append("%s BROKEN" % name.upper())
        elif links.index(name) > links.index(link):
            order.append("%s not asked" % name)
    stage = broken.facts.get("stage")
    lines = ["The chain breaks at: %s%s" % (link, ', at the stage "%s"' % stage if stage and stage != link else "")]
    lines.append("  chain:    %s" % " -> ".join(order))
    lines.append("  expected: %s" % broken.expected)
    lines.append("  seen:     %s" % broken.seen)
    lines += ["              - %s" % problem for problem in broken.problems]
    if broken.waited is not None:
        lines.append("  waited:   %.0f s" % broken.waited)
    if broken.look_at:
        lines.append("  look at:  %s" % broken.look_at)
    for path, excerpt in excerpts.items():
        lines.append("")
        lines.append("  From %s:" % path)
        lines += ["    %s" % line for line in excerpt]
    return "\n".join(lines)


def show_body(body: bytes, limit: int = 160) -> str:
    """Describe a body in one line: its text without markup, or Galaxy's own message."""
    if not body:
        return "an empty body"
    text = body.decode("utf-8", "replace")
    try:
        message = json.loads(text).get("err_msg")
    except (ValueError, AttributeError):
        message = None
    if message:
        return "Galaxy's message %r" % message
    text = " ".join(re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", text).split()) or "no text"
    return "a body of %d bytes: %s" % (len(body), text if len(text) <= limit else text[:limit] + " ...")


def _error(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved (%s)" % error.strerror
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (": %s" % error.filename if error.filename else "")
    return str(error) or type(error).__name__


def collect_logs(
    link: str,
    broken: LinkError,
    logs: Mapping[str, Sequence[str]],
    started: Mapping[str, int],
    secrets: Iterable[str],
    limit: int,
) -> dict[str, list[str]]:
    """Return the telling lines of the logs that belong to a link.

    The suspects' own logs come first. Of the links further along only what they wrote since the proof began is
    shown: what they wrote before does not explain why this link does not hold now.
    """
    names: tuple[str, ...] = LOGS_OF_LINK[link]
    stage = broken.facts.get("stage")
    names = LOGS_OF_STAGE.get(str(stage), names)
    if stage in ("configuration", "canary", "interrupted"):
        names = ()  # the canary has not come as far as to ask anybody who writes a log
    suspects = list(broken.log_files)
    if names:
        suspects += logs.get(names[0]) or []
    others = [path for name in names[1:] for path in logs.get(name) or []]
    secrets = list(secrets)
    excerpts = {}
    for path in proof_logs.expand(suspects + others):
        if path.endswith((".gz", ".xz", ".1")):  # rotated away
            continue
        only_recent = path not in proof_logs.expand(suspects)
        lines = proof_logs.excerpt(path, started.get(path, 0), limit, secrets, only_recent)
        if lines:
            excerpts[path] = lines
    return excerpts
