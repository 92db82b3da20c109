# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test_uwsgi.py has uWSGI serve. It writes what happens to it into the file that EVENTS names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from galaxy_wsgi import server
from galaxy_wsgi.bridge import Bridge
from galaxy_wsgi.worker import Worker
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

LOADED_BY = os.getpid()
EVENTS = Path(os.environ["EVENTS"])
state: dict[str, object] = {}


def happen(event: str) -> None:
    with EVENTS.open("a") as file:
        file.write(f"{event} {server.worker_id()}\n")


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, object]]:
    happen("lifespan-start")
    yield {"thread": threading.current_thread().name}
    happen("lifespan-stop")


async def who(request: Request) -> Response:
    return JSONResponse(
        {
            "worker": server.worker_id(),
            "pid": os.getpid(),
            "loaded_by": LOADED_BY,
            "in_pool": await run_in_threadpool(os.getpid),
            "state": request.state.thread,
            "client": request.client,
        }
    )


async def slow(request: Request) -> Response:
    happen("slow-start")
    await run_in_threadpool(time.sleep, float(request.query_params["s"]))
    return PlainTextResponse("slow but whole")


async def ticks(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        try:
            for number in range(int(request.query_params["n"])):
                yield b"%d\n" % number
                await asyncio.sleep(float(request.query_params["s"]))
        finally:
            happen("ticks-end")

    return StreamingResponse(parts())


async def broken(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(0.1)
        raise LookupError("broken on purpose")

    return StreamingResponse(parts())


async def wait(request: Request) -> Response:
    """Say nothing until the client is gone."""
    await request.body()
    happen("wait-start")
    message = await request.receive()
    happen(message["type"])
    return Response()


async def background(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"done"

    return StreamingResponse(parts(), background=BackgroundTask(time.sleep, 2))


async def count(request: Request) -> Response:
    size = 0
    async for part in request.stream():
        size += len(part)
    return PlainTextResponse(str(size))


async def refuse(_request: Request) -> Response:
    return PlainTextResponse("no", status_code=403)


async def file(request: Request) -> Response:
    """Name a file, as Galaxy does with its option apache_xsendfile."""
    return Response(headers={"x-sendfile": request.query_params["path"], "content-length": "0"})


async def path(request: Request) -> Response:
    return FileResponse(request.query_params["path"])


async def headers(request: Request) -> Response:
    return JSONResponse(sorted(request.headers.items()))


async def events(_request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b": nothing\n\n"
            await asyncio.sleep(1)

    return StreamingResponse(parts(), media_type="text/event-stream")


def start() -> None:
    happen("start")


def stop() -> None:
    happen("stop")
    time.sleep(float(os.environ.get("STOP_TAKES", "0")))


endpoints = (who, slow, ticks, broken, wait, background, count, refuse, events, file, path, headers)
app = Starlette(
    routes=[Route(f"/{endpoint.__name__}", endpoint, methods=["GET", "POST"]) for endpoint in endpoints],
    lifespan=lifespan,
)
application = Bridge(app, state, [str(EVENTS.parent / "objects")])
Worker(app, start=start, stop=stop, state=state, finish=application.sender.finish).attach()
