# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run an ASGI application as WSGI, on the thread that the server gave to the request.

That thread has nothing else to do until the response has gone, so nothing is handed over to another one: the event
loop is the thread's own, ``receive`` reads the request's body where it stands and ``send`` writes to the client. This
makes back pressure and bounded memory come by themselves, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gzip
import logging
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from . import files, server
from .environ import (
    Environ,
    Scope,
    accepts_gzip,
    build_scope,
    content_length,
    is_ambiguous,
    is_direct,
    is_websocket,
    request_header,
)
from .server import Connection, read_chunked
from .shortcuts import claim_thread

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
StartResponse = Callable[[str, list[tuple[str, str]]], Callable[[bytes], Any]]

# Most that is read of a request's body at once.
READ_SIZE = 64 * 1024

# Most that is read, and thrown away, of a body that the application did not want: closing with data unread resets
# the connection, and the client might never see the answer. Galaxy's client uploads in parts of 10 MB.
DRAIN_SIZE = 16 * 1024 * 1024

# Seconds that tasks which a request has left behind may keep the thread, after the response.
LINGER = 5.0

# Between two neighbours on the way and not for the next one: WSGI leaves these to the server.
HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade"))

# What is compressed where no nginx does it, beginning with so many bytes.
COMPRESSIBLE = re.compile(r"text/|(application/(javascript|json|xml|wasm)|image/svg\+xml)\s*(;|$)")
COMPRESS_SIZE = 1000
COMPRESS_LEVEL = 5

# In a header, these would begin another one.
BREAKS_HEADER = re.compile("[\r\n\0]")

DISCONNECT: Message = {"type": "http.disconnect"}


class ClientDisconnectedError(OSError):
    """Told to an application that goes on sending to a client that is no longer there."""


class Bridge:
    """A WSGI application that is an ASGI application inside."""

    def __init__(
        self, app: ASGIApp, state: Mapping[str, Any] | None = None, file_directories: Iterable[str] = ()
    ) -> None:
        """Make the bridge.

        :param file_directories: the application may have files below these sent by naming them in X-Sendfile
        """
        self.app = app
        self.state = state if state is not None else {}
        self.sender = files.Sender(server.socket_timeout())
        self.file_directories = tuple(file_directories)
        self._threads = threading.local()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        exchange = Exchange(environ, start_response, self._loop(), self)
        try:
            if is_websocket(environ):
                exchange.answer(HTTPStatus.NOT_IMPLEMENTED, "WebSocket is not supported here.")
            elif is_ambiguous(environ):
                exchange.answer(HTTPStatus.BAD_REQUEST, "Where the body ends is said in two ways.")
            else:
                exchange.run(self.app, build_scope(environ, self.state))
        finally:
            exchange.close()
        return ()

    def _loop(self) -> asyncio.AbstractEventLoop:
        """Return this thread's event loop. It is made by the first request, and so never crosses a fork."""
        loop = getattr(self._threads, "loop", None)
        if loop is None:
            loop = self._threads.loop = asyncio.new_event_loop()
            claim_thread()
        return loop


