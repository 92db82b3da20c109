# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a machine use: its commands, its Galaxy, and a student with data."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import requests
import testinfra

ROOT = "/srv/galaxy"
CONFIG = f"{ROOT}/config/galaxy.ini"
SUPERVISOR_CONFIG = "/etc/supervisor/conf.d/galaxy.conf"

# What is uploaded before a restart, and looked for after it.
KEPT = "Kept over a restart"
KEPT_TEXT = "".join(f"line {number}\n" for number in range(10_000))

# Galaxy takes a minute and a half to start on two cores that nobody else uses.
START = 400


def wait_for(what: str, question: Any, timeout: float, pause: float = 1) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + timeout
    while not (answer := question()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} seconds")
        time.sleep(pause)
    return answer


class Machine:
    """A container, asked from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host = testinfra.get_host(f"docker://{name}")

    def url(self, port: int = 80) -> str:
        """Where this machine's nginx is reached. Docker gives it another port at each start."""
        return f"http://{subprocess.check_output(['docker', 'port', self.name, str(port)], text=True).split()[0]}"

    def run(self, command: str, *arguments: str) -> str:
        """Run a shell command; a failure of it is one of the test."""
        return cast("str", self.host.check_output(command, *arguments))

    def succeeds(self, command: str, *arguments: str) -> bool:
        return cast("bool", self.host.run(command, *arguments).rc == 0)

    def may(self, user: str, permission: str, path: str) -> bool:
        """Whether a user may read (r), write (w) or execute (x) a path."""
        return self.succeeds(f"runuser -u {user} -- test -{permission} %s", path)

    def python(self, script: str, *arguments: str, interpreter: str = "python3") -> Any:
        """Run a script that prints JSON, and return what it printed."""
        command = ["docker", "exec", "-i", self.name, *interpreter.split(), "-", *arguments]
        answer = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    @contextmanager
    def background(self, script: str, *arguments: str) -> Iterator[list[str]]:
        """Run a script for as long as the context lasts; it has to end when its standard input does.

        Gives the lines that it has printed so far.
        """
        command = ["docker", "exec", "-i", self.name, "python3", "-u", "-c", script, *arguments]
        lines: list[str] = []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            reader = threading.Thread(target=lines.extend, args=[process.stdout])
            reader.start()
            try:
                yield lines
            finally:
                process.stdin.close()
                reader.join(30)

    def is_process(self, pid: int) -> bool:
        return self.succeeds(f"test -e /proc/{pid}")

    def sql(self, query: str, database: str = "galaxy") -> list[str]:
        """Ask Galaxy's database; one line for each row."""
        answer = self.run("runuser -u postgres -- psql --tuples-only --no-align %s --command %s", database, query)
        return answer.splitlines()

    # --- supervisor ---

    def programs(self) -> dict[str, str]:
        """Galaxy's programs by name, and the state of each."""
        # A program that does not run makes this exit with 3.
        lines = self.host.run("supervisorctl status gx:*").stdout.splitlines()
        return {line.split()[0].removeprefix("gx:"): line.split()[1] for line in lines}

    def stop_time(self, program: str) -> int:
        """Seconds after which supervisor kills a program that it has told to stop."""
        config = configparser.RawConfigParser()
        config.read_string(self.run("cat %s", SUPERVISOR_CONFIG))
        section = next(s for s in config.sections() if config[s].get("process_name") == program)
        return config.getint(section, "stopwaitsecs")

    # --- uWSGI ---

    def uwsgi_stats(self) -> dict[str, Any]:
        """What uWSGI tells of itself."""
        answer = self.python(
            """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
print(b"".join(iter(lambda: client.recv(65536), b"")).decode())
""",
            f"{ROOT}/run/uwsgi.stats",
        )
        return cast("dict[str, Any]", answer)

    def workers(self) -> dict[int, dict[str, Any]]:
        """uWSGI's workers by their process ids."""
        return {worker["pid"]: worker for worker in self.uwsgi_stats()["workers"]}

    def uwsgi_option(self, name: str) -> str:
        config = configparser.RawConfigParser()
        config.read_string(self.run("cat %s", CONFIG))
        return config.get("uwsgi", name)


