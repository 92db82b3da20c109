# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detours of Galaxy's web framework that a server with a thread for each request can do without.

Under an event loop that serves many clients, a function that blocks has to go to another thread and back. Here the
thread is the request's own, so that it runs where it is. What the application sees is the same.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import importlib
import inspect
import io
import itertools
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from .environ import Scope

# A body that cannot be read piece by piece is kept in memory up to here, then in a file.
SPOOL_SIZE = 1024 * 1024

Receive = Callable[[], Coroutine[Any, Any, Any]]
Send = Callable[[Any], Awaitable[None]]

_thread = threading.local()


def on_request_thread() -> bool:
    """Tell whether this thread serves a request, which has it for itself."""
    return getattr(_thread, "serves", False)


def claim_thread() -> None:
    """Note that this thread serves requests."""
    _thread.serves = True


def install(app: Any) -> None:
    """Take the shortcuts in an application of FastAPI's, and in those that are mounted in it."""
    run_sync_in_place()
    for part in _fastapi_apps(app):
        call_wsgi_in_place(part)
        narrow_routing(part.router)


def _fastapi_apps(app: Any) -> Iterator[Any]:
    """Yield an application and the ones mounted in it: with a URL prefix, Galaxy's is mounted in an empty one."""
    if hasattr(app, "router") and hasattr(app.router, "routes"):
        yield app
        for route in app.router.routes:
            yield from _fastapi_apps(getattr(route, "app", None))


# --- Blocking functions ----------------------------------------------------------------------------


