# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What test_galaxy_handover.py has uWSGI serve: it answers with what the file VERSION held when it was loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import uwsgi
from galaxy_wsgi import server

VERSION, _space, HOW = Path(os.environ["VERSION"]).read_text().strip().partition(" ")
if HOW == "broken":
    raise LookupError("broken on purpose")
if HOW == "slow":
    time.sleep(60)
time.sleep(0.5)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer, after as many seconds as the query says."""
    time.sleep(float(environ["QUERY_STRING"] or 0))
    body = f"{VERSION} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def after_fork() -> None:
    server.tell(RuntimeError("no\ndatabase") if HOW == "failing" and server.worker_id() == 2 else None)


uwsgi.post_fork_hook = after_fork
