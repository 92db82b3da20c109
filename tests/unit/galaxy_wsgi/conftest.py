# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a WSGI server."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Answer:
    """What a client would have got."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def code(self) -> int:
        return int(self.status.split()[0]) if self.status else 0

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


def make_environ(method: str = "GET", path: str = "/", body: Any = b"", **extra: str) -> dict[str, Any]:
    """Return the environ that uWSGI makes of a request."""
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": path,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "galaxy.example.org",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "galaxy.example.org",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": str(len(body)) if isinstance(body, bytes) and body else "",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
    }
    environ.update(extra)
    return environ


@pytest.fixture(name="make_environ")
def make_environ_fixture() -> Callable[..., dict[str, Any]]:
    """Make the environ of a request."""
    return make_environ


@pytest.fixture
def call() -> Callable[..., Answer]:
    """Send a request through a WSGI application."""

    def send(app: Any, *args: Any, write: Callable[[bytes], None] | None = None, **kwargs: Any) -> Answer:
        answer = Answer()

        def start_response(status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], None]:
            assert not answer.status, "start_response was called twice"
            answer.status, answer.headers = status, headers

            def keep(chunk: bytes) -> None:
                assert isinstance(chunk, bytes)
                if write:
                    write(chunk)
                answer.chunks.append(chunk)

            return keep

        answer.chunks.extend(app(make_environ(*args, **kwargs), start_response))
        return answer

    return send