class Exchange:
    """One request and its response."""

    def __init__(
        self, environ: Environ, start_response: StartResponse, loop: asyncio.AbstractEventLoop, bridge: Bridge
    ) -> None:
        self._environ = environ
        self._bridge = bridge
        self._method: str = environ["REQUEST_METHOD"]
        self._start_response = start_response
        self._loop = loop
        self._connection = Connection()
        self._body = RequestBody(environ)
        self._task: asyncio.Task[None] | None = None
        # The head of the response is kept until its first byte is sent: so far, an error can still be told.
        self._head: tuple[int, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], Any] | None = None
        self._complete = False
        # The file that is the body of the response.
        self._file: str | None = None
        self._disconnected: asyncio.Future[None] | None = None
        self._gone = False

    def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the application answer. Returns when it has, and has done what it wanted to do afterwards."""

        async def call() -> None:
            await app(scope, self.receive, self.send)

        # An empty context: what one request sets, no other can see.
        self._task = contextvars.Context().run(self._loop.create_task, call())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            self._fail()
        except ClientDisconnectedError:
            log.debug("Client left during %s %s", self._method, scope["path"])
        except Exception:
            if self._gone:
                log.debug("Client left during %s %s", self._method, scope["path"], exc_info=True)
            else:
                log.exception("Error in %s %s", self._method, scope["path"])
            self._fail()
        else:
            if not self._complete and not self._gone:
                log.error("The application did not complete its response to %s %s", self._method, scope["path"])
                self._fail()
        self._settle()

    async def receive(self) -> Message:
        """Return the next part of the request's body, then wait for the client to go."""
        if not self._body.at_end and not self._complete and not self._gone:
            if self._body.started:
                # A task that reads on and on must not starve the others.
                await asyncio.sleep(0)
            try:
                part = self._body.read(READ_SIZE)
            except OSError as error:
                log.debug("The request's body broke off: %s", error)
                self._set_gone()
            else:
                return {"type": "http.request", "body": part, "more_body": not self._body.at_end}
        if not self._complete and not self._gone and not self._connection.is_closed():
            await self._wait_for_disconnect()
        return DISCONNECT

    # It reads where it stands, so that whoever is no coroutine may drive it.
    receive.blocks = True  # type: ignore[attr-defined]

    async def send(self, message: Message) -> None:
        """Write a part of the response."""
        kind = message["type"]
        if self._gone and asyncio.current_task() is self._task:
            raise ClientDisconnectedError("The client has gone")
        if self._gone or self._complete:
            # From a task of its own a sender cannot tell the application, it can only break (and a2wsgi would wait for
            # it for ever). The application hears of it through receive(): let it.
            await asyncio.sleep(0)
        elif kind == "http.response.start":
            headers = _decode(message.get("headers", ()))
            self._file = _get(headers, "x-sendfile") or None
            if self._file:
                headers = [(name, value) for name, value in headers if name.lower() != "x-sendfile"]
            self._head = (message["status"], headers)
            if self._method == "GET" and _get(headers, "content-type").startswith("text/event-stream"):
                self.answer(HTTPStatus.NOT_IMPLEMENTED, "Server-sent events are not supported here.")
                if self._task:
                    self._task.cancel()
        elif kind == "http.response.body":
            more = message.get("more_body", False)
            if self._file:
                # Which goes for what the application would have sent.
                if not more:
                    self._send_file(files.find(self._file, self._bridge.file_directories))
                return
            body = message.get("body", b"")
            self._send_body(body if more else self._compress(body))
            if more:
                await asyncio.sleep(0)
            else:
                self._end()
        elif kind == "http.response.pathsend":
            self._send_file(message["path"])
        else:
            raise ValueError(f"Unexpected ASGI message {kind!r}")

    def answer(self, status: int, text: str) -> None:
        """Answer with a line of plain text instead of the application."""
        body = f"{text}\n".encode()
        self._head = (
            status,
            [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))],
        )
        self._send_body(body)
        self._end()

    def close(self) -> None:
        """Give the connection back to the server."""
        self._unwatch()
        self._connection.release()

    def _send_body(self, body: bytes) -> None:
        if self._head is None:
            raise RuntimeError("The application sent a body before the start of its response")
        try:
            if self._write is None:
                status, headers = self._head
                self._write = self._start_response(_status_line(status), headers)
                if self._method == "HEAD":
                    self._write(b"")
            if self._method != "HEAD":
                self._write(bytes(body))
        except OSError:
            self._set_gone()

    def _send_file(self, path: str | None) -> None:
        """Answer with a file, which is sent while this thread does something else."""
        if self._head is None:
            raise RuntimeError("The application sent a file before the start of its response")
        status, headers = self._head
        if path is None:
            log.error("Not below a directory from which files may be sent: %s", self._file)
            self.answer(HTTPStatus.NOT_FOUND, "Not Found")
            return
        with contextlib.ExitStack() as unless_taken_over:
            file = unless_taken_over.enter_context(open(path, "rb"))
            reply = files.reply(
                self._method,
                lambda name: request_header(self._environ, name),
                status,
                headers,
                os.fstat(file.fileno()),
            )
            self._head = (reply.status, reply.headers)
            # The head alone.
            self._send_body(b"")
            if reply.count and self._method != "HEAD" and not self._gone:
                connection = self._connection.duplicate()
                if connection is not None:
                    self._bridge.sender.send(connection, file, reply.offset, reply.count)
                    unless_taken_over.pop_all()
                else:
                    file.seek(reply.offset)
                    left = reply.count
                    while left and not self._gone and (part := file.read(min(left, READ_SIZE))):
                        left -= len(part)
                        self._send_body(part)
        self._end()

    def _compress(self, body: bytes) -> bytes:
        """Return the whole of a body, compressed if that is for us to do and of use."""
        if self._write is not None or self._head is None or self._method == "HEAD" or not is_direct(self._environ):
            return body
        status, headers = self._head
        if (
            len(body) < COMPRESS_SIZE
            or status != HTTPStatus.OK
            or not COMPRESSIBLE.match(_get(headers, "content-type"))
            or _get(headers, "content-encoding")
        ):
            return body
        headers = [*headers, ("vary", "accept-encoding")]
        if accepts_gzip(self._environ):
            body = gzip.compress(body, COMPRESS_LEVEL, mtime=0)
            # Of what is compressed, a strong tag would be another one.
            headers = [
                (name, f"W/{value}" if name.lower() == "etag" and not value.startswith("W/") else value)
                for name, value in headers
                if name.lower() != "content-length"
            ]
            headers += [("content-encoding", "gzip"), ("content-length", str(len(body)))]
        self._head = (status, headers)
        return body

    def _end(self) -> None:
        self._complete = True
        self._wake()
        if not self._gone:
            try:
                self._body.drain(DRAIN_SIZE)
            except OSError:
                self._set_gone()
        if self._task and self._head and not _get(self._head[1], "content-length"):
            # Only the end of the connection tells the client that this was all, and there may be a background task.
            self._loop.call_soon(self._hang_up)

    def _fail(self) -> None:
        """Tell the client that this went wrong, as clearly as is still possible."""
        if self._complete or self._gone:
            return
        if self._write is None:
            self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
        else:
            self._complete = True
            self._unwatch()
            self._connection.abort()

    def _settle(self) -> None:
        """Let what outlives the request come to its end, for it only runs while this thread does."""
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=LINGER))

    async def _wait_for_disconnect(self) -> None:
        if self._disconnected is None:
            self._disconnected = self._loop.create_future()
            if self._connection.fileno() >= 0:
                self._loop.add_reader(self._connection.fileno(), self._on_readable)
        await asyncio.shield(self._disconnected)

    def _on_readable(self) -> None:
        if self._connection.is_closed():
            self._set_gone()
        self._unwatch()

    def _set_gone(self) -> None:
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        self._unwatch()
        if self._disconnected and not self._disconnected.done():
            self._disconnected.set_result(None)

    def _hang_up(self) -> None:
        self._unwatch()
        self._connection.hang_up()

    def _unwatch(self) -> None:
        if self._disconnected is not None and self._connection.fileno() >= 0:
            self._loop.remove_reader(self._connection.fileno())


