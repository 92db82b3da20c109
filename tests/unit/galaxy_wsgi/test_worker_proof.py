# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker's proof that the application answers."""

from __future__ import annotations

import pytest
from galaxy_wsgi.proof import prove
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def application(prefix: str, histories: int, asked: list[str]) -> Starlette:
    def version(request: Request) -> Response:
        asked.append(request.url.path)
        return JSONResponse({"state": request.state.name})

    def published(request: Request) -> Response:
        asked.append(f"{request.url.path}?{request.url.query}")
        if histories == 0:
            raise LookupError("no database")
        return JSONResponse([], histories)

    async def through(request: Request, call: object) -> Response:
        return await call(request)  # type: ignore[operator, no-any-return]

    return Starlette(
        routes=[Route(f"{prefix}/api/version", version), Route(f"{prefix}/api/histories/published", published)],
        # As Galaxy has some: it waits for the client to go.
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=through)],
    )


@pytest.mark.parametrize("given, prefix", [("/", ""), ("/galaxy", "/galaxy")])
@pytest.mark.parametrize("status", [200, 403])
def test_it_is_asked_twice(given: str, prefix: str, status: int) -> None:
    asked: list[str] = []
    prove(application(prefix, status, asked), {"name": "state"}, given)
    assert asked == [f"{prefix}/api/version", f"{prefix}/api/histories/published?limit=1"]


@pytest.mark.parametrize("status, error", [(500, RuntimeError), (0, LookupError)])
def test_an_error_of_its_own_is_no_answer(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"status 500|no database"):
        prove(application("", status, []), {"name": "state"}, "/")


def test_no_answer_is_none() -> None:
    async def silent(_scope: object, _receive: object, _send: object) -> None:
        return None

    with pytest.raises(RuntimeError, match="/api/version is answered with status 0"):
        prove(silent, {}, "/")
