# SPDX-License-Identifier: GPL-3.0-or-later
"""The shortcuts through Galaxy's web framework: shorter, and to the same place."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import anyio.to_thread
import pytest
from a2wsgi import WSGIMiddleware
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Security
from fastapi.dependencies import utils
from fastapi.routing import APIRoute
from galaxy_wsgi import shortcuts
from galaxy_wsgi.bridge import Bridge
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, NoMatchFound, Route, Router

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


@pytest.fixture(autouse=True)
def no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave anyio, and this thread, as they were."""
    monkeypatch.setattr(anyio.to_thread, "run_sync", anyio.to_thread.run_sync)
    monkeypatch.setattr(shortcuts._thread, "serves", False, raising=False)


# --- Blocking functions ----------------------------------------------------------------------------


def where_am_i(request: Request) -> dict[str, Any]:
    VARIABLE.set("leaked")
    return {"thread": threading.get_ident(), "dependency": request.state.thread}


def note_thread(request: Request) -> None:
    request.state.thread = threading.get_ident()


def test_endpoints_and_dependencies_run_on_the_requests_thread(call: Callable[..., Any]) -> None:
    app = FastAPI(dependencies=[Depends(note_thread)])
    app.get("/where")(where_am_i)
    shortcuts.install(app)
    answer = call(Bridge(app), path="/where")
    assert answer.code == 200
    assert answer.body == f'{{"thread":{threading.get_ident()},"dependency":{threading.get_ident()}}}'.encode()


def test_elsewhere_a_thread_of_its_own_is_used() -> None:
    shortcuts.run_sync_in_place()
    shortcuts.run_sync_in_place()  # once is enough
    assert asyncio.run(anyio.to_thread.run_sync(threading.get_ident)) != threading.get_ident()


def test_what_a_function_sets_in_its_context_stays_there() -> None:
    shortcuts.run_sync_in_place()
    shortcuts.claim_thread()

    async def run() -> tuple[int, str]:
        VARIABLE.set("outside")
        ident = await anyio.to_thread.run_sync(lambda: (VARIABLE.set("inside"), threading.get_ident())[1])
        return ident, VARIABLE.get()

    assert asyncio.run(run()) == (threading.get_ident(), "outside")


def test_errors_come_through() -> None:
    shortcuts.run_sync_in_place()
    shortcuts.claim_thread()

    def fail() -> None:
        raise LookupError("no")

    async def run() -> None:
        await anyio.to_thread.run_sync(fail)

    with pytest.raises(LookupError, match="no"):
        asyncio.run(run())


# --- WSGI ------------------------------------------------------------------------------------------


def legacy(wsgi_app: Any) -> FastAPI:
    app = FastAPI()
    app.mount("/", WSGIMiddleware(wsgi_app))
    return app


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Agent", environ.get("HTTP_USER_AGENT", ""))])
    return [text.encode(), b" ", body]


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/a/b"},
        {"path": "/", "QUERY_STRING": "x=1&y=%20", "HTTP_USER_AGENT": "ü".encode().decode("latin-1")},
        {"method": "POST", "path": "/upload", "body": b"x" * 300_000},
        {"method": "HEAD", "path": "/h"},
    ],
    ids=["GET", "query and header", "POST", "HEAD"],
)
def test_wsgi_answers_as_it_does_behind_a2wsgi(call: Callable[..., Any], request_: dict[str, Any]) -> None:
    plain, short = legacy(echo), legacy(echo)
    shortcuts.install(short)
    there, here = call(Bridge(plain), **request_), call(Bridge(short), **request_)
    assert here.code == 200
    assert (here.status, sorted(here.headers), here.body) == (there.status, sorted(there.headers), there.body)


@pytest.mark.parametrize("size", [0, 1, 300_000, 2 * shortcuts.SPOOL_SIZE])
def test_a_middleware_may_wait_for_more_than_the_body(call: Callable[..., Any], size: int) -> None:
    """As those of Galaxy 24.2 and earlier, whose ``receive`` waits for the end of the response, too."""
    app = legacy(echo)

    @app.middleware("http")
    async def mark(request: Request, call_next: Callable[[Request], Any]) -> Any:
        answer = await call_next(request)
        answer.headers["x-marked"] = "yes"
        return answer

    shortcuts.install(app)
    answer = call(Bridge(app), "POST", "/upload", body=b"x" * size, CONTENT_LENGTH=str(size))
    assert (answer.code, answer.body) == (200, b"POST /upload? " + b"x" * size)
    assert ("x-marked", "yes") in answer.headers


