# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try a release before it serves: on a copy of the database, with data, sockets and jobs of its own.

Nothing that the trial does reaches what serves: Galaxy's options that lead anywhere else (datasets, object stores,
mail, queues, other services) are taken out of its configuration, and jobs that are there are not for its handler.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps, proof, proof_logs
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import (
    Database,
    DatabaseError,
    options_of_user,
    run,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import to_paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.release_change import replace

# The trial's handler, and the tag of the jobs that are for it.
HANDLER = "trial"

# Options of Galaxy that lead to what is not the trial's own.
FOREIGN = (
    "amqp_internal_connection",
    "celery_conf",
    "dependency_resolvers_config_file",
    "error_email_to",
    "file_path",
    "ftp_upload_dir",
    "galaxy_data_manager_data_path",
    "galaxy_infrastructure_url",
    "job_metrics_config_file",
    "job_resource_params_file",
    "job_working_directory",
    "mailing_join_addr",
    "new_file_path",
    "nginx_x_accel_redirect_base",
    "apache_xsendfile",
    "object_store",
    "object_store_cache_path",
    "object_store_config",
    "object_store_config_file",
    "sentry_dsn",
    "smtp_server",
    "statsd_host",
    "template_cache_path",
    "tool_cache_data_dir",
    "tool_dependency_dir",
    "tus_upload_store",
    "workflow_schedulers_config_file",
)
# What it sets instead.
OWN = {
    "check_migrate_databases": True,
    "cleanup_job": "always",
    "conda_auto_init": False,
    "enable_celery_tasks": False,
    "interactivetools_enable": False,
    "log_level": "INFO",
    "monitor_thread_join_timeout": 5,
}
# Options of uWSGI by which Galaxy loads, or does not. Sockets, logs and helpers are the trial's own.
KEPT_UWSGI_OPTIONS = (
    "buffer-size",
    "enable-threads",
    "home",
    "py-call-osafterfork",
    "py-call-uwsgi-fork-hooks",
    "pythonpath",
    "single-interpreter",
    "skip-atexit-teardown",
    "thunder-lock",
)
JOB_CONFIG = f"""\
runners:
  local: {{load: "galaxy.jobs.runners.local:LocalJobRunner", workers: 1}}
handling:
  assign: [db-skip-locked]
  default: {HANDLER}s
  processes:
    {HANDLER}: {{tags: [{HANDLER}s]}}
execution:
  default: local
  environments:
    local: {{runner: local}}
"""
# Where processes cannot take jobs from the database, the web process has them.
JOB_CONFIG_WITHOUT_HANDLER = """\
runners:
  local: {load: "galaxy.jobs.runners.local:LocalJobRunner", workers: 1}
execution:
  default: local
  environments:
    local: {runner: local}
"""


class TrialError(Exception):
    """The release has failed its trial; the message is for a person."""


@dataclass(frozen=True)
class Candidate:
    """The release, and what it would be configured with."""

    release: str
    """Its directory."""
    galaxy: str
    """Its number."""
    link: str
    """What leads to the release that serves, and would lead to this one."""
    sections: Mapping[str, Mapping[str, Any]]
    """galaxy.ini."""
    files: Mapping[str, str]
    """Files that the options name, by their path: their text."""
    bridge: Mapping[str, str]
    """The bridge's files, by name."""
    uwsgi: Sequence[str]
    """Command that is uWSGI."""
    managed_config: str
    """Directory with the configuration that Galaxy itself writes."""
    working_directory: str
    host: str = "localhost"
    prefix: str = "/"


def is_sqlite(sections: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether Galaxy's database is SQLite."""
    return str(sections["app:main"]["database_connection"]).startswith("sqlite")


def trial_sections(candidate: Candidate, directory: str, urls: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return galaxy.ini as the trial has it."""
    own = {path: f"{directory}/config/{number}-{os.path.basename(path)}" for number, path in enumerate(candidate.files)}

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            parts = [own.get(part.strip(), part) for part in value.split(",")]
            return ",".join(parts).replace(f"{candidate.link}/", f"{candidate.release}/")
        return value

    options = {name: moved(value) for name, value in candidate.sections["app:main"].items() if name not in FOREIGN}
    options.update(OWN)
    options.update(
        database_connection=urls[0],
        data_dir=f"{directory}/data",
        managed_config_dir=f"{directory}/managed",
        job_config_file=f"{directory}/config/job_conf.yml",
        id_secret=os.urandom(24).hex(),
    )
    if len(urls) > 1:
        options["install_database_connection"] = urls[1]
    uwsgi = {name: value for name, value in candidate.sections["uwsgi"].items() if name in KEPT_UWSGI_OPTIONS}
    # uWSGI puts each before those that it has.
    given = uwsgi.get("pythonpath") or []
    uwsgi["pythonpath"] = [*(given if isinstance(given, list) else [given]), f"{directory}/lib"]
    uwsgi.update(
        {
            "http-socket": f"{directory}/run/http.sock",
            "chmod-socket": 600,
            "processes": 1,
            "threads": 2,
            "master": True,
            "no-orphans": True,
            "need-app": True,
            "die-on-term": True,
            "strict": True,
            "socket-timeout": 60,
        }
    )
    others = {name: dict(values) for name, values in candidate.sections.items() if name not in ("app:main", "uwsgi")}
    return {"uwsgi": uwsgi, "app:main": options, **others}


def copies(databases: Sequence[Database], directory: str) -> list[Database]:
    """Return the databases of a trial, which are for some others."""
    return [
        database.named(f"{database.name}_trial" if database.is_postgresql else f"{directory}/data/{number}.sqlite")
        for number, database in enumerate(databases)
    ]


class Trial:
    """A release at work in a directory of its own."""

    def __init__(self, candidate: Candidate, directory: str, user: str, originals: Sequence[Database]) -> None:
        self.candidate = candidate
        self.directory = directory
        self.user = user
        self.originals = originals
        self.copies = copies(originals, directory)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.config_file = f"{directory}/galaxy.ini"
        self.socket = f"{directory}/run/http.sock"

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Have everything that it takes, and nothing of it afterwards, whatever happens."""
        self.clean_up()
        try:
            self.lay_out()
            yield
        finally:
            self.stop()
            self.clean_up()

    def lay_out(self) -> None:
        """Make the directory."""
        account = pwd.getpwnam(self.user)
        owner = (account.pw_uid, account.pw_gid)
        # Of the user's own group alone: there are secrets in the configuration.
        os.mkdir(self.directory, 0o700)
        for name in ("config", "data", "lib", "log", "run"):
            os.mkdir(f"{self.directory}/{name}", 0o700)
        managed = self.candidate.managed_config
        if os.path.isdir(managed):
            shutil.copytree(managed, f"{self.directory}/managed", symlinks=True)
        else:
            os.mkdir(f"{self.directory}/managed", 0o700)
        has_handler = not is_sqlite(self.candidate.sections)
        sections = trial_sections(self.candidate, self.directory, [copy.url for copy in self.copies])
        files = {
            self.config_file: to_paste_deploy(sections),
            f"{self.directory}/config/job_conf.yml": JOB_CONFIG if has_handler else JOB_CONFIG_WITHOUT_HANDLER,
        }
        for number, (path, text) in enumerate(self.candidate.files.items()):
            files[f"{self.directory}/config/{number}-{os.path.basename(path)}"] = text
        if self.candidate.bridge:
            os.mkdir(f"{self.directory}/lib/galaxy_wsgi", 0o700)
        for name, text in self.candidate.bridge.items():
            files[f"{self.directory}/lib/galaxy_wsgi/{name}"] = text
        for path, text in files.items():
            replace(path, text.encode())
        for root, directories, names in os.walk(self.directory):
            for name in (*directories, *names):
                os.chown(os.path.join(root, name), *owner, follow_symlinks=False)
        os.chown(self.directory, *owner)

    def copy(self, dump: str) -> None:
        """Fill the copies of the databases from a dump."""
        for number, (original, database) in enumerate(zip(self.originals, self.copies)):  # noqa: B905 - Python 3.9
            database.check_room(original.size())
            database.create()
            with open(dumps.file_of(dump, number), "rb") as stream:
                database.load(stream)

    def script(self, python: str, text: str, *arguments: str) -> dict[str, Any]:
        """Run galaxy_database.py on the copies."""
        output = run([python, "-", *arguments, self.config_file], self.user, stdin=text.encode(), hint=last_line)
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return answer

    def revisions(self) -> list[str]:
        """Return the revisions of the copies."""
        return sorted({revision for database in self.copies for revision in database.revisions()})

    def start(self) -> None:
        """Start the web process, and a handler unless the web process has the jobs."""
        uwsgi = [*self.candidate.uwsgi, "--ini-paste", self.config_file]
        self._start("uwsgi", uwsgi, {"PYTHONPATH": f"{self.directory}/lib"})
        if not is_sqlite(self.candidate.sections):
            self._start(
                HANDLER,
                [f"{self.candidate.release}/bin/galaxy-main", "-c", self.config_file, f"--server-name={HANDLER}"],
            )

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        options = options_of_user(self.user)
        release = self.candidate.release
        options["env"] = {
            **options["env"],
            "VIRTUAL_ENV": release,
            "PATH": f"{release}/bin:{options['env']['PATH']}",
            "GALAXY_CONFIG_FILE": self.config_file,
            **(environment or {}),
        }
        options["cwd"] = self.candidate.working_directory
        with open(self.log(name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    def log(self, name: str) -> str:
        """Return the log of a process."""
        return f"{self.directory}/log/{name}.log"

    def wait_for_answer(self, timeout: float) -> float:
        """Wait until Galaxy answers, and return how long that took."""
        began = time.monotonic()
        path = self.candidate.prefix.rstrip("/") + "/api/version"
        seen = "nothing"
        while True:
            self.check_processes()
            with contextlib.suppress(OSError):
                status, body = ask(self.socket, path, self.candidate.host)
                version = proof.parse_version(body)
                if status == 200 and version and proof.is_release(version, self.candidate.galaxy):
                    return time.monotonic() - began
                seen = f"status {status}, {f'Galaxy {version}' if version else proof.show_body(body)}"
            if time.monotonic() - began > timeout:
                raise TrialError(
                    f"it has not answered as Galaxy {self.candidate.galaxy} within {timeout:.0f} s ({seen})"
                )
            time.sleep(0.5)

    def check_processes(self) -> None:
        """Fail if a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                what = "the web process" if name == "uwsgi" else "the job handler"
                raise TrialError(f"{what} has ended with {process.returncode}")

    def job(self, canary: str, timeout: float) -> dict[str, Any]:
        """Send a job through."""
        path = f"{self.directory}/lib/galaxy_canary.py"
        account = pwd.getpwnam(self.user)
        replace(path, canary.encode(), 0o400, (account.pw_uid, account.pw_gid))
        command = [f"{self.candidate.release}/bin/python", path, "job", "--config-file", self.config_file]
        command += ["--url", f"unix:{self.socket}", "--host", self.candidate.host, "--prefix", self.candidate.prefix]
        command += [
            "--handler",
            "main" if is_sqlite(self.candidate.sections) else HANDLER,
            "--timeout",
            f"{timeout:.0f}",
        ]
        try:
            return proof.run_canary(command, self.user, self.candidate.working_directory, timeout * 2 + 120)
        except proof.LinkError as broken:
            problems = "".join(f"\n  - {problem}" for problem in broken.problems)
            stage = broken.facts.get("stage") or "job"
            raise TrialError(
                f"a job has not gone through (at {stage}): expected {broken.expected}, saw {broken.seen}{problems}"
            ) from broken

    def stop(self) -> None:
        """Stop the processes: in good order, and if they do not, at once."""
        for process in self.processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + 45
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.1))
            _signal(process, signal.SIGKILL)
            process.wait()
        self.processes = {}

    def clean_up(self) -> None:
        """Remove what this trial, or one that was killed, has left: processes, copies, files."""
        for pid in processes_of(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for database in self.copies:
            database.drop()
        # Jobs may still write while they are killed.
        for _attempt in range(20):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not os.path.lexists(self.directory):
                return
            time.sleep(0.2)
        shutil.rmtree(self.directory)

    def excerpts(self, secrets: set[str], lines: int = 25) -> dict[str, list[str]]:
        """Return the lines of the logs that tell why."""
        names = [name for name in self.processes if os.path.exists(self.log(name))]
        return {name: proof_logs.excerpt(self.log(name), limit=lines, secrets=secrets) for name in names}


def last_line(said: str) -> str:
    """Return what a Python program says at its end. SQLAlchemy's errors have the statement after that."""
    lines = [line for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)] or lines
    return telling[-1][:800] if telling else ""


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    # Its group, with the jobs that it has started.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def processes_of(directory: str, proc: str = "/proc") -> list[int]:
    """Return the processes that were started with something in a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir(proc)):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError), open(f"{proc}/{pid}/{name}", "rb") as stream:
                if f"{directory}/".encode() in stream.read() and int(pid) != os.getpid():
                    found.append(int(pid))
                    break
    return found


def ask(path: str, url: str, host: str, timeout: float = 60) -> tuple[int, bytes]:
    """Ask for a URL by HTTP at a Unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(timeout)
    try:
        connection.sock.connect(path)
        connection.request("GET", url, headers={"Host": host, "Accept": "*/*"})
        answer = connection.getresponse()
        return answer.status, answer.read(1024 * 1024)
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def hold(
    trial: Trial,
    dump: str,
    script: str,
    canary: str,
    serving_python: str,
    revisions: Sequence[str],
    timeout: float,
    secrets: set[str],
) -> dict[str, Any]:
    """Try a release, and return what was found: whether the migration can be run backwards, and how long all took.

    :raises TrialError: with what failed, and the lines of the logs that tell why
    """
    began = time.monotonic()
    times: dict[str, float] = {}
    python = f"{trial.candidate.release}/bin/python"
    reversible: bool | None = None
    reason = ""

    def step(name: str) -> None:
        nonlocal began
        times[name] = round(time.monotonic() - began, 1)
        began = time.monotonic()

    with trial.made():
        try:
            trial.copy(dump)
            step("copy")
            trial.script(python, script, "--prepare")
            migrated = trial.revisions()
            step("migrate")
            trial.start()
            trial.wait_for_answer(timeout)
            step("start")
            trial.job(canary, timeout)
            step("job")
            trial.check_processes()
        except (TrialError, DatabaseError) as error:
            lines = [str(error)]
            for name, excerpt in trial.excerpts(secrets).items():
                lines += ["", f"  From the log of its {name}:", *(f"    {line}" for line in excerpt)]
            raise TrialError(proof_logs.mask("\n".join(lines), secrets)) from error
        trial.stop()
        step("stop")
        if migrated == sorted(revisions):
            reversible = True
        else:
            try:
                trial.script(python, script, "--revert", ",".join(revisions))
                trial.script(serving_python, script)
                reversible = True
            except DatabaseError as error:
                reversible, reason = False, str(error)
            step("revert")
    return {"reversible": reversible, "reason": reason, "times": times, "revisions": migrated}
