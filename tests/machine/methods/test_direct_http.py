# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI without nginx: static files, downloads that keep no thread, uploads, and what clients say."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from requests_toolbelt import MultipartEncoder
from support import KEPT_TEXT, ROOT, START, Dataset, Galaxy, Machine, Student, wait_for
from uwsgi_cases import read_cases

# The one case that has no nginx.
pytestmark = pytest.mark.parametrize(
    "deployed",
    [case for case in read_cases() if case.name == "direct_http"],
    indirect=True,
    ids=lambda case: case.name,
    scope="session",
)

MEGABYTE = 1 << 20
LARGE = 300 * MEGABYTE
PATTERN = hashlib.shake_256(b"galaxy").digest(MEGABYTE)


@pytest.fixture(autouse=True)
def on_the_machine(deployed: object) -> None:
    """Have the case provisioned."""


def raw(galaxy: Galaxy, request: str, body: bytes = b"", seconds: float = 60) -> bytes:
    """Send a request as it stands, and return everything that comes until the connection closes."""
    parts = urlsplit(galaxy.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- Who listens -------------------------------------------------------------------------------------


def test_nothing_of_nginx_is_left(machine: Machine) -> None:
    assert not machine.succeeds("test -e /etc/nginx/sites-enabled/galaxy")
    assert "uWSGI" in machine.run("tail -n 50 %s", f"{ROOT}/log/http.log")
    assert machine.programs()["http"] == "RUNNING"


def test_its_socket_is_not_for_everybody(machine: Machine) -> None:
    path = f"{ROOT}/run/uwsgi.sock"
    assert machine.run("stat --format '%%a %%U %%G' %s", path) == "660 galaxy galaxy"
    assert machine.may("www-data", "w", path)
    assert not machine.may("nobody", "w", path)


# --- Static files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/static/dist/base.css", "text/css"),
        ("/static/dist/analysis.bundled.js", "text/javascript"),
        ("/static/favicon.svg", "image/svg+xml"),
    ],
)
def test_static_files_are_compressed(galaxy: Galaxy, path: str, kind: str) -> None:
    plain = galaxy.get(path, headers={"Accept-Encoding": "identity"})
    packed = galaxy.get(path, headers={"Accept-Encoding": "gzip"}, stream=True)
    data = packed.raw.read(decode_content=False)
    assert (plain.status_code, packed.status_code) == (200, 200)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(data) < len(plain.content)
    assert gzip.decompress(data) == plain.content
    assert plain.headers["content-type"] == packed.headers["content-type"] == kind
    assert "expires" in plain.headers
    again = galaxy.get(path, headers={"If-Modified-Since": plain.headers["last-modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_answers_are_compressed(galaxy: Galaxy) -> None:
    answer = galaxy.get("/api/configuration", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == galaxy.get("/api/configuration", headers={"Accept-Encoding": "identity"}).json()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../release.json",
        "/static/..%2frelease.json",
        "/static/%2e%2e/%2e%2e/%2e%2e/config/galaxy.ini",
        "/static/dist/../../../../data/objects",
        "/favicon.ico/../../../config/galaxy.ini",
        "//srv/galaxy/config/galaxy.ini",
        f"{ROOT}/config/galaxy.ini",
        f"/_x_accel_redirect{ROOT}/config/galaxy.ini",
    ],
)
def test_nothing_else_is_served(galaxy: Galaxy, path: str) -> None:
    answer = raw(galaxy, f"GET {path} HTTP/1.1\nHost: localhost\n\n")
    assert answer.split()[1] in (b"404", b"400"), answer[:300]
    assert b"id_secret" not in answer
    assert b'"packages"' not in answer


def test_datasets_are_below_nothing_that_is_mapped(machine: Machine, student: Student, kept: Dataset) -> None:
    """Not one directory that uWSGI maps has a way to Galaxy's data or configuration."""
    lines = machine.run("grep -E '^ *static-map' %s", f"{ROOT}/config/galaxy.ini").splitlines()
    targets = [line.split("=", 2)[2].strip() for line in lines]
    assert len(targets) >= 5
    for target in targets:
        real = machine.run("readlink -f %s", target)
        assert real.startswith((f"{ROOT}/releases/", f"{ROOT}/server/")), target
        assert machine.run("find -L %s -maxdepth 6 -name '*.dat' -o -maxdepth 6 -name galaxy.ini", real) == ""


# --- Downloads ---------------------------------------------------------------------------------------


class Block:
    """A large body that is made while it is sent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0

    @property
    def len(self) -> int:
        return self.size - self.sent

    def read(self, size: int = -1) -> bytes:
        offset = self.sent % MEGABYTE
        end = MEGABYTE if size < 0 else offset + size
        data = PATTERN[offset : min(end, offset + self.len)]
        self.sent += len(data)
        return data


@pytest.fixture(scope="module")
def large(student: Student) -> Iterator[Dataset]:
    """Uploaded in one request, as a script sends it."""
    target = {"destination": {"type": "hdas"}, "elements": [{"src": "files", "ext": "data"}]}
    form = MultipartEncoder(
        {
            "history_id": student.history("Large"),
            "targets": json.dumps([target]),
            "auto_decompress": "false",
            "files_0|file_data": ("large.bin", Block(LARGE), "application/octet-stream"),
        }
    )
    answer = student.api("POST", "tools/fetch", data=form, headers={"Content-Type": form.content_type})
    dataset = student.finished(answer["outputs"][0]["id"])
    assert (dataset.state, dataset.size) == ("ok", LARGE)
    yield dataset
    student.session.delete(f"{student.galaxy.url}/api/datasets/{dataset.id}?purge=true", timeout=60)


def slow_reader(student: Student, dataset: Dataset, **headers: str) -> http.client.HTTPResponse:
    """Begin a download and read a single byte of it."""
    parts = urlsplit(student.galaxy.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    key = {"x-api-key": str(student.session.headers["x-api-key"])}
    connection.request("GET", f"/api/datasets/{dataset.id}/display?to_ext=data", headers={**key, **headers})
    response = connection.getresponse()
    assert response.status in (200, 206)
    assert len(response.read(1)) == 1
    return response


def test_download(student: Student, large: Dataset) -> None:
    with student.download(large, stream=True) as answer:
        assert "x-sendfile" not in answer.headers
        assert "x-accel-redirect" not in answer.headers
        assert int(answer.headers["content-length"]) == LARGE
        blocks = list(answer.iter_content(MEGABYTE))
    assert len(blocks) == LARGE // MEGABYTE
    assert set(blocks) == {PATTERN}


def test_conditions_and_ranges(student: Student, kept: Dataset) -> None:
    def ask(method: str = "GET", **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return student.session.request(
            method, f"{student.galaxy.url}/api/datasets/{kept.id}/display?to_ext=data", headers=names, timeout=60
        )

    size = len(KEPT_TEXT)
    whole = ask()
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    assert whole.text == KEPT_TEXT
    assert ask("HEAD").headers["content-length"] == str(size)
    assert ask("HEAD").content == b""
    for condition in ({"If_None_Match": etag}, {"If_Modified_Since": modified}):
        answer = ask(**condition)
        assert (answer.status_code, answer.content) == (304, b"")
    for header, begin, end in (("bytes=0-0", 0, 1), ("bytes=100-299", 100, 300), ("bytes=-50", size - 50, size)):
        answer = ask(Range=header)
        assert (answer.status_code, answer.text) == (206, KEPT_TEXT[begin:end])
        assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
    assert ask(Range=f"bytes={size}-").status_code == 416
    assert ask(Range="bytes=0-9", If_Range=etag).status_code == 206
    assert ask(Range="bytes=0-9", If_Range='"other"').text == KEPT_TEXT


def test_a_range_is_exact(student: Student, large: Dataset) -> None:
    """Until the connection closes, there is not one byte more than was asked for."""
    key = student.session.headers["x-api-key"]
    answer = raw(
        student.galaxy,
        f"GET /api/datasets/{large.id}/display?to_ext=data HTTP/1.1\nHost: a\nx-api-key: {key!s}\n"
        f"Range: bytes=5-{5 + MEGABYTE}\n\n",
    )
    head, _separator, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206")
    assert body == (PATTERN + PATTERN)[5 : 6 + MEGABYTE]


def test_slow_downloads_keep_no_thread(machine: Machine, student: Student, large: Dataset) -> None:
    """There are twice as many slow readers as there are threads, and the others are answered as if there were none."""
    workers = machine.workers().values()
    threads = sum(len(worker["cores"]) for worker in workers)
    begin = time.monotonic()
    for _round in range(10):
        assert student.galaxy.get("/api/version").status_code == 200
    alone = time.monotonic() - begin
    readers = [
        slow_reader(student, large, **({"Range": "bytes=1000-"} if number % 2 else {}))
        for number in range(threads * 10)
    ]
    busy = sum(core["in_request"] for worker in machine.workers().values() for core in worker["cores"])
    assert busy == 0
    begin = time.monotonic()
    for _round in range(10):
        assert student.galaxy.get("/api/version").status_code == 200
    assert time.monotonic() - begin < 2 * alone + 1
    assert len(readers[0].read(10 * MEGABYTE)) == 10 * MEGABYTE
    for response in readers:
        response.close()


def test_downloads_outlive_a_reload(machine: Machine, student: Student, large: Dataset) -> None:
    """The router is none of the processes that are reloaded, and a worker lets what it sends come to its end."""
    pids = set(machine.workers())
    response = slow_reader(student, large)
    machine.run("supervisorctl signal HUP gx:galaxy")
    wait_for("others have taken over", lambda: not pids & set(machine.workers()), START)
    rest = response.read()
    assert len(rest) == LARGE - 1
    assert student.galaxy.get("/api/version").status_code == 200


# --- Uploads -----------------------------------------------------------------------------------------


def test_upload_that_asks_first(student: Student) -> None:
    body = json.dumps({"name": "Asked"}).encode()
    answer = raw(
        student.galaxy,
        f"POST /api/histories HTTP/1.1\nHost: a\nx-api-key: {student.session.headers['x-api-key']!s}\n"
        f"Content-Type: application/json\nContent-Length: {len(body)}\nExpect: 100-continue\n\n",
        body,
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


# --- What clients say ----------------------------------------------------------------------------------


def test_what_proxies_say_is_not_believed_of_clients(galaxy: Galaxy, machine: Machine) -> None:
    said = {
        "X-Forwarded-Host": "evil.example.org",
        "X_Forwarded_Host": "evil.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "192.0.2.66",
        "X-Url-Scheme": "https",
        "Remote-User": "admin@example.org",
        "Remote_User": "admin@example.org",
    }
    lines = "".join(f"{name}: {value}\n" for name, value in said.items())
    answer = raw(galaxy, f"GET /login/start HTTP/1.1\nHost: galaxy.example.org:8080\n{lines}\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"evil.example.org" not in answer
    assert b"https://galaxy.example.org" not in answer
    assert "192.0.2.66" not in machine.run("tail -n 20 %s", f"{ROOT}/log/uwsgi.log")
    # Links are made from where people look.
    redirect = raw(galaxy, f"GET /api HTTP/1.1\nHost: galaxy.example.org:8080\n{lines}\n")
    assert b"evil.example.org" not in redirect


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent_Length: 5",
    ],
)
def test_two_lengths_are_refused(galaxy: Galaxy, head: str) -> None:
    smuggled = b"0\r\n\r\nGET /api/version HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = raw(galaxy, f"POST /api/version HTTP/1.1\nHost: a\n{head}\n\n", smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_one_request_for_each_connection(galaxy: Galaxy) -> None:
    request = "GET /api/version HTTP/1.1\nHost: a\n\n"
    answer = raw(galaxy, request * 2)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


def test_who_says_nothing_keeps_no_thread(galaxy: Galaxy) -> None:
    parts = urlsplit(galaxy.url)
    silent = [socket.create_connection((parts.hostname, parts.port)) for _round in range(50)]
    for connection in silent[::2]:
        connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: a\r\n")
    begin = time.monotonic()
    assert galaxy.get("/api/version").status_code == 200
    assert time.monotonic() - begin < 5
    for connection in silent:
        connection.close()


def test_a_long_url_is_no_way_out(galaxy: Galaxy, machine: Machine) -> None:
    """A header of 20 KB passes. One that is too long is hung up on, and nothing else happens."""
    pids = set(machine.workers())
    assert galaxy.get("/api/version", headers={"X-Long": "x" * 20_000}).status_code == 200
    with pytest.raises(requests.ConnectionError):
        galaxy.get("/api/version?" + "x" * 70_000)
    assert galaxy.get("/api/version").status_code == 200
    assert set(machine.workers()) == pids
    assert machine.programs()["http"] == "RUNNING"
