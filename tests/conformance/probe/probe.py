# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy with a few routes more, which show what Galaxy's own do not: the same ones under each server.

gunicorn builds Galaxy with ``factory``, uWSGI with ``app_factory``, each with what it always uses. The routes stand in
Galaxy's own application, behind its middleware.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, File, Form, Request, UploadFile, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTasks

router = APIRouter(prefix="/probe", include_in_schema=False)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PIECE = b"0123456789abcdef" * 4096

# What is told of a request after its end. Each server has one process.
notes: dict[str, Any] = {}
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def factory() -> Any:
    """Build Galaxy as gunicorn does."""
    add_routes()
    from galaxy.webapps.galaxy import fast_factory

    return fast_factory.factory()


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Any:
    """Build Galaxy as uWSGI does."""
    add_routes()
    import galaxy_wsgi

    return galaxy_wsgi.app_factory(global_conf, **local_conf)


def add_routes() -> None:
    """Let Galaxy build its application with these routes, before the one that takes every path."""
    from galaxy.webapps.galaxy import fast_app

    build = fast_app.initialize_fast_app

    def initialize(wsgi_app: Any, galaxy_app: Any) -> Any:
        app = build(wsgi_app, galaxy_app)
        # With a prefix, Galaxy's application is mounted in an empty one.
        target = app if galaxy_app.config.galaxy_url_prefix == "/" else app.router.routes[-1].app
        add_session_route(galaxy_app)
        target.include_router(router)
        target.router.routes.insert(0, target.router.routes.pop())
        return app

    fast_app.initialize_fast_app = initialize


# --- Requests --------------------------------------------------------------------------------------


def scope_of(request: Request) -> dict[str, Any]:
    """Return what an application sees of a request."""
    scope = request.scope
    return {
        **{name: scope[name] for name in ("method", "scheme", "path", "root_path")},
        "raw_path": scope["raw_path"].decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "client": scope["client"][0],
        "url": str(request.url),
        "base_url": str(request.base_url),
        "headers": sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        "cookies": request.cookies,
        "query": list(request.query_params.multi_items()),
    }


