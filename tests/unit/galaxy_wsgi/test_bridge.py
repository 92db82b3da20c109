# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ASGI application answers through the bridge as it does below an ASGI server."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import Depends, FastAPI, UploadFile
from galaxy_wsgi import bridge, server
from galaxy_wsgi.bridge import Bridge
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse

Call = Callable[..., Any]


def asgi(endpoint: Callable[[Request], Any]) -> Bridge:
    """Return the bridge to an application that consists of one endpoint."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return Bridge(app)


# --- Plain requests and responses ---


def test_json(call: Call) -> None:
    app = FastAPI()

    @app.get("/items/{name:path}")
    def item(name: str, q: int) -> dict[str, Any]:
        return {"name": name, "q": q}

    answer = call(Bridge(app), path="/items/a/b", QUERY_STRING="q=3")
    assert (answer.status, answer.body) == ("200 OK", b'{"name":"a/b","q":3}')
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize(
    "status, line", [(204, "204 No Content"), (418, "418 I'm a Teapot"), (499, "499 Unknown"), (599, "599 Unknown")]
)
def test_status_line(call: Call, status: int, line: str) -> None:
    async def endpoint(_request: Request) -> Response:
        return Response(status_code=status)

    assert call(asgi(endpoint)).status.lower() == line.lower()


def test_repeated_response_headers(call: Call) -> None:
    async def endpoint(_request: Request) -> Response:
        response = PlainTextResponse("x")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    cookies = [value for name, value in call(asgi(endpoint)).headers if name == "set-cookie"]
    assert len(cookies) == 2


def test_hop_by_hop_headers_are_the_servers(call: Call) -> None:
    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("x", headers={"Connection": "keep-alive", "Transfer-Encoding": "chunked", "X-A": "b"})

    names = [name for name, _value in call(asgi(endpoint)).headers]
    assert sorted(names) == ["content-length", "content-type", "x-a"]


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b=c", "a\nb", "a\0b"])
def test_header_cannot_begin_another(call: Call, value: str) -> None:
    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("x", headers={"X-A": value})

    answer = call(asgi(endpoint))
    assert answer.code == 500
    assert answer.header("x-a") is None


def test_head_has_headers_and_no_body(call: Call) -> None:
    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("four")

    answer = call(asgi(endpoint), "HEAD")
    assert (answer.code, answer.header("content-length"), answer.body) == (200, "4", b"")


@pytest.mark.parametrize(
    "header, code, length", [("bytes=0-9", 206, 10), ("bytes=99990-", 206, 10), ("", 200, 100_000)]
)
def test_range(call: Call, tmp_path: Path, header: str, code: int, length: int) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(range(250)) * 400)

    async def endpoint(_request: Request) -> Response:
        return FileResponse(path)

    answer = call(asgi(endpoint), **({"HTTP_RANGE": header} if header else {}))
    assert (answer.code, len(answer.body)) == (code, length)


# --- Request bodies ---


@pytest.mark.parametrize("size", [0, 1, bridge.READ_SIZE, bridge.READ_SIZE + 1, 5 * bridge.READ_SIZE])
def test_body_arrives_whole(call: Call, size: int) -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    assert call(asgi(endpoint), "POST", body=b"x" * size).body == str(size).encode()


class Counting:
    """A request body that is made while it is read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.read_at_once = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "the body was asked for as a whole"
        self.read_at_once = max(self.read_at_once, size)
        size = min(size, self.left)
        self.left -= size
        return b"\0" * size


def test_body_is_read_on_demand(call: Call) -> None:
    body = Counting(1 << 30)
    seen = []

    async def endpoint(request: Request) -> Response:
        async for part in request.stream():
            seen.append(len(part))
            if len(seen) == 3:
                break
        return PlainTextResponse("enough")

    answer = call(asgi(endpoint), "POST", body=body, CONTENT_LENGTH=str(1 << 30))
    assert answer.body == b"enough"
    assert seen == [bridge.READ_SIZE] * 3
    # What is too long to be thrown away is not read at all.
    assert body.left == (1 << 30) - sum(seen)


def test_body_that_nobody_reads_is_drained(call: Call) -> None:
    body = Counting(1 << 20)

    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("no", status_code=403)

    assert call(asgi(endpoint), "POST", body=body, CONTENT_LENGTH=str(1 << 20)).code == 403
    assert body.left == 0


def test_multipart_upload(call: Call) -> None:
    app = FastAPI()

    @app.post("/upload")
    def upload(file: UploadFile) -> int:
        return len(file.file.read())

    data = b"x" * 3_000_000
    body = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--B--\r\n"
    )
    answer = call(Bridge(app), "POST", "/upload", body=body, CONTENT_TYPE="multipart/form-data; boundary=B")
    assert answer.body == b"3000000"


def test_body_that_breaks_off_is_a_disconnect(call: Call) -> None:
    heard: list[Any] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            heard.append(message["more_body"])
        heard.append(message["type"])

    call(Bridge(app), "POST", body=Counting(10), CONTENT_LENGTH="20")
    assert heard == [True, "http.disconnect"]


