# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI and gunicorn, Galaxy's own server, beside each other, for benchmarks/serve and tests/conformance.

Both run the release, the configuration and the database of the Galaxy that this collection has provisioned, behind one
nginx with the provisioned site. Run as a program, it starts a pair of them, prints where they are, and stops them at
the end of its input:

    python3 benchmarks/stand.py [--address 0.0.0.0] [--workers 1] [--threads 4] [--probe DIRECTORY] [--prefix /galaxy]
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path("/srv/galaxy")
SITE = Path("/etc/nginx/sites-enabled/galaxy")
LOCATIONS = Path("/etc/nginx/galaxy/galaxy/galaxy.conf")
LAUNCHER = ROOT / "server/bin/galaxy-run"
USER = "galaxy"
# Behind nginx, and of the servers themselves: each server has the next one.
NGINX_PORT = 18101
OWN_PORT = 18201
# Seconds until the first answer, and until a server that is asked to stop has stopped.
START = 900
STOP = 60


# --- The servers -----------------------------------------------------------------------------------


@dataclass
class Server:
    """A server to start: its kind (uwsgi or gunicorn), and what it differs in from the provisioned Galaxy."""

    kind: str
    number: int
    workers: int = 2
    threads: int = 4
    prefix: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    # A directory with a module probe, whose factories build Galaxy.
    probe: Path | None = None

    @property
    def url(self) -> str:
        """Where it answers on this machine, through nginx."""
        return f"http://127.0.0.1:{NGINX_PORT + self.number}{self.prefix}"

    def configuration(self, directory: Path) -> Path:
        """Write the provisioned galaxy.ini with what is different here."""
        config = configparser.RawConfigParser(strict=False)
        config.optionxform = str  # type: ignore[assignment,method-assign]
        config.read(ROOT / "config/galaxy.ini")
        here = directory / f"{self.kind}-{self.number}"
        options = {
            "socket": f"127.0.0.1:{OWN_PORT + self.number}",
            "processes": str(self.workers),
            "threads": str(self.threads),
            "stats": f"{here}.stats",
            "logto": f"{here}.log",
        }
        settings = dict(self.settings)
        if self.prefix:
            settings |= {"galaxy_url_prefix": self.prefix, "cookie_path": self.prefix}
        if self.probe:
            settings["paste.app_factory"] = "probe:app_factory"
        for section, values in (("uwsgi", options), ("app:main", settings)):
            for key, value in values.items():
                config.set(section, key, value)
        file = here.with_suffix(".ini")
        with file.open("w") as stream:
            config.write(stream)
        file.chmod(0o600)
        shutil.chown(file, USER)
        return file

    def command(self, config: Path) -> list[str]:
        """Return the command: uWSGI's with the options of the instance, gunicorn's as gravity runs it with preload."""
        if self.kind == "uwsgi":
            return [f"{ROOT}/venv/bin/uwsgi", "--ini-paste", str(config)]
        factory = "probe:factory()" if self.probe else "galaxy.webapps.galaxy.fast_factory:factory()"
        return [
            *("env", f"GALAXY_CONFIG_FILE={config}", "gunicorn", factory, "--preload"),
            *("-k", "galaxy.webapps.galaxy.workers.Worker", "--config", "python:galaxy.web_stack.gunicorn_config"),
            *("--workers", str(self.workers), "--timeout", "300", "--bind", f"127.0.0.1:{OWN_PORT + self.number}"),
        ]

    @contextmanager
    def running(self, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server as supervisor does: as Galaxy's user, through the launcher, in a session of its own."""
        account = pwd.getpwnam(USER)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", OWN_PORT + self.number), 5):
            sys.exit(f"Port {OWN_PORT + self.number} is taken: another stand runs")
        config = self.configuration(directory)
        with config.with_suffix(".log").open("wb") as output:
            os.fchown(output.fileno(), account.pw_uid, account.pw_gid)
            process = subprocess.Popen(
                [str(LAUNCHER), *self.command(config)],
                env={
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "HOME": str(ROOT / "home"),
                    "LANG": "C.UTF-8",
                    # gunicorn has no use for the bridge.
                    "PYTHONPATH": ":".join(
                        [str(self.probe)] * bool(self.probe) + [f"{ROOT}/server/lib"] * (self.kind == "uwsgi")
                    ),
                },
                cwd=ROOT / "server",
                stdout=output,
                stderr=subprocess.STDOUT,
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=os.getgrouplist(USER, account.pw_gid),
                start_new_session=True,
            )
        with stopped_at_end(process, signal.SIGTERM):
            yield process

    def wait(self, process: subprocess.Popen[bytes]) -> float:
        """Wait until the server answers; return how long that took."""
        start = time.monotonic()
        while time.monotonic() - start < START:
            if process.poll() is not None:
                sys.exit(f"{self.kind} has ended with status {process.returncode}")
            try:
                ask(f"{self.url}/api/version")
            except (OSError, ValueError):
                time.sleep(0.1)
            else:
                return time.monotonic() - start
        sys.exit(f"{self.kind}: no answer in {START} s")


@contextmanager
def stopped_at_end(process: subprocess.Popen[bytes], stop: int) -> Iterator[None]:
    """Stop a process, with all that it has started, at the end."""
    try:
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def processes(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(each for child in found for each in processes(child))]


# --- nginx -----------------------------------------------------------------------------------------


def site(server: Server, address: str, directory: Path) -> str:
    """Return the provisioned site for a server: only what it passes to, and how, is different for gunicorn."""
    locations = LOCATIONS.read_text()
    if server.prefix:
        locations = re.sub(
            r'^location ((?:= |~ "\^)?)/(?!_x_accel)', rf"location \1{server.prefix}/", locations, flags=re.M
        )
    upstream = f"127.0.0.1:{OWN_PORT + server.number}"
    before = ""
    if server.kind == "uwsgi":
        locations = re.sub(r"uwsgi_pass .*;", f"uwsgi_pass {upstream};", locations)
    else:
        before = f"upstream gunicorn{server.number} {{ server {upstream}; keepalive 64; }}\n"
        locations = with_proxy(locations, f"http://gunicorn{server.number}")
    text = SITE.read_text()
    # The last server is the one that serves Galaxy. How often somebody may log in is not measured here.
    text = re.sub(r"(?m)^ *limit_req.*\n", "", text[text.rindex("\nserver {") + 1 :])
    text = re.sub(
        r"^(\s*)listen .*;", rf"\1listen {address}:{NGINX_PORT + server.number} backlog=4096;", text, flags=re.M
    )
    text = re.sub(r"/var/log/nginx/", f"{directory}/nginx-{server.number}.", text)
    return before + re.sub(r"include /etc/nginx/galaxy/.*;", lambda _found: locations, text)


def with_proxy(locations: str, url: str) -> str:
    """Return the locations for a server of HTTP, whose connections are kept alive."""
    lines = []
    for line in locations.splitlines():
        parameter = re.match(r"\s*uwsgi_param (?:HTTP_)?(\w+) (.+?)(?: if_not_empty)?;", line)
        if "uwsgi_pass" in line:
            lines += ["proxy_http_version 1.1;", 'proxy_set_header Connection "";', f"proxy_pass {url};"]
        elif parameter:
            # The scheme is told by X-Forwarded-Proto.
            if parameter[1] != "UWSGI_SCHEME":
                lines.append(f"proxy_set_header {parameter[1].replace('_', '-')} {parameter[2]};")
        elif "uwsgi_params" not in line:
            lines.append(line.replace("uwsgi_", "proxy_"))
    return "\n".join(lines)


@contextmanager
def nginx(servers: list[Server], directory: Path, address: str = "127.0.0.1") -> Iterator[None]:
    """Run an nginx in front of the servers."""
    sites = "\n".join(site(server, address, directory) for server in servers)
    main = Path("/etc/nginx/nginx.conf").read_text()
    main = re.sub(r"^pid .*;", f"pid {directory}/nginx.pid; daemon off;", main, flags=re.M)
    main = main.replace("/var/log/nginx/", f"{directory}/nginx.")
    # What wrk asks on one connection, nginx would otherwise cut into pieces of 1,000.
    sites = f"keepalive_requests 1000000;\n{sites}"
    file = directory / "nginx.conf"
    file.write_text(re.sub(r"include /etc/nginx/sites-enabled/\*;", lambda _found: sites, main))
    process = subprocess.Popen(["nginx", "-c", str(file)])
    with stopped_at_end(process, signal.SIGQUIT):
        yield


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a directory that Galaxy's user and nginx can use."""
    with tempfile.TemporaryDirectory(prefix="stand-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        shutil.chown(directory, USER)
        yield directory


# --- What is asked ---------------------------------------------------------------------------------


def ask(url: str, data: Any = None, headers: dict[str, str] | None = None) -> Any:
    """Return the JSON of an answer."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def register(url: str, name: str) -> str:
    """Register someone as the client does, and return an API key."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    password = secrets.token_urlsafe(12)
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


# --- As a program ----------------------------------------------------------------------------------


def main() -> int:
    """Start both servers, print where they are, and stop them at the end of the input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1", help="where nginx listens (127.0.0.1)")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server (1)")
    parser.add_argument("--threads", type=int, default=4, help="threads of each of uWSGI's workers (4)")
    parser.add_argument("--probe", type=Path, help="directory with a module probe, whose factories build Galaxy")
    parser.add_argument("--prefix", default="", help="another pair of servers has this URL prefix")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of Galaxy's")
    arguments = parser.parse_args()
    settings = dict(option.split("=", 1) for option in arguments.set)
    servers = [
        Server(kind, number, arguments.workers, arguments.threads, prefix, settings, arguments.probe)
        for number, (prefix, kind) in enumerate(
            (prefix, kind) for prefix in dict.fromkeys(("", arguments.prefix)) for kind in ("uwsgi", "gunicorn")
        )
    ]
    # Who is told to end, ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit(1))
    with ExitStack() as stack:
        directory = stack.enter_context(workplace())
        stack.enter_context(nginx(servers, directory, arguments.address))
        # All at once, and then they are waited for.
        found = [(server, stack.enter_context(server.running(directory))) for server in servers]
        for server, process in found:
            server.wait(process)
        answer = [
            {
                "kind": server.kind,
                "port": NGINX_PORT + server.number,
                "prefix": server.prefix,
                "pids": processes(process.pid),
            }
            for server, process in found
        ]
        print(json.dumps({"directory": str(directory), "servers": answer}), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