class RequestBody:
    """A request's body, read as it is asked for."""

    def __init__(self, environ: Environ) -> None:
        length = content_length(environ)
        self._input = environ.get("wsgi.input")
        self._chunked = length is None and environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        self._left = length or 0
        self.started = False
        self.at_end = False

    def read(self, size: int) -> bytes:
        """Return the next part: ``size`` bytes at most, or what the client made a chunk. Raise OSError if broken."""
        self.started = True
        if self._chunked:
            part = read_chunked()
            self.at_end = not part
            return part
        wanted = min(size, self._left)
        part = self._input.read(wanted) if wanted and self._input else b""
        if wanted and not part:
            raise OSError(f"{self._left} bytes are missing")
        self._left -= len(part)
        self.at_end = not self._left
        return part

    def drain(self, size: int) -> None:
        """Read on to the end, but no more than ``size`` bytes."""
        if (self._chunked and not self.at_end) or 0 < self._left <= size:
            while not self.at_end and size > 0:
                size -= len(self.read(READ_SIZE))


def _decode(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    decoded = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    for name, value in decoded:
        if BREAKS_HEADER.search(name) or BREAKS_HEADER.search(value):
            raise ValueError(f"Illegal response header {name!r}: {value!r}")
    return [(name, value) for name, value in decoded if name.lower() not in HOP_BY_HOP]


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _get(headers: list[tuple[str, str]], name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")
