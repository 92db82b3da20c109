# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed requests, waits and memory of the ways to restart Galaxy's web processes. See benchmarks/restart."""

from __future__ import annotations

import argparse
import configparser
import http.client
import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path("/srv/galaxy")
LAUNCHER = ROOT / "server/bin/galaxy-run"
HANDOVER = ROOT / "server/bin/galaxy_handover.py"
UWSGI = ROOT / "venv/bin/uwsgi"
RESULTS = Path(__file__).parent / "results"
ACCOUNT = pwd.getpwnam("galaxy")
NGINX_PORT, OWN_PORT = 18201, 18211
WORKERS = 2
START = 400.0
# What is asked, by one client each, and how long it waits before the next.
PATHS = ("/api/version", "/", "/api/histories/published?limit=10", "/api/configuration")
PAUSE = 0.1


def run(command: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command of the release as supervisor does, in a session of its own."""
    with log.open("ab") as output:
        os.fchown(output.fileno(), ACCOUNT.pw_uid, ACCOUNT.pw_gid)
        return subprocess.Popen(
            command,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(ROOT / "home"),
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT / "server/lib"),
                **environment,
            },
            cwd=ROOT / "server",
            stdout=output,
            stderr=subprocess.STDOUT,
            user=ACCOUNT.pw_uid,
            group=ACCOUNT.pw_gid,
            extra_groups=os.getgrouplist("galaxy", ACCOUNT.pw_gid),
            start_new_session=True,
        )


# --- The contenders --------------------------------------------------------------------------------


@dataclass
class Contender:
    """A way to serve and to restart."""

    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    # uWSGI's options that are different here.
    options: dict[str, str] = field(default_factory=dict)
    speaks_http = False
    # Where nginx looks for it.
    ports: tuple[int, ...] = (OWN_PORT,)

    def configure(self, brand: str) -> Path:
        """Write the provisioned galaxy.ini with a brand, by which its answers are told from those before."""
        config = configparser.RawConfigParser(strict=False)
        config.optionxform = str  # type: ignore[assignment,method-assign]
        config.read(ROOT / "config/galaxy.ini")
        config["app:main"]["brand"] = brand
        config["uwsgi"].update(
            {
                "socket": f"127.0.0.1:{OWN_PORT}",
                "processes": str(WORKERS),
                "threads": "4",
                "logto": str(self.directory / "uwsgi.log"),
                "stats": str(self.directory / "stats"),
                "master-fifo": str(self.directory / "fifo"),
            }
        )
        config["uwsgi"].update(self.options)
        for name in [name for name, value in config["uwsgi"].items() if not value]:
            del config["uwsgi"][name]
        file = self.directory / "galaxy.ini"
        with file.open("w") as stream:
            config.write(stream)
        shutil.chown(file, "galaxy")
        return file

    def start(self, brand: str = "old") -> None:
        """Start it."""
        command = [str(LAUNCHER), str(UWSGI), "--ini-paste", str(self.configure(brand))]
        self.processes.append(run(command, self.directory / "log"))

    def restart(self) -> None:
        """Restart it with another brand; return when that has begun."""
        self.configure("new")
        self.processes[0].send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Stop all of it."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            for pid in below(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class Reload(Contender):
    """uWSGI's own reload: it loads Galaxy again in its own place."""


class Chain(Contender):
    """uWSGI's chain reload: each worker loads Galaxy by itself, and one after the other is replaced."""

    def start(self, brand: str = "old") -> None:
        """Start it, every worker with a Galaxy of its own."""
        self.options["lazy-apps"] = "true"
        super().start(brand)

    def restart(self) -> None:
        """Tell the master."""
        self.configure("new")
        (self.directory / "fifo").write_text("c")


class Zerg(Contender):
    """uWSGI's zerg pool: a process that holds the socket, and another uWSGI that attaches itself to it."""

    def start(self, brand: str = "old") -> None:
        """Start the pool, then the first that attaches itself."""
        pool = f"{self.directory}/pool:127.0.0.1:{OWN_PORT}"
        command = [str(LAUNCHER), str(UWSGI), "--master", "--die-on-term", "--zerg-pool", pool]
        self.processes.append(run(command, self.directory / "pool.log"))
        time.sleep(2)
        self.options.update({"socket": "", "zerg": f"{self.directory}/pool"})
        super().start(brand)

    def restart(self) -> None:
        """Start a second one, and end the first when the workers of the second take requests."""
        old = os.open(self.directory / "fifo", os.O_WRONLY)
        self.options.update({"stats": f"{self.directory}/stats2", "master-fifo": f"{self.directory}/fifo2"})
        super().start("new")

        def hand_over() -> None:
            while not self._accepts():
                time.sleep(0.2)
            os.write(old, b"q")

        threading.Thread(target=hand_over, daemon=True).start()

    def _accepts(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{self.directory}/stats2")
                workers = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))["workers"]
        except OSError:
            return False
        return len(workers) == WORKERS and all(worker["accepting"] for worker in workers)


