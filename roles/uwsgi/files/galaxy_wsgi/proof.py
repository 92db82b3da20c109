# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker proves that it can answer, before it takes requests from another that does."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping
from typing import Any

from .bridge import ASGIApp, Message
from .environ import build_scope

# One that takes nothing but the application, and one that takes its database.
PATHS = ("/api/version", "/api/histories/published?limit=1")


def prove(app: ASGIApp, state: Mapping[str, Any], prefix: str, paths: Iterable[str] = PATHS) -> None:
    """Have the application answer; raise RuntimeError if it fails to.

    What it answers is not judged: it may want a login. An error of its own is not an answer.
    """
    loop = asyncio.new_event_loop()
    try:
        for path in paths:
            status = contextvars.Context().run(loop.run_until_complete, _ask(app, state, prefix.rstrip("/") + path))
            if not 200 <= status < 500:
                raise RuntimeError(f"{path} is answered with status {status}")
    finally:
        loop.close()


async def _ask(app: ASGIApp, state: Mapping[str, Any], path: str) -> int:
    """Return the status of the answer, 0 if there is none."""
    path, _mark, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
    }
    statuses = [0]
    complete = asyncio.Event()

    async def receive() -> Message:
        if not complete.is_set():
            complete.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        # Nobody hangs up.
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(build_scope(environ, state), receive, send)
    return statuses[-1]
