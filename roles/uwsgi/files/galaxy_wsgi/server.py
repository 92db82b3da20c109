# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge needs to know of, and ask from, the uWSGI it runs in. Does nothing elsewhere."""

from __future__ import annotations

import importlib
import socket
import struct
from collections.abc import Callable
from typing import Any

uwsgi: Any
try:
    # Not a package: uWSGI puts this module into the interpreters that it embeds.
    uwsgi = importlib.import_module("uwsgi")
except ImportError:
    uwsgi = None


def worker_id() -> int:
    """Return the number of this worker, from 1; 0 in the master and outside of uWSGI."""
    return int(uwsgi.worker_id()) if uwsgi else 0


def is_worker() -> bool:
    """Tell whether this process serves requests: not so the master, a spooler or a mule."""
    return not uwsgi or worker_id() > 0


def is_preloading() -> bool:
    """Tell whether this process loads the application for others, to be forked from it."""
    return bool(uwsgi) and worker_id() == 0


def set_hooks(after_fork: Callable[[], None], at_exit: Callable[[], None]) -> None:
    """Register what uWSGI calls in each process that it forked, and before a process ends."""
    if uwsgi:
        uwsgi.post_fork_hook = after_fork
        uwsgi.atexit = at_exit


class Connection:
    """The connection of the request that this thread serves."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        # After that the number of the file descriptor may be another connection's.
        self._open = bool(uwsgi)

    def fileno(self) -> int:
        """Return the file descriptor, -1 where there is none."""
        borrowed = self._borrow()
        return borrowed.fileno() if borrowed else -1

    def is_closed(self) -> bool:
        """Tell whether the peer has gone."""
        borrowed = self._borrow()
        if not borrowed:
            return False
        try:
            return not borrowed.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        """Close: a response of unknown length ends here."""
        if self._open:
            self.release()
            uwsgi.disconnect()

    def abort(self) -> None:
        """Close so that the peer sees an error, and cannot take what it has got for the whole response.

        That error is TCP's reset. A Unix socket has none: there, only a Content-Length tells what is missing.
        """
        borrowed = self._borrow()
        if borrowed and borrowed.family in (socket.AF_INET, socket.AF_INET6):
            borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()

    def release(self) -> None:
        """Let go of the socket without closing it. It is uWSGI's to close."""
        self._open = False
        if self._socket:
            self._socket.detach()
            self._socket = None

    def _borrow(self) -> socket.socket | None:
        if self._socket is None and self._open:
            self._socket = socket.socket(fileno=uwsgi.connection_fd())
        return self._socket


def read_chunked() -> bytes:
    """Return the next part of a request body of unknown length, nothing at its end."""
    if not uwsgi:
        raise OSError("a chunked request body needs uWSGI")
    return bytes(uwsgi.chunked_read())