def test_wsgi_runs_on_the_requests_thread_and_streams(call: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("201 Created", [])
        write(b"written ")
        for chunk in (b"one ", b"", b"two"):
            seen.append(threading.get_ident())
            yield chunk

    app = legacy(application)
    shortcuts.install(app)
    answer = call(Bridge(app), write=seen.append)
    assert (answer.code, answer.body) == (201, b"written one two")
    assert [thing for thing in seen if isinstance(thing, int)] == [threading.get_ident()] * 3
    # The first part was sent before the second was made.
    assert seen.index(b"one ") < seen.index(threading.get_ident(), 1)


def test_wsgi_is_closed_and_its_context_is_its_own(call: Callable[..., Any]) -> None:
    class Body:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield VARIABLE.get().encode()

        def close(self) -> None:
            Body.closed = True

    def application(environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [])
        VARIABLE.set("of the application")
        return Body()

    app = legacy(application)
    shortcuts.install(app)
    assert call(Bridge(app)).body == b"of the application"
    assert Body.closed
    assert VARIABLE.get() == "unset"


def test_an_error_of_wsgi_is_an_error(call: Callable[..., Any]) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise LookupError("no")

    app = legacy(application)
    shortcuts.install(app)
    assert call(Bridge(app)).code == 500


def test_a_body_that_breaks_off_is_no_body(call: Callable[..., Any]) -> None:
    found: list[BaseException] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except ConnectionError as error:
            found.append(error)
        start_response("400 Bad Request", [])
        return []

    app = legacy(application)
    shortcuts.install(app)
    call(Bridge(app), "POST", "/", body=b"half", CONTENT_LENGTH="8")
    assert len(found) == 1


# --- Routes ----------------------------------------------------------------------------------------

PATHS = [
    "/api",
    "/api/",
    "/api/a",
    "/api/a/",
    "/api/a/{x}",
    "/api/{x}",
    "/api/{x}/b",
    "/api/a/b",
    "/{x}",
    "/b/{x:path}",
]


def say(path: str, number: int) -> Any:
    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{number} {path} {sorted(request.path_params.items())}")

    return endpoint


@st.composite
def applications(draw: st.DrawFn) -> list[tuple[str, str, bool]]:
    """Paths with a method, and whether they are in a router that is included."""
    return draw(
        st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(["GET", "POST"]), st.booleans()), max_size=8)
    )


def build(routes: list[tuple[str, str, bool]], mounts: bool) -> FastAPI:
    app = FastAPI(openapi_url=None)
    for number, (path, method, included) in enumerate(routes):
        if included:
            router = APIRouter()
            router.add_api_route(path, say(path, number), methods=[method])
            app.include_router(router)
        else:
            app.router.routes.append(Route(path, say(path, number), methods=[method]))
    if mounts:
        app.router.routes.append(Mount("/m", app=Router([Route("/x", say("mounted", 0))])))
        app.mount("/", WSGIMiddleware(echo))
    return app


requested = st.lists(st.sampled_from(["api", "a", "b", "c", "m", "x", "", "%2F", "ü"]), max_size=4).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "/" + "/".join(parts) + "/"])
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(routes=applications(), mounts=st.booleans(), path=requested, method=st.sampled_from(["GET", "POST", "PUT"]))
def test_the_narrowed_router_answers_like_the_whole_one(
    routes: list[tuple[str, str, bool]], mounts: bool, path: str, method: str
) -> None:
    def ask(app: FastAPI) -> list[Any]:
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [],
            "scheme": "http",
            "server": ("x", 80),
            "client": ("y", 1),
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "state": {},
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        return sent

    short = build(routes, mounts)
    shortcuts.narrow_routing(short.router)
    assert ask(short) == ask(build(routes, mounts))


