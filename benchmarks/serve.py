# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests per second of Galaxy behind uWSGI and behind gunicorn. See benchmarks/serve."""

from __future__ import annotations

import argparse
import configparser
import json
import math
import os
import platform
import pwd
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path("/srv/galaxy")
RESULTS = Path(__file__).parent / "results"
LAUNCHER = ROOT / "server/bin/galaxy-run"
USER = "galaxy"
SERVERS = ("uwsgi", "gunicorn")
# Behind nginx, and of the servers themselves. On the loopback address only.
NGINX_PORTS = {"uwsgi": 18101, "gunicorn": 18102}
OWN_PORTS = {"uwsgi": 18111, "gunicorn": 18112}
CONCURRENCY = (1, 8, 64)
START = 300


# --- The servers -----------------------------------------------------------------------------------


def as_galaxy(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command as supervisor does: as Galaxy's user, through the launcher, in a session of its own."""
    account = pwd.getpwnam(USER)
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(LAUNCHER), *command],
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
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(USER, account.pw_gid),
            start_new_session=True,
        )


@contextmanager
def uwsgi(directory: Path, workers: int, threads: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run uWSGI with the options of the instance; only where it listens and how many workers it has is ours."""
    config = configparser.RawConfigParser(strict=False)
    config.optionxform = str  # type: ignore[assignment,method-assign]
    config.read(ROOT / "config/galaxy.ini")
    ours = {
        "socket": f"127.0.0.1:{OWN_PORTS['uwsgi']}",
        "processes": str(workers),
        "threads": str(threads),
        "stats": str(directory / "stats"),
        "logto": str(directory / "uwsgi.log"),
    }
    for key, value in ours.items():
        config.set("uwsgi", key, value)
    file = directory / "galaxy.ini"
    with file.open("w") as stream:
        config.write(stream)
    shutil.chown(file, USER)
    process = as_galaxy([f"{ROOT}/venv/bin/uwsgi", "--ini-paste", str(file)], {}, directory / "uwsgi.start.log")
    yield from running(process, signal.SIGTERM)


@contextmanager
def gunicorn(directory: Path, workers: int, threads: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run gunicorn as gravity does with preload, Galaxy's way to save memory."""
    del threads  # Its workers have an event loop, and 40 threads.
    command = [
        *("gunicorn", "galaxy.webapps.galaxy.fast_factory:factory()"),
        *("-k", "galaxy.webapps.galaxy.workers.Worker", "--config", "python:galaxy.web_stack.gunicorn_config"),
        *("--preload", "--workers", str(workers), "--timeout", "300", "--bind", f"127.0.0.1:{OWN_PORTS['gunicorn']}"),
    ]
    process = as_galaxy(command, {"PYTHONPATH": ""}, directory / "gunicorn.log")
    yield from running(process, signal.SIGTERM)


def running(process: subprocess.Popen[bytes], stop: int) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process, and stop it with all that it has started."""
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


SITE = """
server {{
    listen 127.0.0.1:{port};
    server_name _;
    client_max_body_size 1g;
    gzip on;
    gzip_proxied any;
    gzip_min_length 1000;
    gzip_comp_level 5;
    gzip_types text/plain text/css application/javascript application/json;
    access_log {directory}/{name}.access.log;
    location / {{
{passing}
    }}
    location /static/ {{ alias {root}/server/static/; expires 3600s; }}
    location /_x_accel_redirect{root}/data/objects/ {{ internal; alias {root}/data/objects/; }}
}}
"""
TO_UWSGI = """
        include /etc/nginx/uwsgi_params;
        uwsgi_param HTTP_HOST $http_host;
        uwsgi_param UWSGI_SCHEME $scheme;
        uwsgi_request_buffering on;
        uwsgi_buffer_size 16k;
        uwsgi_buffers 16 16k;
        uwsgi_pass 127.0.0.1:{port};
"""
TO_GUNICORN = """
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_buffer_size 16k;
        proxy_buffers 16 16k;
        proxy_pass http://gunicorn;
"""


@contextmanager
def nginx(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an nginx in front of both, as the collection sets it up; gunicorn's connections are kept alive."""
    sites = ""
    for name in SERVERS:
        passing = (TO_UWSGI if name == "uwsgi" else TO_GUNICORN).format(port=OWN_PORTS[name])
        sites += SITE.format(name=name, port=NGINX_PORTS[name], directory=directory, root=ROOT, passing=passing)
    (directory / "nginx.conf").write_text(
        f"user www-data; worker_processes auto; daemon off;\n"
        f"pid {directory}/nginx.pid; error_log {directory}/nginx.log;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ include /etc/nginx/mime.types; sendfile on; tcp_nopush on; keepalive_requests 100000;\n"
        f"upstream gunicorn {{ server 127.0.0.1:{OWN_PORTS['gunicorn']}; keepalive 64; }}\n{sites}}}\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(directory / "nginx.conf")])
    yield from running(process, signal.SIGQUIT)


# --- What is asked ---------------------------------------------------------------------------------


def ask(url: str, data: Any = None, headers: dict[str, str] | None = None) -> Any:
    """Return the JSON of an answer."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> float:
    """Wait until a server answers; return how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < START:
        if process.poll() is not None:
            sys.exit(f"{url}: its server has ended with status {process.returncode}")
        try:
            ask(f"{url}/api/version")
        except (OSError, ValueError):
            time.sleep(0.1)
        else:
            return time.monotonic() - start
    sys.exit(f"{url}: no answer in {START} s")


class Data:
    """Someone with a history: 20 small datasets and one of 10 MB."""

    def __init__(self, url: str) -> None:
        self.key = self._register(url)
        headers = {"x-api-key": self.key}
        self.history = ask(f"{url}/api/histories", {"name": "benchmark"}, headers)["id"]
        texts = {f"{number}.txt": f"line {number}\n" for number in range(20)}
        self.dataset = self._upload(url, {**texts, "big.txt": "0123456789abcde\n" * 655_360})
        end = time.monotonic() + 600
        while ask(f"{url}/api/datasets/{self.dataset}", headers=headers)["state"] != "ok":
            if time.monotonic() > end:
                sys.exit("The dataset to download was not made in 600 s")
            time.sleep(2)

    def _register(self, url: str) -> str:
        """Register as the client does, and return an API key."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        name, password = f"benchmark-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        page = opener.open(f"{url}/", timeout=120).read().decode()
        found = re.search(r'session_csrf_token = "([^"]+)"', page)
        form = {
            "email": f"{name}@example.org",
            "username": name,
            "password": password,
            "confirm": password,
            "session_csrf_token": found[1] if found else "",
        }
        request = urllib.request.Request(
            f"{url}/user/create", json.dumps(form).encode(), {"Content-Type": "application/json"}
        )
        opener.open(request, timeout=120).read()
        user = json.load(opener.open(f"{url}/api/users/current", timeout=120))["id"]
        key = opener.open(urllib.request.Request(f"{url}/api/users/{user}/api_key", method="POST"), timeout=120)
        return str(json.load(key))

    def _upload(self, url: str, texts: dict[str, str]) -> str:
        """Upload texts by name, in one job; return the last one's dataset."""
        elements = [
            {"src": "pasted", "paste_content": text, "name": name, "ext": "txt"} for name, text in texts.items()
        ]
        targets = [{"destination": {"type": "hdas"}, "elements": elements}]
        answer = ask(
            f"{url}/api/tools/fetch", {"history_id": self.history, "targets": targets}, {"x-api-key": self.key}
        )
        return str(answer["outputs"][-1]["id"])

    def paths(self) -> dict[str, list[str]]:
        """Return what is measured: a name, and the paths that are asked in turn."""
        contents = f"/api/histories/{self.history}/contents?v=dev&limit=100"
        single = {
            "version": ["/api/version"],
            "configuration": ["/api/configuration"],
            "/": ["/"],
            "tool panel": ["/api/tool_panels/default"],
            "histories": ["/api/histories"],
            "contents": [contents],
            "tool form": [f"/api/tools/Cut1/build?history_id={self.history}"],
            "download 10 MB": [f"/api/datasets/{self.dataset}/display?to_ext=txt"],
            "static": ["/static/dist/base.css"],
        }
        # What a browser asks when someone opens Galaxy and looks at their history.
        mix = [
            *("/", "/static/dist/base.css", "/api/configuration", "/api/version", "/api/users/current"),
            *("/api/tool_panels/default", "/api/datatypes/types_and_mapping", "/api/histories?view=summary"),
            *(f"/api/histories/{self.history}", contents, contents, contents, "/api/genomes"),
        ]
        return {**single, "mix": mix}


# --- Measuring -------------------------------------------------------------------------------------

SCRIPT = """
local paths = {%s}
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", paths[(number - 1) %% #paths + 1])
end
done = function(summary, latency)
    io.write(string.format('RESULT {"requests": %%d, "microseconds": %%d, "errors": %%d, "p50": %%d, "p99": %%d}\\n',
        summary.requests, summary.duration,
        summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


def measure(url: str, paths: list[str], key: str, concurrency: int, seconds: float, directory: Path) -> dict[str, Any]:
    """Return requests a second, and the median and 99th percentile of their times in milliseconds."""
    script = directory / "wrk.lua"
    script.write_text(SCRIPT % ", ".join(json.dumps(path) for path in paths))
    command = ["wrk", "-t", "1", "-c", str(concurrency), "-d", f"{seconds}s", "--timeout", "60s", "-s", str(script)]
    for header in (f"x-api-key: {key}", "Accept-Encoding: gzip"):
        command += ["-H", header]
    output = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    return {
        "rate": result["requests"] / result["microseconds"] * 1e6,
        "p50": result["p50"] / 1000,
        "p99": result["p99"] / 1000,
        "errors": result["errors"],
    }


def pss(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the proportional memory of a process and its children, in MB."""
    pids = [process.pid, *(int(pid) for pid in children(process.pid))]
    sizes = []
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+)", rollup, re.M)
        sizes.append(int(found[1]) // 1024 if found else 0)
    return sizes


def children(pid: int) -> list[str]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [*found, *(grandchild for child in found for grandchild in children(int(child)))]


def combine(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one result of several rounds: the median of each figure, and all errors."""
    combined = {name: statistics.median(result[name] for result in results) for name in ("rate", "p50", "p99")}
    return {**combined, "errors": sum(result["errors"] for result in results)}


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement (4)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is repeated, servers in turn (2)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each server (2)")
    parser.add_argument("--threads", type=int, default=4, help="threads of each of uWSGI's workers (4)")
    parser.add_argument("--only", nargs="*", help="names of the paths to measure (all)")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serve-")))
        directory.chmod(0o755)
        shutil.chown(directory, USER)
        stack.enter_context(nginx(directory))
        urls = {name: f"http://127.0.0.1:{port}" for name, port in NGINX_PORTS.items()}
        starts, processes = {}, {}
        for name, start in (("uwsgi", uwsgi), ("gunicorn", gunicorn)):
            processes[name] = stack.enter_context(start(directory, arguments.workers, arguments.threads))
            starts[name] = wait_for(urls[name], processes[name])
            print(f"{name}: first answer after {starts[name]:.1f} s", flush=True)
        data = Data(urls["uwsgi"])
        paths = data.paths()
        paths = {name: paths[name] for name in arguments.only or paths}
        for name in SERVERS:
            for asked in paths.values():
                measure(urls[name], asked, data.key, 8, 2, directory)
        memory = {name: pss(processes[name]) for name in SERVERS}

        rows = []
        print(f"\n{'':16}{'':>4}  {'uWSGI':>28}  {'gunicorn':>28}")
        figures = f"  {'req/s':>9}{'p50 ms':>9}{'p99 ms':>10}"
        print(f"{'path':16}{'c':>4}{figures}{figures}  ratio", flush=True)
        for path, asked in paths.items():
            for concurrency in CONCURRENCY:
                found: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
                for number in range(arguments.rounds):
                    for name in SERVERS if number % 2 == 0 else reversed(SERVERS):
                        found[name].append(
                            measure(urls[name], asked, data.key, concurrency, arguments.seconds, directory)
                        )
                row = {"path": path, "concurrency": concurrency, **{name: combine(found[name]) for name in SERVERS}}
                row["ratio"] = row["uwsgi"]["rate"] / row["gunicorn"]["rate"]
                rows.append(row)
                columns = "".join(
                    f"  {row[name]['rate']:9.1f}{row[name]['p50']:9.1f}{row[name]['p99']:10.1f}" for name in SERVERS
                )
                errors = {name: row[name]["errors"] for name in SERVERS if row[name]["errors"]}
                print(
                    f"{path:16}{concurrency:4}{columns}  {row['ratio']:5.2f}{f'  errors: {errors}' if errors else ''}",
                    flush=True,
                )

    mean = geometric_mean([row["ratio"] for row in rows])
    lowest = min(row["ratio"] for row in rows)
    print(f"\ngeometric mean of the ratios: {mean:.2f}; lowest {lowest:.2f}")
    for name in SERVERS:
        sizes = " + ".join(map(str, memory[name]))
        print(f"{name}: PSS {sizes} = {sum(memory[name])} MB; first answer after {starts[name]:.1f} s")
    (RESULTS / "serve.json").write_text(
        json.dumps(
            {
                "machine": {
                    "cpus": os.cpu_count(),
                    "platform": platform.platform(),
                    "python": platform.python_version(),
                },
                "arguments": vars(arguments),
                "rows": rows,
                "geometric_mean": mean,
                "memory_mb": memory,
                "start_seconds": starts,
            },
            indent=2,
        )
        + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