class Handover(Contender):
    """The collection's: a second uWSGI, of which each worker has proved itself."""

    def start(self, brand: str = "old") -> None:
        """Start it as supervisor does."""
        config = self.configure(brand)
        command = [
            *("/usr/bin/python3", "-I", str(HANDOVER), f"--socket=127.0.0.1:{OWN_PORT}"),
            *(f"--{name}={self.directory / name}" for name in ("fifo", "stats", "state")),
            *("--", str(LAUNCHER), str(UWSGI), "--ini-paste", str(config)),
        ]
        self.processes.append(run(command, self.directory / "log"))


class Gunicorn(Contender):
    """Galaxy's own server, as gravity runs it by default: its graceful restart is to stop it and to start it."""

    speaks_http = True
    preload = True

    def start(self, brand: str = "old", port: int = OWN_PORT) -> None:
        """Start one, with the options that gravity gives it."""
        command = [
            *(str(LAUNCHER), "gunicorn", "galaxy.webapps.galaxy.fast_factory:factory()", "--timeout", "300"),
            *("-k", "galaxy.webapps.galaxy.workers.Worker", "-b", f"127.0.0.1:{port}"),
            *("--workers", str(WORKERS), "--config", "python:galaxy.web_stack.gunicorn_config"),
            *(["--preload"] if self.preload else []),
        ]
        config = str(self.configure(brand))
        # The launcher has its own idea of this one; env comes after it.
        command[1:1] = ["env", f"GALAXY_CONFIG_FILE={config}"]
        self.processes.append(run(command, self.directory / "log", PYTHONPATH=""))

    def restart(self) -> None:
        """As supervisor does it for gravity."""

        def again() -> None:
            old = self.processes[-1]
            old.send_signal(signal.SIGTERM)
            old.wait(60)
            self.start("new")

        threading.Thread(target=again, daemon=True).start()


class GunicornRolling(Gunicorn):
    """Two of them, which nginx asks in turn; gravity's rolling restart stops and starts one, and then the other."""

    ports = (OWN_PORT, OWN_PORT + 1)

    def start(self, brand: str = "old", port: int | None = None) -> None:
        """Start both, or one."""
        for each in [port] if port else self.ports:
            super().start(brand, each)

    def restart(self) -> None:
        """One after the other."""

        def again() -> None:
            for old, port in zip(self.processes[:2], self.ports, strict=True):
                old.send_signal(signal.SIGTERM)
                old.wait(60)
                self.start("new", port)
                wait_until("an answer", partial(answers, "new", port))

        threading.Thread(target=again, daemon=True).start()


class GunicornHup(Gunicorn):
    """gunicorn without preload, where gravity's graceful restart is SIGHUP: each worker loads Galaxy by itself."""

    preload = False

    def restart(self) -> None:
        """Tell the master."""
        self.configure("new")
        self.processes[-1].send_signal(signal.SIGHUP)


CONTENDERS: dict[str, type[Contender]] = {
    "reload": Reload,
    "chain": Chain,
    "zerg": Zerg,
    "handover": Handover,
    "gunicorn": Gunicorn,
    "gunicorn-rolling": GunicornRolling,
    "gunicorn-hup": GunicornHup,
}


# --- What is measured ------------------------------------------------------------------------------


