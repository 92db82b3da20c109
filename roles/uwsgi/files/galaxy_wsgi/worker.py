# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a web process: what starts after the fork, and what stops, in bounded time, before the end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from . import server
from .bridge import ASGIApp, Message

log = logging.getLogger(__name__)

# Seconds that the application may take to shut down, all in all. A process that is asked to stop is gone after this
# time, however many threads of Galaxy would like to be waited for.
STOP_SECONDS = 5.0


class Worker:
    """Starts and stops the application in each process that serves it."""

    def __init__(
        self,
        app: ASGIApp,
        start: Callable[[], None] = lambda: None,
        stop: Callable[[], None] = lambda: None,
        state: dict[str, Any] | None = None,
        prove: Callable[[], None] = lambda: None,
        finish: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        """Make the worker.

        :param prove: raises an error if the application cannot answer; called where another worker would be replaced
        :param finish: waits for what is still on its way to clients, for as many seconds at most
        """
        self._finish = finish
        self._prove = prove
        self._lifespan = Lifespan(app, state if state is not None else {})
        self._start = start
        self._stop = stop
        self._pid = 0

    def attach(self) -> None:
        """Start in the processes that will be forked from this one; in this one, if it is not going to be forked."""
        server.set_hooks(self.start, self.stop)
        if not server.is_preloading():
            self.start()

    def start(self) -> None:
        """Start the application. Once in each worker, and not in uWSGI's other processes (spoolers, mules)."""
        if self._pid == os.getpid() or not server.is_worker():
            return
        self._pid = os.getpid()
        try:
            self._lifespan.start()
            self._start()
            if server.is_awaited():
                self._prove()
        except Exception as error:
            log.critical("The application did not start in worker %d", server.worker_id(), exc_info=True)
            server.tell(error)
            # uWSGI would go on and serve with what is there. It starts another worker instead, after a pause.
            os._exit(1)
        server.tell()

    def stop(self) -> None:
        """Shut the application down, and return after STOP_SECONDS at most; at a reload, let downloads end before."""
        if self._pid != os.getpid():
            return
        self._pid = 0
        if not server.is_stopping():
            self._finish(server.reload_mercy())
        thread = threading.Thread(target=self._shut_down, name="shutdown", daemon=True)
        thread.start()
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            log.warning("The application has not shut down in %s s: leaving it", STOP_SECONDS)

    def _shut_down(self) -> None:
        for step in (self._lifespan.stop, self._stop):
            try:
                step()
            except Exception:
                log.exception("Error while shutting down")


class Lifespan:
    """Runs the application's lifespan, on an event loop and a thread of its own.

    The loops of the request threads run only while they serve a request, and a lifespan wants to go on in between.
    """

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        # All of these are made by start(), after the fork.
        self._loop: asyncio.AbstractEventLoop
        self._to_app: asyncio.Queue[Message]
        self._thread: threading.Thread | None = None
        self._answered = threading.Event()
        self._error: str | None = None

    def start(self) -> None:
        """Start up, and return when the application has. Raise RuntimeError if it says that it failed."""
        self._loop = asyncio.new_event_loop()
        self._to_app = asyncio.Queue()
        self._thread = threading.Thread(target=self._main, name="lifespan", daemon=True)
        self._thread.start()
        self._ask("lifespan.startup")

    def stop(self) -> None:
        """Shut down, and return when the application has."""
        if self._thread and self._thread.is_alive():
            self._ask("lifespan.shutdown")
            self._thread.join()

    def _ask(self, event: str) -> None:
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._to_app.put_nowait, {"type": event})
        except RuntimeError:
            return  # The loop has closed: the application has no lifespan, or its lifespan is over.
        self._answered.wait()
        if self._error is not None:
            raise RuntimeError(f"The application failed in {event}: {self._error}")

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._call())
        except Exception:
            # As the specification has it, an application without a lifespan raises, whatever it raises.
            log.debug("The application has no lifespan", exc_info=True)
        finally:
            self._loop.close()
            self._answered.set()

    async def _call(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        await self._app(scope, self._to_app.get, self._from_app)

    async def _from_app(self, message: Message) -> None:
        if message["type"].endswith(".failed"):
            self._error = message.get("message", "")
        self._answered.set()
