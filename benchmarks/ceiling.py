# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy called without any server: how many answers a second one process can make. See benchmarks/serve.

Runs with the release's Python: ceiling.py galaxy.ini. Reads lines of JSON, {"paths": [...], "headers": {...},
"seconds": 2}, and answers each with the number of requests a second, and the milliseconds of processor time of each.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any

from galaxy_wsgi.environ import build_scope
from galaxy_wsgi.shortcuts import claim_thread
from paste.deploy import loadapp


def scope(path: str, headers: dict[str, str]) -> Any:
    """Return the scope of a GET request, as nginx and uWSGI would have made it."""
    path, _mark, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path + _mark + query,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "_",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    return build_scope(environ)


def main() -> None:
    """Build Galaxy, then do as told."""
    answers = sys.stdout
    # Galaxy's log goes to the standard output, too.
    sys.stdout = sys.stderr
    app = loadapp(f"config:{sys.argv[1]}").app
    claim_thread()
    loop = asyncio.new_event_loop()
    statuses: list[int] = []
    received: list[bool] = []

    async def receive() -> Any:
        # Then the client stays, as long as it takes.
        if received:
            await loop.create_future()
        received.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    def measure(paths: list[str], headers: dict[str, str], seconds: float) -> dict[str, float]:
        statuses.clear()
        # Nobody waits for what does not come.
        signal.alarm(60)
        start, worked = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            received.clear()
            path = paths[len(statuses) % len(paths)]
            loop.run_until_complete(loop.create_task(app(scope(path, headers), receive, send)))
        count = len(statuses)
        found = {
            "rate": count / (time.perf_counter() - start),
            "cpu": (time.process_time() - worked) * 1000 / count,
        }
        if set(statuses) != {200}:
            raise SystemExit(f"{paths}: {set(statuses)}")
        return found

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
