# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve Galaxy's ASGI application from uWSGI.

In ``galaxy.ini``::

    [app:main]
    paste.app_factory = galaxy_wsgi:app_factory

and ``uwsgi --ini-paste galaxy.ini``. What happens then:

* :mod:`galaxy_wsgi.factory` builds Galaxy once, in the uWSGI master (or in each worker with ``lazy-apps``);
* :mod:`galaxy_wsgi.worker` starts in each worker what must not cross a fork, and stops it again in bounded time;
* :mod:`galaxy_wsgi.proof` asks a worker that is to replace another, before it takes requests;
* :mod:`galaxy_wsgi.environ` translates the WSGI environ of a request to an ASGI scope;
* :mod:`galaxy_wsgi.bridge` runs the application for that scope, on the uWSGI thread that took the request.

A uWSGI thread belongs to one request from its first byte to its last. WSGI therefore cannot carry what has no end:

* a **WebSocket** handshake is answered 501;
* a **server-sent event** subscription (a GET answered with ``text/event-stream``, Galaxy's ``/api/events/stream``) is
  answered 501 too, which tells ``EventSource`` not to come back. Events that are the answer to a POST do end, and are
  carried. Galaxy's options ``enable_sse_updates`` and ``enable_mcp_server`` are switched off, with a warning.
"""

from __future__ import annotations

from .bridge import Bridge
from .factory import app_factory

__all__ = ["Bridge", "app_factory"]
