# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx answers by itself, and what it lets through."""

from __future__ import annotations

import re

import pytest
import requests
from support import Galaxy, Machine, Student

# Every place that nginx maps: what is served from there, and a header that tells that nginx sent it.
MAPPED = [
    ("/static/dist/base.css", "text/css"),
    ("/static/dist/analysis.bundled.js", "javascript"),
    ("/static/favicon.svg", "image/svg"),
    ("/static/welcome.html", "text/html"),
    ("/favicon.ico", "image/"),
    ("/robots.txt", "text/plain"),
]


def test_the_first_page_is_galaxys(galaxy: Galaxy) -> None:
    answer = galaxy.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<title>" in answer.text
    assert "Galaxy" in answer.text


@pytest.mark.parametrize("path,content_type", MAPPED)
def test_a_static_file_comes_from_nginx(galaxy: Galaxy, path: str, content_type: str) -> None:
    answer = galaxy.get(path)
    assert answer.status_code == 200
    assert content_type in answer.headers["content-type"]
    assert answer.content
    # Galaxy marks each of its own answers.
    assert "x-request-id" not in answer.headers
    assert answer.headers["server"] == "nginx"


def test_everything_that_the_first_page_names_is_there(galaxy: Galaxy) -> None:
    names = set(re.findall(r"""(?:src|href)="(/(?:static|favicon)[^"]*)""", galaxy.get("/").text))
    assert len(names) >= 3
    wrong = {name: code for name in sorted(names) if (code := galaxy.get(name).status_code) != 200}
    assert wrong == {}


def test_text_is_compressed_and_the_rest_cached(galaxy: Galaxy) -> None:
    script = galaxy.get("/static/dist/analysis.bundled.js")
    assert script.headers["content-encoding"] == "gzip"
    # By whoever built the release: of what nginx compresses itself, it cannot tell the length beforehand.
    assert "content-length" in script.headers
    assert "max-age" in script.headers["cache-control"]
    assert "max-age" in galaxy.get("/favicon.ico").headers["cache-control"]
    assert "max-age" not in galaxy.get("/api/version").headers.get("cache-control", "")


def test_no_file_beside_the_static_ones_is_served(galaxy: Galaxy) -> None:
    for path in (
        "/static../venv/pyvenv.cfg",
        "/static/../../config/galaxy.ini",
        "/static/%2e%2e/%2e%2e/config/galaxy.ini",
    ):
        session = requests.Session()
        request = requests.Request("GET", galaxy.url + path).prepare()
        request.url = galaxy.url + path  # as it is, without the dots resolved
        answer = session.send(request, timeout=60)
        assert answer.status_code in {400, 403, 404}, path
        assert "id_secret" not in answer.text


@pytest.mark.parametrize("length", [5_000, 12_000])
def test_long_headers_are_let_through(galaxy: Galaxy, length: int) -> None:
    answer = galaxy.get("/api/version", headers={"X-Long": "a" * length})
    assert answer.status_code == 200


def test_a_long_url_is_let_through(galaxy: Galaxy) -> None:
    assert galaxy.get("/api/version?x=" + "a" * 5_500).status_code == 200


def test_a_url_that_is_too_long_is_refused_as_such(galaxy: Galaxy) -> None:
    assert {galaxy.get("/api/version?x=" + "a" * length).status_code for length in (7_000, 9_000, 13_000)} == {414}


def test_headers_that_are_too_long_are_refused_as_such(galaxy: Galaxy) -> None:
    """By nginx, which says so; not by uWSGI, which would hang up."""
    answer = galaxy.get("/api/version", headers={"X-Long": "a" * 100_000})
    assert answer.status_code in {400, 431, 494}


def test_the_time_outs_of_nginx_and_uwsgi_agree(machine: Machine) -> None:
    site = machine.run("cat /etc/nginx/galaxy/galaxy/galaxy.conf")
    seconds = set(re.findall(r"uwsgi_(?:read|send)_timeout (\d+)s;", site))
    assert seconds == {machine.uwsgi_option("socket-timeout")}


@pytest.mark.parametrize("host", ["galaxy.example.org", "galaxy.example.org:8080", "[2001:db8::1]", "[2001:db8::1]:81"])
def test_links_lead_to_where_people_are(galaxy: Galaxy, student: Student, host: str) -> None:
    """With the port, without which the client's uploads go elsewhere."""
    answer = student.session.post(
        f"{galaxy.url}/api/upload/resumable_upload/",
        headers={"Host": host, "Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": "filename eA=="},
        timeout=60,
    )
    assert answer.status_code == 201
    assert answer.headers["location"].startswith(f"http://{host}/api/upload/resumable_upload/")