class Load:
    """Clients that ask one thing after the other."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.faults: list[str] = []
        # When the first and the last answer of each brand came.
        self.brands: dict[str, tuple[float, float]] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[path]) for path in PATHS]

    def _run(self, path: str) -> None:
        while not self._over.wait(PAUSE):
            begun = time.monotonic()
            try:
                status, body = ask(path)
                fault = "" if status == 200 else f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                fault, body = repr(error), b""
            now = time.monotonic()
            self.times.append((begun, now - begun))
            if fault:
                self.faults.append(fault)
            elif path == "/api/configuration":
                brand = json.loads(body)["brand"]
                self.brands[brand] = (self.brands.get(brand, (now, now))[0], now)

    def __enter__(self) -> Load:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End, with the requests that have begun."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def longest(self, begin: float, end: float) -> float:
        """Return the longest wait of the requests that were begun in a time."""
        return max((seconds for begun, seconds in self.times if begin <= begun <= end), default=0.0)


def ask(path: str, port: int = NGINX_PORT) -> tuple[int, bytes]:
    """Ask through nginx, or gunicorn itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def below(pid: int) -> list[int]:
    """Return the processes of a session, its leader's and those of groups that it has made."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == pid:
                    found.append(int(entry.name))
    return found


def memory(contender: Contender) -> int:
    """Return the proportional memory of all that a contender runs, in MB."""
    total = 0
    for process in contender.processes:
        for pid in below(process.pid):
            with suppress(OSError):
                found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
                total += int(found[1]) if found else 0
    return total // 1024


def wait_until(what: str, question: Callable[[], Any], seconds: float = START) -> None:
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            sys.exit(f"{what}: not in {seconds:.0f} s")
        time.sleep(0.2)


def answers(brand: str, port: int = NGINX_PORT) -> bool:
    with suppress(OSError, http.client.HTTPException, ValueError, KeyError):
        return bool(json.loads(ask("/api/configuration", port)[1])["brand"] == brand)
    return False


def measure(contender: Contender) -> dict[str, Any]:
    """Start a contender, restart it while requests go on, and return what was seen."""
    with nginx(contender):
        try:
            contender.start()
            wait_until("the first answer", lambda: answers("old"))
            time.sleep(10)
            for path in PATHS * 4:
                ask(path)
            before = memory(contender)
            peak = before
            with Load() as load:
                begin = time.monotonic()
                time.sleep(15)
                restarted = time.monotonic()
                contender.restart()
                while time.monotonic() - restarted < START and not settled(load):
                    time.sleep(2)
                    peak = max(peak, memory(contender))
                end = time.monotonic()
            first = load.brands.get("new", (float("nan"), 0.0))[0]
            return {
                "requests": len(load.times),
                "failed": len(load.faults),
                "faults": sorted(set(load.faults))[:5],
                "longest_before": load.longest(begin, restarted - 1),
                "longest": load.longest(restarted - 1, end),
                "new_after": first - restarted,
                "only_new_after": load.brands.get("old", (0.0, restarted))[1] - restarted,
                "memory": before,
                "extra_memory": peak - before,
            }
        finally:
            contender.stop()


def settled(load: Load) -> bool:
    """Tell whether only the new one has answered for some seconds."""
    if "new" not in load.brands:
        return False
    return load.brands["new"][1] - max(load.brands["old"][1], load.brands["new"][0]) > 10


SITE = """
upstream galaxy {{ {servers} }}
server {{
    listen 127.0.0.1:{port};
    access_log off;
    location / {{ {passing} }}
}}
"""
TO_UWSGI = """include /etc/nginx/uwsgi_params; uwsgi_param HTTP_HOST $http_host; uwsgi_param UWSGI_SCHEME $scheme;
uwsgi_read_timeout 600; uwsgi_buffer_size 16k; uwsgi_buffers 16 16k; uwsgi_pass galaxy;"""
TO_GUNICORN = """proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; proxy_read_timeout 600;
proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_pass http://galaxy;"""


@contextmanager
def nginx(contender: Contender) -> Iterator[None]:
    """Run an nginx in front."""
    directory = contender.directory
    servers = " ".join(f"server 127.0.0.1:{port};" for port in contender.ports)
    site = SITE.format(servers=servers, port=NGINX_PORT, passing=TO_GUNICORN if contender.speaks_http else TO_UWSGI)
    file = directory / "nginx.conf"
    file.write_text(
        f"user www-data; worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ include /etc/nginx/mime.types; {site} }}\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(file)])
    try:
        yield
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(60)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, help="which to measure (all)")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "restart.json"
    # Those that are not measured now stay as they were.
    kept = json.loads(file.read_text()) if file.exists() else {}
    results: dict[str, Any] = kept.get("results", {})
    print(f"{'':14}requests  failed  longest s (before)  new code after s  memory MB  while it lasts", flush=True)
    for name in arguments.only or CONTENDERS:
        with tempfile.TemporaryDirectory(prefix="restart-") as directory:
            shutil.chown(directory, "galaxy")
            # nginx looks for its files there, as another user.
            Path(directory).chmod(0o711)
            found = measure(CONTENDERS[name](Path(directory)))
        results[name] = found
        print(
            f"{name:14}{found['requests']:8}{found['failed']:8}{found['longest']:11.2f} ({found['longest_before']:.2f})"
            f"{found['new_after']:17.1f}{found['memory']:14}{found['extra_memory']:+15}",
            *found["faults"],
            flush=True,
        )
        machine = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        file.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