def run_sync_in_place() -> None:
    """Let ``anyio.to_thread.run_sync`` call the function at once where the thread is a request's own.

    FastAPI sends each endpoint and each dependency that is no coroutine through it.
    """
    import anyio.to_thread

    elsewhere = anyio.to_thread.run_sync
    if getattr(elsewhere, "in_place", False):
        return

    async def run_sync(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if on_request_thread():
            # As in a thread, what the function sets in its context stays there.
            return contextvars.copy_context().run(func, *args)
        return await elsewhere(func, *args, **options)

    run_sync.in_place = True  # type: ignore[attr-defined]
    anyio.to_thread.run_sync = run_sync  # type: ignore[assignment]


# --- Galaxy's older pages, which are WSGI ----------------------------------------------------------


def call_wsgi_in_place(app: Any) -> None:
    """Call a mounted WSGI application on this thread, and not through a2wsgi's pool and queues."""
    try:
        from a2wsgi import WSGIMiddleware
    except ImportError:
        return
    for route in app.router.routes:
        mounted = getattr(route, "app", None)
        if isinstance(mounted, WSGIMiddleware):
            route.app = WsgiInPlace(mounted)


class WsgiInPlace:
    """A WSGI application as ASGI, for a thread that has nothing else to do."""

    def __init__(self, middleware: Any) -> None:
        self.middleware = middleware

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request; what is none, or has no thread, goes the usual way."""
        if scope["type"] != "http" or not on_request_thread():
            await self.middleware(scope, receive, send)
            return
        from a2wsgi.wsgi import build_environ

        response = WsgiResponse()
        # What the application sets in its context stays there, as in a2wsgi's thread.
        context = contextvars.copy_context()
        body: Any = io.BufferedReader(RequestInput(receive)) if blocks(receive) else await read_whole(receive)
        environ = build_environ(scope, body)
        chunks = context.run(self.middleware.app, environ, response.start)
        try:
            for chunk in _iterate(context, chunks):
                for message in response.messages(chunk):
                    await send(message)
            for message in response.messages(b""):
                await send(message)
            await send({"type": "http.response.body", "body": b""})
        finally:
            if hasattr(chunks, "close"):
                context.run(chunks.close)
            body.close()
        if response.error:
            raise response.error[1].with_traceback(response.error[2])


def _iterate(context: contextvars.Context, chunks: Any) -> Iterator[bytes]:
    """Yield what an application yields, with each step in the application's context."""
    iterator = context.run(iter, chunks)
    while (chunk := context.run(next, iterator, None)) is not None:
        yield chunk


class WsgiResponse:
    """What a WSGI application says of its response, as messages of ASGI's."""

    def __init__(self) -> None:
        self.error: Any = None
        self._start: dict[str, Any] | None = None
        self._started = False
        self._written: list[bytes] = []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """Be WSGI's ``start_response``."""
        self.error = exc_info
        if not self._started:
            self._start = {
                "type": "http.response.start",
                "status": int(status.split(" ", 1)[0]),
                "headers": [
                    (name.strip().encode("latin-1").lower(), value.strip().encode("latin-1")) for name, value in headers
                ],
            }
        return self._written.append

    def messages(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield what is to be sent before and with a chunk."""
        if self._start is not None:
            yield self._start
            self._start, self._started = None, True
        for part in (*self._written, chunk):
            if part:
                yield {"type": "http.response.body", "body": part, "more_body": True}
        self._written.clear()


def blocks(receive: Any) -> bool:
    """Tell whether this is the bridge's own ``receive``, which waits for nothing but the body."""
    return bool(getattr(receive, "blocks", False))


async def read_whole(receive: Receive) -> tempfile.SpooledTemporaryFile[bytes]:
    """Return the whole body of a request as a file.

    Galaxy 24.2 and earlier have middlewares that pass on a ``receive`` of their own, which waits for other tasks, too.
    """
    file = tempfile.SpooledTemporaryFile(SPOOL_SIZE)  # noqa: SIM115
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("The client has gone")
        file.write(message.get("body", b""))
        more = message.get("more_body", False)
    file.seek(0)
    return file


class RequestInput(io.RawIOBase):
    """The body of a request as a file: ASGI's ``receive``, driven from where it is called."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._part = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes of the body."""
        while not self._part and self._more:
            message = _drive(self._receive())
            if message["type"] != "http.request":
                raise ConnectionError("The client has gone")
            self._part = memoryview(message.get("body", b""))
            self._more = message.get("more_body", False)
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size


def _drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing: the bridge's ``receive`` blocks until it has a part of the body."""
    while True:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        if waits_for is not None:
            coroutine.close()
            raise RuntimeError("A middleware waits for something else before it passes on the request's body")


# --- Routes ----------------------------------------------------------------------------------------


def narrow_routing(router: Any) -> None:
    """Let a router look only at routes that can match, by the first two segments of the path, or by the name.

    Galaxy has about 1,000 routes, which Starlette's router tries one after the other.
    """
    router.middleware_stack = Narrowed(router)
    router.url_path_for = Named(router)


class Narrowed:
    """A router, and smaller ones of the same kind, each with the routes for one beginning of paths.

    The smaller ones have every route of theirs that could match, in the same order, so that they choose the same. They
    are copies of the router: how a route is chosen, a method refused or a slash redirected, is still its own business.
    """

    def __init__(self, router: Any) -> None:
        self.router = router
        self._routers: dict[tuple[str, ...], Any] = {}
        self._routes = [(route, list(_beginnings(route))) for route in router.routes]
        self._known = {beginning for _route, beginnings in self._routes for beginning in beginnings}
        self._count = len(router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the router for this path answer."""
        if scope["type"] != "http" or len(self.router.routes) != self._count:
            await self.router.app(scope, receive, send)
            return
        # Links are made from all routes.
        scope.setdefault("router", self.router)
        await self._router(scope).app(scope, receive, send)

    def _router(self, scope: Scope) -> Any:
        segments = _segments(_path_below_mount(scope))
        # The longest beginning that a route has; routes with a shorter one are in each router of a longer one.
        for length in (2, 1):
            beginning = tuple(segments[:length])
            if len(beginning) == length and beginning in self._known:
                break
        else:
            beginning = ()
        router = self._routers.get(beginning)
        if router is None:
            router = copy.copy(self.router)
            router.routes = [
                route
                for route, beginnings in self._routes
                if any(beginning[: len(each)] == each for each in beginnings)
            ]
            self._routers[beginning] = router
        return router


class Named:
    """Makes links, as a router's ``url_path_for`` does. Galaxy makes several of each item of a list."""

    def __init__(self, router: Any) -> None:
        self.router = router
        self._usual = router.url_path_for
        self._count = len(router.routes)
        # By name, in the order of the router; and what may have anything in it, as a mount has, which stands in each.
        self._named: dict[str, list[Any]] = {}
        self._others: list[Any] = []
        for part in (part for route in router.routes for part in _parts(route)):
            if hasattr(part, "endpoint"):
                self._named.setdefault(part.name, [*self._others]).append(part)
            else:
                for each in (self._others, *self._named.values()):
                    each.append(part)

    def __call__(self, name: str, /, **path_params: Any) -> Any:
        """Return the path of the first route of that name that has these parameters."""
        from starlette.routing import NoMatchFound

        if len(self.router.routes) != self._count:
            return self._usual(name, **path_params)
        for part in self._named.get(name, self._others):
            with contextlib.suppress(NoMatchFound):
                return part.url_path_for(name, **path_params)
        raise NoMatchFound(name, path_params)


def _parts(route: Any) -> Iterator[Any]:
    """Yield a route, or those of a router that is included in another one, as FastAPI has it from 0.130 on."""
    contexts = getattr(route, "effective_route_contexts", None)
    if contexts is None:
        yield route
    else:
        for context in contexts():
            yield from _parts(getattr(context, "starlette_route", None) or context)


def _segments(path: str) -> list[str]:
    """Return the first two segments of a path. A slash at the end makes no difference: a router may redirect it."""
    return path.removesuffix("/").split("/")[1:3]


def _path_below_mount(scope: Scope) -> str:
    try:
        from starlette._utils import get_route_path
    except ImportError:
        # Until 0.33, a mount takes its own path off.
        return str(scope["path"])
    return get_route_path(scope)


def _beginnings(route: Any) -> Iterator[tuple[str, ...]]:
    """Yield how the paths of a route begin: up to two segments without parameters; () is any."""
    for part in _parts(route):
        path = getattr(part, "path_format", None)
        segments = _segments(path) if isinstance(path, str) else []
        yield tuple(itertools.takewhile(lambda segment: "{" not in segment, segments))


# --- What routes have in common ---------------------------------------------------------------------


@contextlib.contextmanager
def shared_descriptions() -> Iterator[None]:
    """Let FastAPI describe what its routes have in common once, and not once for each of them.

    Galaxy's routes have the same few dependencies, and each of those has some of its own: 64,000 descriptions. And each
    type of a parameter or an answer gets its own validator, twice for each route of a router that is included. All
    this is most of what Galaxy does to start its web framework, and a good part of its memory.
    """
    try:
        fields: Any = importlib.import_module("fastapi._compat.v2")
        dependencies: Any = importlib.import_module("fastapi.dependencies.utils")
    except ImportError:
        # An earlier FastAPI.
        yield
        return
    usual = dependencies.get_dependant, fields.TypeAdapter
    dependencies.get_dependant = _describe_once(dependencies.get_dependant)
    fields.TypeAdapter = _adapt_once(fields.TypeAdapter)
    try:
        yield
    finally:
        dependencies.get_dependant, fields.TypeAdapter = usual


def _describe_once(describe: Any) -> Any:
    """Return FastAPI's ``get_dependant`` with a memory for the dependencies of dependencies."""
    from fastapi.utils import get_path_param_names

    if "own_oauth_scopes" not in inspect.signature(describe).parameters:
        # An earlier one, which goes on writing into what it got.
        return describe
    # By what is described: the names of all parameters in it, and then by those of them that are part of the path.
    names: dict[Any, set[str]] = {}
    known: dict[Any, Any] = {}

    def describe_once(*, path: str, call: Any, name: str | None = None, **options: Any) -> Any:
        if name is None:
            # A route's own, which is written into.
            return describe(path=path, call=call, name=name, **options)
        key = (id(call), name, *((option, repr(value)) for option, value in sorted(options.items())))
        in_path = get_path_param_names(path)
        if key in names and (found := known.get((key, *sorted(names[key] & in_path)))):
            return found
        found = describe(path=path, call=call, name=name, **options)
        names.setdefault(key, set(_parameters(found)))
        known[(key, *sorted(names[key] & in_path))] = found
        return found

    return describe_once


def _parameters(dependant: Any) -> Iterator[str]:
    """Yield the names of the parameters of a dependency, and of its own ones."""
    for kind in ("path", "query", "header", "cookie", "body"):
        for field in getattr(dependant, f"{kind}_params"):
            yield field.name
    for each in dependant.dependencies:
        yield from _parameters(each)


def _adapt_once(adapter: Any) -> Any:
    """Return Pydantic's ``TypeAdapter`` with a memory. What it makes is only read."""
    known: dict[Any, tuple[Any, Any]] = {}

    def adapt_once(annotated: Any, *, config: Any = None) -> Any:
        metadata = getattr(annotated, "__metadata__", ())
        key = (id(getattr(annotated, "__origin__", annotated)), id(config), *map(_identity, metadata))
        if key not in known:
            # With what the key names, so that nothing else gets its identity.
            known[key] = adapter(annotated, config=config), annotated
        return known[key][0]

    return adapt_once


def _identity(metadata: Any) -> Any:
    """Return what tells an annotation of a type from others."""
    given = getattr(metadata, "_attributes_set", None)
    if given is None:
        return id(metadata)
    return (
        type(metadata),
        *sorted((name, id(value)) for name, value in given.items() if name != "metadata"),
        *map(_identity, metadata.metadata),
    )