def test_links_are_made_from_all_routes(call: Callable[..., Any]) -> None:
    app = FastAPI()

    async def link(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.url_for("far", x="1")))

    app.get("/near/it")(link)
    app.add_api_route("/far/{x}", say("far", 1), name="far")
    shortcuts.install(app)
    assert call(Bridge(app), path="/near/it").body == b"http://galaxy.example.org/far/1"


def test_an_application_below_a_prefix_is_reached(call: Callable[..., Any]) -> None:
    inner, outer = FastAPI(), FastAPI()
    inner.get("/api/version")(lambda: "yes")
    inner.mount("/", WSGIMiddleware(echo))
    outer.mount("/galaxy", inner)
    shortcuts.install(outer)
    assert call(Bridge(outer), path="/galaxy/api/version").body == b'"yes"'
    assert call(Bridge(outer), path="/galaxy/old").body.startswith(b"GET /galaxy/old?")
    assert isinstance(inner.router.middleware_stack, shortcuts.Narrowed)


def test_a_route_that_is_added_later_is_found(call: Callable[..., Any]) -> None:
    app = FastAPI()
    shortcuts.install(app)
    app.get("/late/one")(lambda: "here")
    assert call(Bridge(app), path="/late/one").body == b'"here"'


def test_links_are_the_same() -> None:
    inner = APIRouter(prefix="/inner")
    app = FastAPI()

    @inner.get("/things/{thing}", name="thing")
    @inner.get("/things", name="thing")
    @inner.get("/others/{other}", name="other")
    def endpoint() -> None: ...

    app.include_router(inner)
    app.get("/late/{other}/{more}", name="other")(endpoint)
    app.mount("/mounted", Router([Route("/{deep}", lambda _request: PlainTextResponse(), name="deep")]), name="mounted")
    app.mount("/", WSGIMiddleware(lambda _environ, _start: []))  # type: ignore[arg-type]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("thing", {}),
        ("thing", {"thing": "a b"}),
        ("other", {"other": 1}),
        ("other", {"other": 1, "more": 2}),
        ("other", {}),
        ("mounted:deep", {"deep": "x"}),
        ("nothing", {}),
    ]

    def links() -> list[str]:
        found = []
        for name, params in asked:
            try:
                found.append(str(app.url_path_for(name, **params)))
            except NoMatchFound as error:
                found.append(str(error))
        return found

    usual = links()
    shortcuts.install(app)
    assert links() == usual
    assert usual[:4] == ["/inner/things", "/inner/things/a b", "/inner/others/1", "/late/1/2"]
    app.get("/later", name="nothing")(endpoint)
    assert links()[-1] == "/later"


# --- Dependencies ----------------------------------------------------------------------------------


def current_user(key: str = "", x_key: Annotated[str, Header()] = "") -> str:
    return key or x_key or "nobody"


def current_thing(thing: str = "none", user: str = Depends(current_user)) -> str:
    return f"{thing} of {user}"


def thing_routes() -> FastAPI:
    app = FastAPI()

    @app.get("/things/{thing}", dependencies=[Depends(current_user)])
    @app.get("/things")
    def one(found: Annotated[str, Depends(current_thing)]) -> str:
        return found

    @app.get("/users", dependencies=[Depends(current_thing)])
    def user(user: Annotated[str, Depends(current_user)], again: Annotated[str, Security(current_user)]) -> str:
        return f"{user} {again}"

    return app


def test_shared_descriptions_are_described_alike(call: Callable[..., Any]) -> None:
    usual = thing_routes()
    original = utils.get_dependant
    with shortcuts.shared_descriptions():
        shared = thing_routes()
    assert utils.get_dependant is original
    assert shared.openapi() == usual.openapi()
    # In the first route, thing is part of the path, and in the second it is not.
    for path, body in (
        ("/things/a", b'"a of nobody"'),
        ("/things", b'"none of nobody"'),
        ("/users", b'"nobody nobody"'),
    ):
        answers = [call(Bridge(app), path=path) for app in (usual, shared)]
        assert [answer.body for answer in answers] == [body, body]
    users = [route.dependant.dependencies for route in shared.routes if isinstance(route, APIRoute)]
    by_name = {(each.name, id(each)) for route in users for each in (*route, *route[0].dependencies) if each.name}
    assert sorted(name for name, _id in by_name) == ["again", "found", "found", "user"]