@router.api_route("/echo", methods=METHODS)
@router.api_route("/echo/{rest:path}", methods=METHODS)
async def echo(request: Request) -> Any:
    """Say what came."""
    body = await request.body()
    return {**scope_of(request), "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@router.post("/sink")
async def sink(request: Request) -> Any:
    """Take a body of any size, in pieces."""
    digest, size = hashlib.sha256(), 0
    async for part in request.stream():
        digest.update(part)
        size += len(part)
    return {"size": size, "sha256": digest.hexdigest()}


@router.post("/refuse")
async def refuse() -> Any:
    """Answer without looking at the body."""
    return JSONResponse({"refused": True}, status_code=422)


class Thing(BaseModel):
    """What is sent as JSON."""

    name: str
    number: int


@router.post("/json")
def json_body(thing: Thing) -> Any:
    """Take JSON, in a function that is no coroutine."""
    return thing


@router.post("/form")
def form(name: Annotated[str, Form()], number: Annotated[list[int], Form()]) -> Any:
    """Take a form."""
    return {"name": name, "number": number}


@router.post("/upload")
async def upload(name: Annotated[str, Form()], files: Annotated[list[UploadFile], File()]) -> Any:
    """Take files."""
    contents = [(file.filename, file.content_type, await file.read()) for file in files]
    return {
        "name": name,
        "files": [(*told, len(content), hashlib.sha256(content).hexdigest()) for *told, content in contents],
    }


@router.put("/bytes")
def take_bytes(body: Annotated[bytes, Body()]) -> Any:
    """Take bytes."""
    return {"size": len(body)}


# --- Responses -------------------------------------------------------------------------------------


@router.get("/headers")
def headers() -> Response:
    """Answer with headers that are repeated, empty, or not of ASCII."""
    response = Response("ok", media_type="text/plain")
    response.set_cookie("first", "1", path="/", httponly=True)
    response.set_cookie("second", "2", max_age=60, samesite="lax")
    response.raw_headers += [
        (b"link", b"<a>; rel=next"),
        (b"link", b"<b>; rel=prev"),
        (b"x-empty", b""),
        (b"x-latin", "Grüße".encode("latin-1")),
        (b"X-Mixed-Case", b"Yes"),
    ]
    return response


@router.api_route("/status/{code}", methods=["GET", "HEAD"])
def status(code: int) -> Response:
    """Answer with a status."""
    return Response(status_code=code) if code in (204, 304) else Response(f"status {code}", code)


@router.get("/source")
def source(size: int, length: bool = True) -> StreamingResponse:
    """Send so many bytes, telling how many or not."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, len(PIECE)):
            yield PIECE[: size - start]

    return StreamingResponse(pieces(), headers={"content-length": str(size)} if length else {})


@router.get("/drip")
async def drip(kind: str, break_at: int = -1, length: bool = False) -> StreamingResponse:
    """Send five lines, slowly; break off at one of them."""

    def line(number: int) -> bytes:
        if number == break_at:
            raise RuntimeError("Breaks off, as it was told to")
        return b"line %d\n" % number

    async def slowly() -> AsyncIterator[bytes]:
        for number in range(5):
            yield line(number)
            await asyncio.sleep(0.3)

    def in_a_thread() -> Iterator[bytes]:
        for number in range(5):
            yield line(number)
            time.sleep(0.3)

    return StreamingResponse(
        slowly() if kind == "async" else in_a_thread(),
        media_type="text/plain",
        # nginx would wait for more.
        headers={"x-accel-buffering": "no", **({"content-length": "35"} if length else {})},
    )


@router.get("/raise")
def raise_error() -> None:
    """Fail before anything is sent."""
    raise RuntimeError("Fails, as it was told to")


@router.get("/background")
def background(key: str, kind: str, tasks: BackgroundTasks) -> Any:
    """Do something after the response."""

    async def coroutine() -> None:
        await asyncio.sleep(1)
        notes[key] = "done"

    def function() -> None:
        time.sleep(1)
        notes[key] = "done"

    tasks.add_task(coroutine if kind == "async" else function)
    return {"accepted": True}


@router.get("/notes/{key}")
async def note(key: str) -> Any:
    """Return what was noted."""
    return notes.get(key)


@router.get("/endless")
async def endless(key: str) -> StreamingResponse:
    """Send until the client goes."""

    async def lines() -> AsyncIterator[bytes]:
        notes[key] = "sends"
        try:
            while True:
                yield b"on and on\n" * 100
                await asyncio.sleep(0.05)
        finally:
            notes[key] = "has stopped"

    return StreamingResponse(lines(), media_type="text/plain", headers={"x-accel-buffering": "no"})


@router.get("/patient")
async def patient(request: Request, key: str) -> Any:
    """Work until it is done, or the client has gone."""
    notes[key] = "works"
    for _turn in range(200):
        if await request.is_disconnected():
            notes[key] = "has noticed"
            return None
        await asyncio.sleep(0.05)
    notes[key] = "has not noticed"
    return None


# --- What a request has for itself -----------------------------------------------------------------


@router.get("/sleep")
def sleep(seconds: float) -> Any:
    """Keep a thread."""
    time.sleep(seconds)
    return {"slept": seconds}


async def depends_on_variable(value: str = "") -> str:
    """Set the variable where an endpoint depends on it."""
    before = variable.get()
    if value:
        variable.set(value)
    return before


@router.get("/context/async")
async def context_async(before: Annotated[str, Depends(depends_on_variable)], seconds: float = 0) -> Any:
    """Return what the variable was, and what it is after a while."""
    await asyncio.sleep(seconds)
    return {"before": before, "after": variable.get()}


@router.get("/context/sync")
def context_sync(before: Annotated[str, Depends(depends_on_variable)], seconds: float = 0) -> Any:
    """Return what the variable was, and what it is after a while."""
    time.sleep(seconds)
    after = variable.get()
    variable.set("set by an endpoint")
    return {"before": before, "after": after}


def add_session_route(galaxy_app: Any) -> None:
    """Add the route that looks at Galaxy's sessions of the database."""
    from galaxy.model.base import REQUEST_ID
    from galaxy.webapps.galaxy.api import get_app_with_request_session

    lock = threading.Lock()

    @router.get("/session", dependencies=[Depends(get_app_with_request_session)])
    def session(seconds: float = 0) -> Any:
        """Return whose session this is, and how many there are."""
        registry = galaxy_app.model.session.registry.registry
        own = galaxy_app.model.session()
        time.sleep(seconds)
        with lock:
            return {
                "request": REQUEST_ID.get()["request"],
                "same": galaxy_app.model.session() is own,
                # Those of threads have numbers.
                "open": sum(isinstance(key, str) for key in registry),
            }


# --- What has no end -------------------------------------------------------------------------------


@router.get("/events")
async def events() -> StreamingResponse:
    """Send events for ever."""

    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(forever(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.post("/events")
async def some_events() -> StreamingResponse:
    """Send a few events, as an answer."""

    async def few() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number

    return StreamingResponse(few(), media_type="text/event-stream")


@router.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    """Say hello."""
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()
