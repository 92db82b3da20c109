# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is asked, what is seen of its answers, and the comparison of two."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

import requests
from support import Machine

# What people write into their browser: the servers have the same, whatever their ports.
HOST = "galaxy.example.org"
PREFIX = "/galaxy"
ORIGIN = "https://friend.example.org"
# They differ from answer to answer, or belong to a connection.
PASSING = {"date", "connection", "keep-alive", "x-request-id", "last-modified"}
# Up to so many bytes, a body is told as it is.
SHORT = 100_000


class Server:
    """One of the servers, asked through nginx."""

    def __init__(self, machine: Machine, kind: str, port: int, prefix: str, pids: list[int]) -> None:
        self.machine = machine
        self.kind = kind
        self.prefix = prefix
        self.pids = pids
        self.url = machine.url(port)

    def new_session(self) -> requests.Session:
        """Return a browser that has not been here before."""
        session = requests.Session()
        session.trust_env = False
        session.headers["host"] = HOST
        return session

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, as somebody new if not in a session. Redirects are answers, too."""
        session = options.pop("session", None) or self.new_session()
        options = {"timeout": 300, "allow_redirects": False, **options}
        response: requests.Response = session.request(method, f"{self.url}{self.prefix}{path}", **options)
        return response

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.ask("POST", path, **options)

    @contextmanager
    def connection(self, *lines: str, headers: str = "", body: bytes = b"") -> Iterator[socket.socket]:
        """Send bytes of one's own: the first line of a request, headers, a body."""
        address = urlsplit(self.url)
        with socket.create_connection((str(address.hostname), address.port or 80), timeout=60) as connection:
            head = "\r\n".join([*lines, f"host: {HOST}", *headers.splitlines(), "", ""])
            connection.sendall(head.encode("latin-1") + body)
            yield connection

    def raw(self, *lines: str, headers: str = "connection: close", body: bytes = b"") -> bytes:
        """Return all that the server sends for it."""
        with self.connection(*lines, headers=headers, body=body) as connection:
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except OSError:
                pass
            return received

    def peak(self) -> int:
        """Return the most memory that a process of the server has had since clear_peak(), in MB."""
        lines = self.machine.run(f"grep -h VmHWM {' '.join(f'/proc/{pid}/status' for pid in self.pids)}")
        return max(int(size) for size in re.findall(r"(\d+) kB", lines)) // 1024

    def clear_peak(self) -> int:
        """Begin anew, and return what it is now."""
        for pid in self.pids:
            self.machine.run(f"echo 5 >/proc/{pid}/clear_refs")
        return self.peak()


def seen(response: requests.Response) -> dict[str, Any]:
    """Return what a client sees of an answer: status, headers, body."""
    headers = sorted(
        (name.lower(), re.sub(r"^(\w*session)=[^;]+|(expires)=[^;]+", r"\1\2=...", value))
        for name, value in response.raw.headers.iteritems()
        if name.lower() not in PASSING
    )
    body: Any = response.content
    if len(body) > SHORT:
        body = f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()}"
    else:
        try:
            body = json.loads(body)
        except ValueError:
            body = body.decode("utf-8", "backslashreplace")
    return {"status": response.status_code, "headers": headers, "body": body}


def differences(gunicorn: Any, uwsgi: Any, where: str = "") -> Iterator[str]:
    """Yield in what two answers differ."""
    if isinstance(gunicorn, dict) and isinstance(uwsgi, dict):
        for key in {**gunicorn, **uwsgi}:
            yield from differences(gunicorn.get(key), uwsgi.get(key), f"{where}/{key}")
    elif isinstance(gunicorn, (list, tuple)) and isinstance(uwsgi, (list, tuple)):
        for number, pair in enumerate(zip_longest(gunicorn, uwsgi)):
            yield from differences(*pair, where=f"{where}/{number}")
    elif gunicorn != uwsgi:
        yield f"{where}: gunicorn {gunicorn!r:.600}, uWSGI {uwsgi!r:.600}"


@dataclass
class Row:
    """A line of the table."""

    behaviour: str
    gunicorn: str
    uwsgi: str
    alike: str


ROWS: list[Row] = []


def short(answer: Any) -> str:
    """Return the beginning of an answer, for the table."""
    if isinstance(answer, dict) and {"status", "body"} <= set(answer):
        answer = (
            f"{answer['status']} {answer['body'] if isinstance(answer['body'], str) else json.dumps(answer['body'])}"
        )
    text = " ".join(str(answer).split())
    return text if len(text) <= 34 else f"{text[:31]}..."


class Alike:
    """Asks both servers, compares what they answer, and notes it for the table."""

    def __init__(self, servers: dict[str, Server], behaviour: str) -> None:
        self.servers = servers
        self.behaviour = behaviour

    def __call__(self, ask: Callable[[Server], Any], what: str = "") -> Any:
        """Return the answer that both have given."""
        answers = self.both(ask)
        found = list(differences(answers["gunicorn"], answers["uwsgi"]))
        self._note(answers, what, "NO" if found else "yes")
        assert not found, "\n".join(found)
        return answers["uwsgi"]

    def differs(self, ask: Callable[[Server], Any], why: str, what: str = "") -> dict[str, Any]:
        """Return each server's answer, where the documentation says why they differ."""
        answers = self.both(ask)
        self._note(answers, what, f"no: {why}")
        assert answers["uwsgi"] != answers["gunicorn"]
        return answers

    def both(self, ask: Callable[[Server], Any]) -> dict[str, Any]:
        answers = {kind: ask(server) for kind, server in self.servers.items()}
        return {
            kind: seen(answer) if isinstance(answer, requests.Response) else answer for kind, answer in answers.items()
        }

    def _note(self, answers: dict[str, Any], what: str, alike: str) -> None:
        behaviour = f"{self.behaviour}: {what}" if what else self.behaviour
        ROWS.append(Row(behaviour, short(answers["gunicorn"]), short(answers["uwsgi"]), alike))
