# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scope is the one that Galaxy's own server would have made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from galaxy_wsgi.environ import build_scope, content_length, is_ambiguous, is_websocket

MakeEnviron = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "given, key, expected",
    [
        ({}, "type", "http"),
        ({"REQUEST_METHOD": "PATCH"}, "method", "PATCH"),
        ({}, "root_path", ""),
        ({}, "client", ("192.0.2.1", 50000)),
        ({"REMOTE_PORT": ""}, "client", ("192.0.2.1", 0)),
        ({"REMOTE_ADDR": "", "REMOTE_PORT": ""}, "client", ("", 0)),
        ({"REMOTE_ADDR": "2001:db8::1"}, "client", ("2001:db8::1", 50000)),
        ({"SERVER_PORT": "8443"}, "server", ("galaxy.example.org", 8443)),
        ({"SERVER_PORT": ""}, "server", ("galaxy.example.org", 0)),
        ({}, "scheme", "http"),
        ({"wsgi.url_scheme": "https"}, "scheme", "https"),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, "http_version", "1.0"),
        ({"SERVER_PROTOCOL": "HTTP/2.0"}, "http_version", "2"),
        ({"QUERY_STRING": "q=a%20b&q=%C3%A9"}, "query_string", b"q=a%20b&q=%C3%A9"),
    ],
)
def test_scope(make_environ: MakeEnviron, given: dict[str, str], key: str, expected: Any) -> None:
    assert build_scope(make_environ(**given))[key] == expected


def test_missing_remote_and_server_variables(make_environ: MakeEnviron) -> None:
    environ = make_environ()
    for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "QUERY_STRING"):
        del environ[key]
    scope = build_scope(environ)
    assert scope["client"] == ("", 0)
    assert scope["server"] == ("", 0)
    assert scope["http_version"] == "1.1"
    assert scope["query_string"] == b""


def latin(text: str) -> str:
    """Return text as WSGI has it: its UTF-8 bytes, read as Latin-1."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    "uri, path_info, path, raw_path",
    [
        ("/api/version?x=/y", "/api/version", "/api/version", b"/api/version"),
        ("/d/%C3%A9t%C3%A9", latin("/d/été"), "/d/été", b"/d/%C3%A9t%C3%A9"),
        ("/tools/a%2Fb%2Fc", "/tools/a/b/c", "/tools/a/b/c", b"/tools/a%2Fb%2Fc"),
        ("/a%20b", "/a b", "/a b", b"/a%20b"),
        ("/100%25", "/100%", "/100%", b"/100%25"),
        # The web server has rewritten the path: what it says now counts.
        ("/old/x", "/new/x y", "/new/x y", b"/new/x%20y"),
        ("/a//b/../c", "/a/c", "/a/c", b"/a/c"),
        # A front end that sends one of the two only.
        ("", latin("/é"), "/é", b"/%C3%A9"),
        ("/only%20uri", "", "/only uri", b"/only%20uri"),
        ("", "", "/", b"/"),
        # Not UTF-8: no request may fail for it.
        ("/%FF", "/\xff", "/\ufffd", b"/%FF"),
    ],
)
def test_path(make_environ: MakeEnviron, uri: str, path_info: str, path: str, raw_path: bytes) -> None:
    scope = build_scope(make_environ(REQUEST_URI=uri, PATH_INFO=path_info))
    assert (scope["path"], scope["raw_path"]) == (path, raw_path)


def test_prefix_stays_in_the_path(make_environ: MakeEnviron) -> None:
    """Galaxy mounts itself below galaxy_url_prefix, whoever else has split the path there."""
    scope = build_scope(make_environ(REQUEST_URI="/gx/api", SCRIPT_NAME="/gx", PATH_INFO="/api"))
    assert (scope["path"], scope["root_path"]) == ("/gx/api", "")


def test_headers(make_environ: MakeEnviron) -> None:
    environ = make_environ(
        CONTENT_TYPE="text/plain",
        CONTENT_LENGTH="3",
        HTTP_CONTENT_LENGTH="999",
        HTTP_COOKIE="a=1; b=2",
        HTTP_ACCEPT="text/html, */*",
        HTTP_X_API_KEY="k\xe9y",
    )
    headers = build_scope(environ)["headers"]
    assert (b"content-type", b"text/plain") in headers
    assert [value for name, value in headers if name == b"content-length"] == [b"3"]
    assert (b"cookie", b"a=1; b=2") in headers
    assert (b"accept", b"text/html, */*") in headers
    assert (b"x-api-key", b"k\xe9y") in headers


def test_headers_of_a_connection_are_not_passed_on(make_environ: MakeEnviron) -> None:
    given = {"HTTP_CONNECTION": "close, x-mine", "HTTP_TE": "trailers", "HTTP_X_MINE": "1", "HTTP_UPGRADE": "h2c"}
    assert [name for name, _value in build_scope(make_environ(**given))["headers"] if name != b"host"] == [b"x-mine"]


def test_empty_content_headers_are_left_out(make_environ: MakeEnviron) -> None:
    names = {name for name, _value in build_scope(make_environ())["headers"]}
    assert names == {b"host"}


def test_state_is_copied(make_environ: MakeEnviron) -> None:
    state = {"a": 1}
    scope = build_scope(make_environ(), state)
    scope["state"]["b"] = 2
    assert state == {"a": 1}


@pytest.mark.parametrize(
    "value, expected", [("", None), ("0", 0), ("10737418240", 10737418240), ("-1", None), ("1_0", None), ("x", None)]
)
def test_content_length(value: str, expected: int | None) -> None:
    assert content_length({"CONTENT_LENGTH": value}) == expected


@pytest.mark.parametrize("upgrade, expected", [("websocket", True), ("WebSocket", True), ("h2c", False), ("", False)])
def test_is_websocket(upgrade: str, expected: bool) -> None:
    assert is_websocket({"HTTP_UPGRADE": upgrade}) is expected


def test_headers_that_the_router_emptied_are_not_there(make_environ: MakeEnviron) -> None:
    given = {"HTTP_REMOTE_USER": "", "HTTP_X_FORWARDED_FOR": "", "HTTP_ACCEPT": "a"}
    names = [name for name, _value in build_scope(make_environ(UWSGI_ROUTER="http", **given))["headers"]]
    assert names == [b"host", b"accept"]
    # nginx leaves such headers out itself; what is empty there the client has sent.
    names = [name for name, _value in build_scope(make_environ(**given))["headers"]]
    assert b"remote-user" in names


@pytest.mark.parametrize(
    "length, encoding, router, expected",
    [
        ("5", "chunked", "http", True),
        ("5", None, "http", False),
        ("", "chunked", "http", False),
        # nginx has read it all, and counted.
        ("5", "chunked", "", False),
    ],
)
def test_is_ambiguous(
    make_environ: MakeEnviron, length: str, encoding: str | None, router: str, expected: bool
) -> None:
    environ = make_environ(CONTENT_LENGTH=length, UWSGI_ROUTER=router)
    if encoding:
        environ["HTTP_TRANSFER_ENCODING"] = encoding
    assert is_ambiguous(environ) is expected