class Galaxy:
    """A Galaxy by its address, and perhaps by the name that it answers to there."""

    def __init__(self, url: str, name: str | None = None) -> None:
        self.url = url
        self.headers = {"Host": name} if name else {}

    def session(self) -> requests.Session:
        """Return a new session, as one browser has it."""
        session = requests.Session()
        session.headers.update(self.headers)
        return session

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session().get(self.url + path, timeout=120, **options)

    def answers(self) -> bool:
        try:
            return self.get("/api/version").status_code == 200
        except requests.RequestException:
            return False

    def wait(self) -> None:
        wait_for(f"{self.url} answers", self.answers, START)


def post_form(galaxy: Galaxy, session: requests.Session, path: str, form: dict[str, str]) -> None:
    """Send a form as the client does: with the token of the session that it is part of."""
    page = session.get(f"{galaxy.url}/", timeout=120).text
    # Classic releases write it into an object.
    token = re.search(r'session_csrf_token(?: =|":) "([^"]+)"', page)
    assert token, page
    form = {**form, "session_csrf_token": token[1]}
    answer = session.post(f"{galaxy.url}/{path}", json=form, timeout=120)
    assert answer.status_code == 200, answer.text


@dataclass
class Dataset:
    """A dataset in a history."""

    id: str
    state: str
    size: int


class Student:
    """Someone who is registered, and logged in with an API key."""

    def __init__(self, galaxy: Galaxy, email: str, password: str) -> None:
        self.galaxy = galaxy
        self.email = email
        key = self._key(email, password)
        if key is None:
            self._register(email, password)
            key = self._key(email, password)
        assert key, "no API key after registering"
        self.session = galaxy.session()
        self.session.headers["x-api-key"] = key

    def _key(self, email: str, password: str) -> str | None:
        answer = self.galaxy.get("/api/authenticate/baseauth", auth=(email, password))
        return cast("str", answer.json()["api_key"]) if answer.status_code == 200 else None

    def _register(self, email: str, password: str) -> None:
        """Register as the client does."""
        name = email.split("@")[0]
        post_form(
            self.galaxy,
            self.galaxy.session(),
            "user/create",
            {"email": email, "username": name, "password": password, "confirm": password},
        )

    def api(self, method: str, path: str, **options: Any) -> Any:
        answer = self.session.request(method, f"{self.galaxy.url}/api/{path}", **{"timeout": 600, **options})
        assert answer.status_code < 300, f"{answer.status_code} {method} {path}: {answer.text[:2000]}"
        return answer.json()

    def history(self, name: str) -> str:
        """Return the history of that name; it is made if there is none."""
        found = [history["id"] for history in self.api("GET", "histories") if history["name"] == name]
        return cast("str", found[0] if found else self.api("POST", "histories", json={"name": name})["id"])

    def datasets(self, history: str) -> list[Dataset]:
        """Return what is in a history, made well or not."""
        return [self.finished(entry["id"]) for entry in self.api("GET", f"histories/{history}/contents")]

    def upload(self, text: str, history: str, name: str, file_type: str = "txt") -> Dataset:
        """Upload a text as one pastes it into the client, and wait for its job."""
        target = {
            "destination": {"type": "hdas"},
            "elements": [{"src": "pasted", "paste_content": text, "name": name, "ext": file_type}],
        }
        answer = self.api("POST", "tools/fetch", json={"history_id": history, "targets": [target]})
        return self.finished(answer["outputs"][0]["id"])

    def finished(self, dataset: str, timeout: float = 300) -> Dataset:
        """Wait until a dataset is made, well or not."""
        details = wait_for(
            f"dataset {dataset} is made",
            lambda: (d := self.api("GET", f"datasets/{dataset}"))["state"] in {"ok", "error"} and d,
            timeout,
        )
        return Dataset(dataset, details["state"], details["file_size"])

    def download(self, dataset: Dataset, **options: Any) -> requests.Response:
        return self.session.get(
            f"{self.galaxy.url}/api/datasets/{dataset.id}/display?to_ext=data", timeout=600, **options
        )
