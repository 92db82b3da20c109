# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real uWSGI with the bridge, as the role configures it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BRIDGE = HERE.parents[2] / "roles" / "uwsgi" / "files"

# As the role configures uWSGI.
OPTIONS = {
    "master": "true",
    "processes": "2",
    "threads": "2",
    "enable-threads": "true",
    "single-interpreter": "true",
    "need-app": "true",
    "die-on-term": "true",
    "thunder-lock": "true",
    "py-call-uwsgi-fork-hooks": "true",
    "skip-atexit-teardown": "true",
    "worker-reload-mercy": "10",
    "ignore-sigpipe": "true",
    "ignore-write-errors": "true",
    "socket-timeout": "10",
    "buffer-size": "16384",
    # Without it uWSGI would re-execute the interpreter below the virtual environment, which has no pyuwsgi.
    "binary-path": sys.executable,
}


class Uwsgi:
    """A running uWSGI."""

    def __init__(self, directory: Path, environment: dict[str, str], **options: str | None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.events_file = directory / "events"
        self.log = directory / "uwsgi.log"
        merged: dict[str, str | None] = {
            **OPTIONS,
            "http-socket": f"127.0.0.1:{self.port}",
            "wsgi-file": str(HERE / "uwsgi_app.py"),
            "pythonpath": str(BRIDGE),
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        ini = directory / "uwsgi.ini"
        ini.write_text(
            "[uwsgi]\n" + "".join(f"{name} = {value}\n" for name, value in merged.items() if value is not None)
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("uwsgi"), "--ini", str(ini)],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment, "EVENTS": str(self.events_file)},
                start_new_session=True,
            )

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, path: str, method: str = "GET", **kwargs: Any) -> tuple[int, bytes]:
        connection = self.connect()
        connection.request(method, path, **kwargs)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def get_cut_off(self, path: str) -> None:
        with pytest.raises(OSError, match=r"reset|Remote end closed"):
            self.get(path)

    def who(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.get("/who")[1])
        return answer

    def events(self) -> list[str]:
        return self.events_file.read_text().splitlines() if self.events_file.exists() else []

    def until(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None or condition(), self.log.read_text()
            if result := condition():
                return result
            time.sleep(0.05)
        raise AssertionError(f"Not in {seconds} s:\n{self.log.read_text()}")

    def happened(self, event: str, times: int = 1) -> Callable[[], bool]:
        return lambda: sum(line.split()[0] == event for line in self.events()) >= times

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> float:
        """Return how long it took."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(seconds)
        return time.monotonic() - start

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
