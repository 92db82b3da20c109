# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge needs to know of, and ask from, the uWSGI it runs in. Does nothing elsewhere."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
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


def _number(option: str, default: float) -> float:
    value = getattr(uwsgi, "opt", {}).get(option, b"")
    return float(value) if value.isdigit() else default


def socket_timeout() -> float:
    """Return the seconds that a client may stand still."""
    return _number("socket-timeout", 600.0)


def reload_mercy() -> float:
    """Return the seconds that a worker may take to end what it has begun, less some for shutting down."""
    return max(float(os.environ.get("GALAXY_HANDOVER_DRAIN") or _number("worker-reload-mercy", 60.0)) - 10.0, 0.0)


def is_awaited() -> bool:
    """Tell whether somebody waits to hear that the workers can answer (galaxy_handover.py)."""
    return "GALAXY_HANDOVER_FD" in os.environ


def tell(error: BaseException | None = None) -> None:
    """Tell whoever waits for it that this worker can answer, or why it cannot; return when it may begin."""
    if not is_awaited():
        return
    # With "cheaper", not all workers are there from the beginning.
    workers = int(_number("cheaper-initial", _number("cheaper", getattr(uwsgi, "numproc", 1))))
    word, rest = ("failed", " ".join(str(error).split())[:500]) if error else ("ready", str(workers))
    descriptor, _colon, inode = os.environ["GALAXY_HANDOVER_FD"].partition(":")
    with contextlib.suppress(OSError, ValueError):
        # uWSGI's own reload closes it, and something else may have its number.
        if os.fstat(int(descriptor)).st_ino == int(inode):
            os.write(int(descriptor), f"{word} {worker_id()} {rest}".encode())
            # The other end is closed when all of them can, and stays so.
            os.read(int(descriptor), 1)


def is_stopping() -> bool:
    """Tell whether this worker ends for good, and not to be replaced.

    uWSGI's master ends its workers with SIGINT in the first case, and they exit from within the handler, where that
    signal is blocked; in the second case they get SIGHUP (core/uwsgi.c, end_me and gracefully_kill).
    """
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


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

    def duplicate(self) -> socket.socket | None:
        """Return the connection for somebody to go on with when this request is over; None where that cannot be."""
        # What is written to the socket itself would pass TLS by.
        if not self._open or any("https-socket" in name or "ssl-socket" in name for name in getattr(uwsgi, "opt", ())):
            return None
        borrowed = self._borrow()
        return borrowed.dup() if borrowed else None

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
