# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request gets of a file, and that it is sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from galaxy_wsgi import files
from galaxy_wsgi.bridge import Bridge
from starlette.responses import FileResponse

SIZE = 1000
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
ETAG = '"one"'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of an old date."""
    path = tmp_path / "data"
    path.write_bytes(os.urandom(SIZE))
    os.utime(path, (784111777, 784111777))
    return path


# The request's headers, and what comes of them: status, offset, length.
REQUESTS: dict[str, tuple[dict[str, str], int, int, int]] = {
    "nothing special": ({}, 200, 0, SIZE),
    "beginning": ({"range": "bytes=0-99"}, 206, 0, 100),
    "one byte": ({"range": "bytes=999-999"}, 206, 999, 1),
    "from the middle": ({"range": "bytes=500-"}, 206, 500, 500),
    "end": ({"range": "bytes=-10"}, 206, 990, 10),
    "more than there is from the end": ({"range": "bytes=-5000"}, 206, 0, SIZE),
    "over the end": ({"range": "bytes=990-5000"}, 206, 990, 10),
    "other spelling": ({"range": "Bytes= 1 - 2 "}, 206, 1, 2),
    "after the end": ({"range": "bytes=1000-"}, 416, 0, 0),
    "no bytes of the end": ({"range": "bytes=-0"}, 416, 0, 0),
    "backwards": ({"range": "bytes=5-1"}, 200, 0, SIZE),
    "several": ({"range": "bytes=0-1,5-6"}, 200, 0, SIZE),
    "other unit": ({"range": "lines=0-1"}, 200, 0, SIZE),
    "no numbers": ({"range": "bytes=-"}, 200, 0, SIZE),
    "range of this file": ({"range": "bytes=0-9", "if-range": ETAG}, 206, 0, 10),
    "range of this date": ({"range": "bytes=0-9", "if-range": MODIFIED}, 206, 0, 10),
    "range of another file": ({"range": "bytes=0-9", "if-range": '"two"'}, 200, 0, SIZE),
    "range of a weak tag": ({"range": "bytes=0-9", "if-range": f"W/{ETAG}"}, 200, 0, SIZE),
    "range of another date": ({"range": "bytes=0-9", "if-range": LATER}, 200, 0, SIZE),
    "known": ({"if-none-match": ETAG}, 304, 0, 0),
    "known among others": ({"if-none-match": f'"two", W/{ETAG}'}, 304, 0, 0),
    "anything known": ({"if-none-match": "*"}, 304, 0, 0),
    "other known": ({"if-none-match": '"two"'}, 200, 0, SIZE),
    "the tag counts, and not the date": ({"if-none-match": '"two"', "if-modified-since": LATER}, 200, 0, SIZE),
    "not modified": ({"if-modified-since": MODIFIED}, 304, 0, 0),
    "modified": ({"if-modified-since": EARLIER}, 200, 0, SIZE),
    "no date": ({"if-modified-since": "yesterday"}, 200, 0, SIZE),
    "known, and a range": ({"if-none-match": ETAG, "range": "bytes=0-9"}, 304, 0, 0),
    "wanted": ({"if-match": f'"two", {ETAG}'}, 200, 0, SIZE),
    "any wanted": ({"if-match": "*"}, 200, 0, SIZE),
    "other wanted": ({"if-match": '"two"'}, 412, 0, 0),
    "unmodified": ({"if-unmodified-since": MODIFIED}, 200, 0, SIZE),
    "modified since": ({"if-unmodified-since": EARLIER}, 412, 0, 0),
    "unmodified since no date": ({"if-unmodified-since": "yesterday"}, 200, 0, SIZE),
}


@pytest.mark.parametrize(
    "request_headers, status, offset, count",
    [pytest.param(*values, id=name) for name, values in REQUESTS.items()],
)
def test_reply(path: Path, request_headers: dict[str, str], status: int, offset: int, count: int) -> None:
    headers = [("content-type", "text/plain"), ("ETag", ETAG), ("content-length", "0"), ("x-a", "b")]
    answer = files.reply("GET", lambda name: request_headers.get(name, ""), 200, headers, path.stat())
    given = dict(answer.headers)
    assert (answer.status, answer.offset, answer.count) == (status, offset, count)
    assert given.get("content-length") == (None if status == 304 else str(count))
    assert given.get("content-range") == {
        206: f"bytes {offset}-{offset + count - 1}/{SIZE}",
        416: f"bytes */{SIZE}",
    }.get(status)
    if status in (200, 206, 304):
        assert (given["etag"], given["last-modified"], given["x-a"]) == (ETAG, MODIFIED, "b")


@pytest.mark.parametrize("method, status", [("POST", 200), ("GET", 404), ("HEAD", 200)])
def test_no_range_of_other_answers(path: Path, method: str, status: int) -> None:
    answer = files.reply(method, {"range": "bytes=0-1"}.get, status, [], path.stat())  # type: ignore[arg-type]
    assert (answer.status, answer.count) == (status, SIZE)


def test_tag_follows_the_file(path: Path) -> None:
    def tag() -> str:
        return dict(files.reply("GET", lambda _name: "", 200, [], path.stat()).headers)["etag"]

    before = tag()
    assert tag() == before
    path.write_bytes(b"other")
    assert tag() != before


def test_find(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "mount").symlink_to("objects")
    (tmp_path / "objects-too").mkdir()
    (tmp_path / "secret").write_text("")
    (tmp_path / "objects" / "link").symlink_to(tmp_path / "secret")
    allowed = [str(tmp_path / "mount")]
    assert files.find(str(tmp_path / "mount" / "a"), allowed) == str(tmp_path / "objects" / "a")
    assert files.find(str(tmp_path / "objects" / "a"), allowed) == str(tmp_path / "objects" / "a")
    for path in ("objects/link", "objects/../secret", "secret", "objects-too/a", "objects", "mount"):
        assert files.find(str(tmp_path / path), allowed) is None, path


# --- In the bridge, without uWSGI ---


def naming(path: Path, status: int = 200) -> Callable[..., Any]:
    """Return an application that names a file, as Galaxy does."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"x-sendfile", str(path).encode()), (b"content-length", b"0"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return app


