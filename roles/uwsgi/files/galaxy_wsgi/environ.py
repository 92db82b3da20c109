# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a WSGI environ to an ASGI scope, the one that Galaxy's own server would have made of the same request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

Environ = Mapping[str, Any]
Scope = MutableMapping[str, Any]

# What is between the client and the web server (an nginx with proxy_pass takes the same away), or told without HTTP_.
CONNECTION_HEADERS = ("CONNECTION", "EXPECT", "KEEP_ALIVE", "TE", "TRANSFER_ENCODING", "UPGRADE")
NOT_PASSED_ON = frozenset(f"HTTP_{name}" for name in (*CONNECTION_HEADERS, "CONTENT_TYPE", "CONTENT_LENGTH"))

# The characters that RFC 3986 allows in a path as they are.
PATH_SAFE = "/:@!$&'()*+,;=~-._"


def build_scope(environ: Environ, state: Mapping[str, Any] | None = None) -> Scope:
    """Return the ASGI ``http`` scope of a request."""
    path, raw_path = _path(environ)
    return {
        "type": "http",
        # 2.3 as uvicorn announces: from 2.4 on Starlette no longer watches for a client that goes away during a
        # stream, and a silent stream would keep its thread.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": _http_version(environ.get("SERVER_PROTOCOL", "HTTP/1.1")),
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": path,
        "raw_path": raw_path,
        # Galaxy mounts itself below galaxy_url_prefix, so it wants the whole path and no root_path.
        "root_path": "",
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": list(_headers(environ)),
        "client": (environ.get("REMOTE_ADDR", ""), _port(environ.get("REMOTE_PORT"))),
        "server": (environ.get("SERVER_NAME", ""), _port(environ.get("SERVER_PORT"))),
        "state": dict(state or {}),
        "extensions": {"http.response.pathsend": {}},
    }


def content_length(environ: Environ) -> int | None:
    """Return the length of the request's body, None if the request does not say."""
    value = environ.get("CONTENT_LENGTH") or ""
    return int(value) if value.isascii() and value.isdigit() else None


def is_websocket(environ: Environ) -> bool:
    """Tell whether the client asks to go on with WebSocket."""
    upgrade: str = environ.get("HTTP_UPGRADE", "")
    return upgrade.lower() == "websocket"


def is_direct(environ: Environ) -> bool:
    """Tell whether the request came through uWSGI's own HTTP router, and no nginx had a hand in it.

    No client can say so: its headers are variables that begin with HTTP_.
    """
    return environ.get("UWSGI_ROUTER") == "http"


def is_ambiguous(environ: Environ) -> bool:
    """Tell whether a request has its length twice: someone on the way may have taken it for two requests.

    nginx counts what came in pieces, and then it says both.
    """
    return is_direct(environ) and bool(environ.get("CONTENT_LENGTH")) and "HTTP_TRANSFER_ENCODING" in environ


def accepts_gzip(environ: Environ) -> bool:
    """Tell whether the client takes a compressed answer."""
    for item in environ.get("HTTP_ACCEPT_ENCODING", "").split(","):
        coding, _separator, parameters = item.partition(";")
        if coding.strip().lower() == "gzip":
            quality = parameters.replace(" ", "").lower().removeprefix("q=")
            return not parameters or quality.strip("0.") != ""
    return False


def request_header(environ: Environ, name: str) -> str:
    """Return a header of the request, "" if there is none."""
    value: str = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
    return value


def _path(environ: Environ) -> tuple[str, bytes]:
    """Return the decoded path and, as the client wrote it, the encoded one.

    PATH_INFO decides: it is what the web server matched its own rules against. REQUEST_URI alone knows which slashes
    were percent-encoded, and is used where it is another spelling of the same path.
    """
    raw = environ.get("REQUEST_URI", "").split("?", 1)[0].encode("latin-1")
    decoded = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    if not decoded:
        decoded = unquote_to_bytes(raw) or b"/"
    if unquote_to_bytes(raw) != decoded:
        raw = quote(decoded, safe=PATH_SAFE).encode("ascii")
    return decoded.decode("utf-8", "replace"), raw


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    direct = is_direct(environ)
    for key, value in environ.items():
        # The router has no way to take a header away. It empties those that clients may not send.
        if direct and not value:
            continue
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if value:
                yield _header_name(key), value.encode("latin-1")
        elif key.startswith("HTTP_") and key not in NOT_PASSED_ON:
            yield _header_name(key[5:]), value.encode("latin-1")


def _header_name(key: str) -> bytes:
    return key.replace("_", "-").lower().encode("latin-1")


def _http_version(protocol: str) -> str:
    version = protocol.rpartition("/")[2]
    return {"2.0": "2", "3.0": "3"}.get(version, version)


def _port(value: str | None) -> int:
    """Return a port number; 0 where there is none (a Unix socket, a web server that does not tell)."""
    return int(value) if value and value.isdigit() else 0
