# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application sees of a request."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from compared import HOST, Alike, Server

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATHS = {
    "plain": "/probe/echo",
    "encoded slash": "/probe/echo/a%2Fb",
    "space and plus": "/probe/echo/a%20b+c",
    "utf-8": "/probe/echo/gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC",
    "not utf-8": "/probe/echo/%FF%FE",
    "two slashes": "/probe/echo//a//b",
    "percent": "/probe/echo/100%25",
    "signs": "/probe/echo/a:b@c!d$e'f(g)h*i;j=k",
    "query": "/probe/echo?a=1&a=2&b=&c=%C3%BC&d=x+y&e",
    "a question mark in the query": "/probe/echo?a=b?c=d&e=%26",
    "a slash at the end": "/probe/echo/",
}


@pytest.mark.parametrize("method", METHODS)
def test_method(alike: Alike, method: str) -> None:
    answer = alike(lambda server: server.ask(method, "/probe/echo", data=b"body" if method[0] == "P" else None))
    assert answer["status"] == 200
    if method != "HEAD":
        assert answer["body"]["method"] == method
        assert answer["body"]["size"] == (4 if method[0] == "P" else 0)


def test_method_that_is_none(alike: Alike) -> None:
    # What no route of FastAPI's takes, Galaxy's older pages do not know either.
    assert alike(lambda server: server.ask("BREW", "/probe/echo"))["status"] == 404


@pytest.mark.parametrize("name", PATHS)
def test_path(alike: Alike, name: str) -> None:
    def ask(server: Server) -> bytes:
        return server.raw(f"GET {PATHS[name]} HTTP/1.1").partition(b"\r\n\r\n")[2]

    assert alike(ask)


def test_path_with_dots(alike: Alike) -> None:
    def ask(server: Server) -> object:
        return json.loads(server.raw("GET /probe/echo/a/./b/../c HTTP/1.1").partition(b"\r\n\r\n")[2])["path"]

    answers = alike.differs(ask, "uWSGI gets the path that nginx matched its rules against")
    assert answers == {"gunicorn": "/probe/echo/a/./b/../c", "uwsgi": "/probe/echo/a/c"}


@pytest.mark.parametrize("path", ["/probe/json/", "/probe/headers/", "/api/version/"])
def test_slash_at_the_end(alike: Alike, path: str) -> None:
    assert alike(lambda server: server.get(path))["status"] < 500


def test_headers(alike: Alike) -> None:
    lines = [
        "x-simple: 1",
        "X-Mixed-Case: Yes",
        "x-empty:",
        "x-latin: Gr\xfc\xdfe",
        "x-spaces:   a  b  ",
        "accept: */*",
    ]

    def ask(server: Server) -> bytes:
        headers = "\n".join([*lines, "connection: close"])
        return server.raw("GET /probe/echo HTTP/1.1", headers=headers).partition(b"\r\n\r\n")[2]

    assert b"a  b" in alike(ask)


def repeated(server: Server, name: str, *values: str) -> str:
    """Return what comes of a header that is sent several times. One line or several are the same, says RFC 9110."""
    lines = "\n".join([*(f"{name}: {value}" for value in values), "connection: close"])
    answer = json.loads(server.raw("GET /probe/echo HTTP/1.1", headers=lines).partition(b"\r\n\r\n")[2])
    return ("; " if name == "cookie" else ", ").join(value for key, value in answer["headers"] if key == name)


def test_repeated_cookies(alike: Alike) -> None:
    assert alike(lambda server: repeated(server, "cookie", "a=1", "b=2; c=3")) == "a=1; b=2; c=3"


def test_repeated_headers(alike: Alike) -> None:
    answers = alike.differs(
        lambda server: repeated(server, "accept", "a/b", "c/d"),
        "nginx before 1.23 does not put them together for uWSGI",
    )
    assert answers == {"gunicorn": "a/b, c/d", "uwsgi": "c/d"}


def test_forwarded(alike: Alike) -> None:
    forged = {
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "evil.example.org",
        "remote_user": "someone",
        "remote-user": "someone",
        "gx-secret": "guess",
    }
    answer = alike(lambda server: server.get("/probe/echo", headers=forged))
    seen = dict(answer["body"]["headers"])
    assert "192.0.2.1" not in seen.values()
    assert not {"remote-user", "gx-secret", "x-forwarded-host"} & {name for name, value in seen.items() if value}
    assert answer["body"]["scheme"] == "http"
    assert answer["body"]["url"].startswith(f"http://{HOST}/")