def test_named_file_is_sent(call: Callable[..., Any], path: Path) -> None:
    bridge = Bridge(naming(path), file_directories=[str(path.parent)])
    answer = call(bridge)
    assert (answer.code, answer.body) == (200, path.read_bytes())
    assert answer.header("x-sendfile") is None
    assert answer.header("content-length") == str(SIZE)
    answer = call(bridge, HTTP_RANGE="bytes=10-19")
    assert (answer.code, answer.body) == (206, path.read_bytes()[10:20])
    answer = call(bridge, "HEAD")
    assert (answer.code, answer.body, answer.header("content-length")) == (200, b"", str(SIZE))


def test_other_file_is_not_sent(call: Callable[..., Any], path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answer = call(Bridge(naming(path), file_directories=[str(path.parent / "objects")]))
    assert (answer.code, answer.body) == (404, b"Not Found\n")
    assert str(path) in caplog.text
    assert call(Bridge(naming(path))).code == 404


def test_missing_file(call: Callable[..., Any], path: Path) -> None:
    assert call(Bridge(naming(path / "no"), file_directories=[str(path)])).code == 500


def test_path_that_the_application_sends(call: Callable[..., Any], path: Path) -> None:
    answer = call(Bridge(FileResponse(path)))
    assert (answer.code, answer.body) == (200, path.read_bytes())


# --- Compression ---


@pytest.mark.parametrize(
    "accept, body, media, router, compressed",
    [
        ("gzip, br", b"x" * 1000, b"application/json", "http", True),
        ("br;q=1, gzip;q=0.5", b"x" * 1000, b"text/html; charset=utf-8", "http", True),
        ("gzip;q=0", b"x" * 1000, b"application/json", "http", False),
        ("", b"x" * 1000, b"application/json", "http", False),
        ("gzip", b"x" * 999, b"application/json", "http", False),
        ("gzip", b"x" * 1000, b"image/png", "http", False),
        # nginx does it.
        ("gzip", b"x" * 1000, b"application/json", "", False),
    ],
)
def test_compression(
    call: Callable[..., Any], accept: str, body: bytes, media: bytes, router: str, compressed: bool
) -> None:
    import gzip

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", media), (b"content-length", b"%d" % len(body)), (b"etag", b'"one"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    answer = call(Bridge(app), HTTP_ACCEPT_ENCODING=accept, UWSGI_ROUTER=router)
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("content-encoding") == ("gzip" if compressed else None)
    assert answer.header("etag") == ('W/"one"' if compressed else '"one"')
    assert (gzip.decompress(answer.body) if compressed else answer.body) == body


# --- The sender ---


def transfer(sender: files.Sender, path: Path, offset: int, count: int) -> socket.socket:
    ours, theirs = socket.socketpair()
    sender.send(ours, path.open("rb"), offset, count)
    theirs.settimeout(10)
    return theirs


def read(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_many_at_once(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3_000_000))
    sender = files.Sender()
    # These do not read yet, and the others get theirs all the same.
    slow = [transfer(sender, path, number, 2_000_000) for number in range(50)]
    assert read(transfer(sender, path, 7, 123_457)) == path.read_bytes()[7 : 7 + 123_457]
    assert not sender.finish(0.1)
    for number, connection in enumerate(slow):
        assert read(connection) == path.read_bytes()[number : number + 2_000_000]
    assert sender.finish(5)


def test_who_left_or_stands_still_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(3_000_000))
    sender = files.Sender(patience=1)
    transfer(sender, path, 0, 3_000_000).close()
    still = transfer(sender, path, 0, 3_000_000)
    begin = time.monotonic()
    assert sender.finish(10)
    assert 1 <= time.monotonic() - begin < 5
    assert len(read(still)) < 3_000_000


def test_file_that_became_shorter(path: Path) -> None:
    sender = files.Sender()
    assert len(read(transfer(sender, path, 500, SIZE))) == 500
    assert sender.finish(5)


def test_nothing_to_finish() -> None:
    assert files.Sender().finish(0)


def test_one_that_cannot_be_sent_does_not_stop_the_others(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = files.Sender()
    ours, _theirs = socket.socketpair()
    ours.close()
    sender.send(ours, path.open("rb"), 0, SIZE)
    assert read(transfer(sender, path, 0, SIZE)) == path.read_bytes()
    assert sender.finish(5)
    assert "Cannot send" in caplog.text