def test_chunked_body(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = iter([b"one ", b"two", b""])
    monkeypatch.setattr(bridge, "read_chunked", lambda: next(parts))

    async def endpoint(request: Request) -> Response:
        return Response(await request.body())

    assert call(asgi(endpoint), "POST", body=None, HTTP_TRANSFER_ENCODING="chunked").body == b"one two"


# --- Streaming ---


def test_stream_is_written_as_it_is_produced(call: Call) -> None:
    log: list[str] = []

    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            log.append(f"made {number}")
            yield b"%d" % number

    async def endpoint(_request: Request) -> Response:
        return StreamingResponse(parts())

    answer = call(asgi(endpoint), write=lambda chunk: log.append(f"sent {chunk.decode()}"))
    assert answer.body == b"012"
    assert log[:6] == ["made 0", "sent 0", "made 1", "sent 1", "made 2", "sent 2"]


def test_sync_generator_and_async_with_a_pause(call: Call) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        yield b"b"

    async def endpoint(_request: Request) -> Response:
        await asyncio.sleep(0.01)
        return StreamingResponse(parts())

    assert call(asgi(endpoint)).body == b"ab"


def test_background_task_runs_after_the_response(call: Call) -> None:
    log: list[str] = []

    async def endpoint(_request: Request) -> Response:
        return PlainTextResponse("done", background=BackgroundTask(log.append, "background"))

    call(asgi(endpoint), write=lambda _chunk: log.append("sent"))
    assert log == ["sent", "background"]


def test_task_that_outlives_the_request_comes_to_its_end(call: Call) -> None:
    log: list[str] = []

    async def later() -> None:
        await asyncio.sleep(0.02)
        log.append("later")

    async def endpoint(request: Request) -> Response:
        request.scope["state"]["task"] = asyncio.create_task(later())
        return PlainTextResponse("done")

    call(asgi(endpoint))
    assert log == ["later"]


def test_task_without_end_does_not_keep_the_thread(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "LINGER", 0.01)
    tasks = []

    async def endpoint(_request: Request) -> Response:
        tasks.append(asyncio.create_task(asyncio.sleep(3600)))
        return PlainTextResponse("done")

    assert call(asgi(endpoint)).body == b"done"
    tasks[0].cancel()


# --- Errors ---


@pytest.mark.parametrize("start_first", [False, True])
def test_error_before_the_first_byte_is_500(call: Call, caplog: pytest.LogCaptureFixture, start_first: bool) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        if start_first:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("the reason")

    answer = call(Bridge(app), path="/x")
    assert answer.code == 500
    assert b"the reason" not in answer.body
    assert "the reason" in caplog.text


@pytest.mark.parametrize("messages", [[], [{"type": "http.response.start", "status": 200}]])
def test_application_that_does_not_answer(call: Call, messages: list[dict[str, Any]]) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    assert call(Bridge(app)).code == 500


class FakeConnection:
    """Stands in for the connection that uWSGI serves."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone
        self.log: list[str] = []

    def __call__(self) -> FakeConnection:
        return self

    def fileno(self) -> int:
        return -1

    def is_closed(self) -> bool:
        return self.gone

    def abort(self) -> None:
        self.log.append("abort")

    def hang_up(self) -> None:
        self.log.append("hang up")

    def release(self) -> None:
        self.log.append("release")


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> FakeConnection:
    fake = FakeConnection()
    monkeypatch.setattr(bridge, "Connection", fake)
    return fake


def test_error_in_the_middle_aborts_the_connection(call: Call, connection: FakeConnection) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise LookupError("broken")

    async def endpoint(_request: Request) -> Response:
        return StreamingResponse(parts())

    assert call(asgi(endpoint)).body == b"half"
    assert connection.log == ["abort", "release"]


def test_error_after_the_response_changes_nothing(
    call: Call, connection: FakeConnection, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(_request: Request) -> Response:
        def fail() -> None:
            raise LookupError("too late")

        return PlainTextResponse("fine", background=BackgroundTask(fail))

    answer = call(asgi(endpoint))
    assert (answer.code, answer.body) == (200, b"fine")
    assert "too late" in caplog.text
    assert connection.log == ["release"]


@pytest.mark.parametrize("length, expected", [(b"4", ["release"]), (None, ["hang up", "release"])])
def test_response_of_unknown_length_ends_before_the_background(
    call: Call, connection: FakeConnection, length: bytes | None, expected: list[str]
) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", length)] if length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"four"})
        await asyncio.sleep(0.01)
        assert connection.log == expected[:-1]

    call(Bridge(app))
    assert connection.log == expected


# --- Clients that leave ---


def broken_pipe(_chunk: bytes) -> None:
    raise OSError("write error")


def test_client_that_left_stops_a_sender(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    sent = 0

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1

    call(Bridge(app), write=broken_pipe)
    assert sent == 1
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG and record.name != "asyncio"]


def test_client_that_left_ends_a_stream(call: Call) -> None:
    made = []

    async def parts() -> AsyncIterator[bytes]:
        while True:
            made.append(1)
            yield b"x"

    async def endpoint(_request: Request) -> Response:
        return StreamingResponse(parts())

    call(asgi(endpoint), write=broken_pipe)
    assert len(made) < 5


def test_sender_in_a_task_of_its_own_is_not_broken(call: Call) -> None:
    """As a2wsgi's, for which a WSGI thread would wait for ever."""
    log = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async def sender() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _round in range(3):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            log.append("sent")

        await asyncio.create_task(sender())
        log.append((await receive())["type"])
        log.append((await receive())["type"])

    call(Bridge(app), write=broken_pipe)
    assert log == ["sent", "http.disconnect", "http.disconnect"]


def test_is_disconnected(call: Call, connection: FakeConnection) -> None:
    async def endpoint(request: Request) -> Response:
        await request.body()
        before = await request.is_disconnected()
        connection.gone = True
        return JSONResponse([before, await request.is_disconnected()])

    assert call(asgi(endpoint)).body == b"[false,true]"


def test_receive_ends_with_the_response(call: Call) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        assert (await waiting)["type"] == "http.disconnect"
        log.append("ended")

    log: list[str] = []
    call(Bridge(app))
    assert log == ["ended"]


# --- Threads and context ---

variable: contextvars.ContextVar[str | None] = contextvars.ContextVar("variable", default=None)


def test_context_does_not_leak_between_requests(call: Call) -> None:
    async def endpoint(request: Request) -> Response:
        before = variable.get()
        variable.set(request.url.path)
        in_thread = await run_in_threadpool(variable.get)
        return JSONResponse([before, in_thread])

    app = asgi(endpoint)
    token = variable.set("of the thread")
    try:
        assert call(app, path="/one").body == b'[null,"/one"]'
        assert call(app, path="/two").body == b'[null,"/two"]'
        assert variable.get() == "of the thread"
    finally:
        variable.reset(token)


def test_request_scope_as_galaxy_does_it(call: Call) -> None:
    """A dependency sets a variable that synchronous code in the thread pool sees, each request its own."""
    app = FastAPI()
    scope_of: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("scope_of")

    async def session(name: str) -> AsyncIterator[None]:
        scope_of.set({"request": name})
        yield

    @app.get("/", dependencies=[Depends(session)])
    def endpoint() -> str:
        barrier.wait(10)
        return scope_of.get()["request"]

    barrier = threading.Barrier(4)
    target = Bridge(app)
    answers: dict[str, bytes] = {}

    def client(name: str) -> None:
        answers[name] = call(target, QUERY_STRING=f"name={name}").body

    threads = [threading.Thread(target=client, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {str(number): b'"%d"' % number for number in range(4)}


def test_each_thread_has_a_loop_of_its_own(call: Call) -> None:
    seen: list[tuple[int, int]] = []

    async def endpoint(_request: Request) -> Response:
        seen.append((threading.get_ident(), id(asyncio.get_running_loop())))
        return PlainTextResponse("")

    app = asgi(endpoint)

    def twice() -> None:
        call(app)
        call(app)

    threads = [threading.Thread(target=twice) for _round in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert len(set(seen)) == 2


def test_anyio(call: Call) -> None:
    async def endpoint(_request: Request) -> Response:
        results = []

        async def work(number: int) -> None:
            results.append(await anyio.to_thread.run_sync(lambda: number * 2))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(work, number)
        with anyio.move_on_after(0.01) as cancelled:
            await anyio.sleep(10)
        return JSONResponse([sorted(results), cancelled.cancelled_caught])

    assert call(asgi(endpoint)).body == b"[[0,2,4,6,8],true]"


def test_mounted_wsgi_application(call: Call) -> None:
    """Galaxy mounts its older half through a2wsgi."""
    a2wsgi = pytest.importorskip("a2wsgi")

    def legacy(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = len(environ["wsgi.input"].read())
        start_response("200 OK", [("content-type", "text/plain")])
        return [environ["PATH_INFO"].encode(), b" ", environ["REMOTE_ADDR"].encode(), b" %d" % length]

    app = FastAPI()
    app.mount("/", a2wsgi.WSGIMiddleware(legacy))
    answer = call(Bridge(app), "POST", "/old", body=b"x" * 200_000)
    assert (answer.code, answer.body) == (200, b"/old 192.0.2.1 200000")


# --- What WSGI cannot carry ---


def test_websocket(call: Call) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("must not be asked")

    answer = call(Bridge(app), HTTP_UPGRADE="websocket", HTTP_CONNECTION="upgrade")
    assert answer.code == 501
    assert b"WebSocket" in answer.body


@pytest.mark.parametrize("method, code", [("GET", 501), ("POST", 200)])
def test_events(call: Call, method: str, code: int) -> None:
    async def events() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        if method == "GET":
            await asyncio.sleep(3600)

    async def endpoint(_request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    answer = call(asgi(endpoint), method, "/api/events/stream")
    assert answer.code == code


def test_chunked_without_uwsgi() -> None:
    with pytest.raises(OSError, match="uWSGI"):
        server.read_chunked()