def test_host_with_a_port(alike: Alike) -> None:
    answer = alike(lambda server: server.get("/probe/echo", headers={"host": f"{HOST}:8080"}))
    assert answer["body"]["base_url"] == f"http://{HOST}:8080/"


def test_cookies(alike: Alike) -> None:
    answer = alike(lambda server: server.get("/probe/echo", headers={"cookie": 'a=1; b="two words"; c=%C3%BC; a=3'}))
    assert answer["body"]["cookies"]["c"] == "%C3%BC"


# --- Bodies ----------------------------------------------------------------------------------------


def test_json(alike: Alike) -> None:
    answer = alike(lambda server: server.post("/probe/json", json={"name": "Grüße 日本", "number": 7}))
    assert answer["body"] == {"name": "Grüße 日本", "number": 7}


@pytest.mark.parametrize("body", [b"", b"{", b'{"name": 1}', b"\xff\xfe"], ids=["empty", "broken", "wrong", "binary"])
def test_json_that_is_none(alike: Alike, body: bytes) -> None:
    answer = alike(lambda server: server.post("/probe/json", data=body, headers={"content-type": "application/json"}))
    assert answer["status"] == 400


def test_form(alike: Alike) -> None:
    answer = alike(lambda server: server.post("/probe/form", data={"name": "Grüße & mehr", "number": [1, 2]}))
    assert answer["body"] == {"name": "Grüße & mehr", "number": [1, 2]}


def test_multipart_upload(alike: Alike) -> None:
    content = os.urandom(3_000_000)
    files = [
        ("files", ("small.txt", b"small", "text/plain")),
        ("files", ("grüße.bin", content, "application/octet-stream")),
        ("files", ("empty", b"", "text/plain")),
    ]
    answer = alike(lambda server: server.post("/probe/upload", data={"name": "three"}, files=files))
    assert [file[2] for file in answer["body"]["files"]] == [5, 3_000_000, 0]
    assert answer["body"]["files"][1][3] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 1_000_001])
def test_body(alike: Alike, size: int) -> None:
    content = os.urandom(size)
    answer = alike(lambda server: server.post("/probe/sink", data=content))
    assert answer["body"] == {"size": size, "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("sizes", [[], [1], [5, 0, 7], [100_000, 3, 65_536]], ids=str)
def test_chunked_body(alike: Alike, sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes) if size]
    answer = alike(lambda server: server.post("/probe/sink", data=iter(pieces)))
    assert answer["body"]["size"] == sum(sizes)


def test_chunked_body_with_extensions(alike: Alike) -> None:
    def ask(server: Server) -> bytes:
        body = b"5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
        headers = "transfer-encoding: chunked\nconnection: close"
        return server.raw("POST /probe/sink HTTP/1.1", headers=headers, body=body).partition(b"\r\n\r\n")[2]

    assert b'"size":5' in alike(ask)


def test_body_that_nobody_reads(alike: Alike) -> None:
    answer = alike(lambda server: server.post("/probe/refuse", data=b"x" * 5_000_000))
    assert (answer["status"], answer["body"]) == (422, {"refused": True})


def test_expecting_to_be_told_to_continue(alike: Alike) -> None:
    def ask(server: Server) -> tuple[bytes, bytes]:
        headers = "expect: 100-continue\ncontent-length: 5\nconnection: close"
        with server.connection("POST /probe/sink HTTP/1.1", headers=headers) as connection:
            told = connection.recv(1000)
            connection.sendall(b"hello")
            answer = b""
            while part := connection.recv(1000):
                answer += part
        return told, answer.partition(b"\r\n\r\n")[2]

    told, answer = alike(ask)
    assert told.startswith(b"HTTP/1.1 100 ")
    assert b'"size":5' in answer


def test_two_requests_on_one_connection(alike: Alike) -> None:
    request = f"GET /probe/status/200 HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()

    def ask(server: Server) -> tuple[int, int]:
        last = f"GET /probe/status/404 HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode()
        answer = server.raw("GET /probe/status/200 HTTP/1.1", headers="", body=request + last)
        return answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 404")

    assert alike(ask) == (2, 1)
