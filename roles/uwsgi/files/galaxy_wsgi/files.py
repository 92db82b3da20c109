# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send files, without keeping a request thread until the slowest client has got the last byte.

Where nginx is in front, Galaxy names the file (``X-Accel-Redirect``) and nginx sends it. Without nginx, Galaxy names it
in ``X-Sendfile`` (its option ``apache_xsendfile``), and the bridge does what nginx would have done: it answers
conditional requests and ranges, and has :class:`Sender` send the bytes.

Why not uWSGI's offload threads, which send the static files? Of a range, they send up to 128 KiB too much, since they
stop only after a whole piece (core/offload.c, u_offload_sendfile_do); a reload cuts them off; and a client that does
not read is waited for without an end.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import BinaryIO

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]

# Most that is sent of one file before the others have their turn.
PIECE = 256 * 1024

RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE)


@dataclass
class Reply:
    """What is sent of a file."""

    status: int
    headers: Headers
    offset: int = 0
    count: int = 0


def find(path: str, directories: Iterable[str]) -> str | None:
    """Return the path without links, or None if that is not below one of the directories."""
    real = os.path.realpath(path)
    return real if any(real.startswith(os.path.realpath(item) + "/") for item in directories) else None


def reply(method: str, request: Callable[[str], str], status: int, headers: Headers, file: os.stat_result) -> Reply:
    """Return what a request gets of a file (RFC 9110, sections 13 and 14).

    :param request: returns a header of the request, "" if there is none
    :param headers: those of the application, whose Last-Modified and ETag are kept
    """
    given = {name.lower(): value for name, value in headers}
    etag = given.get("etag") or f'"{file.st_mtime_ns:x}-{file.st_size:x}"'
    modified = given.get("last-modified") or formatdate(file.st_mtime, usegmt=True)
    ours = ("accept-ranges", "content-length", "content-range", "etag", "last-modified")
    kept = [(name, value) for name, value in headers if name.lower() not in ours]
    kept += [("last-modified", modified), ("etag", etag), ("accept-ranges", "bytes")]
    whole = Reply(status, [*kept, ("content-length", str(file.st_size))], 0, file.st_size)
    if status != 200 or method not in ("GET", "HEAD"):
        return whole
    if _precondition_failed(request, etag, modified):
        return Reply(412, [("content-length", "0")])
    if _not_modified(request, etag, modified):
        return Reply(304, [(name, value) for name, value in kept if not name.lower().startswith("content-")])
    wanted = RANGE.fullmatch(request("range"))
    # Several ranges at once may be answered with the whole, and are.
    if method != "GET" or not wanted or not any(wanted.groups()) or not _same_file(request("if-range"), etag, modified):
        return whole
    first, last = wanted.groups()
    begin = int(first) if first else max(file.st_size - int(last), 0)
    end = min(int(last), file.st_size - 1) if first and last else file.st_size - 1
    if first and last and int(last) < int(first):
        return whole  # Not a range at all.
    if begin > end or (not first and int(last) == 0):
        return Reply(416, [("content-range", f"bytes */{file.st_size}"), ("content-length", "0")])
    count = end - begin + 1
    return Reply(
        206,
        [*kept, ("content-range", f"bytes {begin}-{end}/{file.st_size}"), ("content-length", str(count))],
        begin,
        count,
    )


def _tags(value: str) -> list[str]:
    return [tag.strip() for tag in value.split(",")]


def _precondition_failed(request: Callable[[str], str], etag: str, modified: str) -> bool:
    if request("if-match"):
        return request("if-match").strip() != "*" and etag not in _tags(request("if-match"))
    return _is_after(modified, request("if-unmodified-since")) is True


def _not_modified(request: Callable[[str], str], etag: str, modified: str) -> bool:
    if request("if-none-match"):
        tags = [tag.removeprefix("W/") for tag in _tags(request("if-none-match"))]
        return request("if-none-match").strip() == "*" or etag.removeprefix("W/") in tags
    return _is_after(modified, request("if-modified-since")) is False


def _is_after(date: str, other: str) -> bool | None:
    """Tell whether a date is later than another; None if one is no date, so that a condition with it does not count."""
    try:
        return parsedate_to_datetime(date) > parsedate_to_datetime(other)
    except (TypeError, ValueError):
        return None


def _same_file(if_range: str, etag: str, modified: str) -> bool:
    return not if_range or (if_range in (etag, modified) and not if_range.startswith("W/"))


class Transfer:
    """A file on its way to a client."""

    def __init__(self, connection: socket.socket, file: BinaryIO, offset: int, count: int) -> None:
        self.connection = connection
        self.file = file
        self.offset = offset
        self.left = count
        self.moved = time.monotonic()

    def step(self) -> bool:
        """Send what the connection takes. Return True at the end of the file, raise OSError at that of the client."""
        while self.left:
            try:
                sent = os.sendfile(self.connection.fileno(), self.file.fileno(), self.offset, min(self.left, PIECE))
            except (BlockingIOError, InterruptedError):
                return False
            if not sent:
                raise OSError("the file has become shorter")
            self.offset += sent
            self.left -= sent
            self.moved = time.monotonic()
            if self.left:
                return False
        return True

    def close(self) -> None:
        """Close, so that the client sees an error if something is missing."""
        with contextlib.suppress(OSError):
            if self.left and self.connection.family in (socket.AF_INET, socket.AF_INET6):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.file.close()


class Sender:
    """Sends files on a thread of its own: all of them on one, however many there are, and however slow."""

    def __init__(self, patience: float = 600.0) -> None:
        # Seconds that a client may take nothing at all.
        self.patience = patience
        self._pid = 0
        self._lock = threading.Lock()

    def send(self, connection: socket.socket, file: BinaryIO, offset: int, count: int) -> None:
        """Take over a connection and a file. Both are closed when it is done."""
        with self._lock:
            # Nothing of it may cross a fork, so that it is made by the first file.
            if self._pid != os.getpid():
                self._start()
            self._new.append(Transfer(connection, file, offset, count))
            self._pending += 1
            self._idle.clear()
        self._wake.send(b"!")

    def finish(self, seconds: float) -> bool:
        """Wait until nothing is on its way any more, and tell whether that is so."""
        return self._pid != os.getpid() or self._idle.wait(seconds)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._pending = 0
        self._idle = threading.Event()
        self._new: collections.deque[Transfer] = collections.deque()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        threading.Thread(target=self._run, name="files", daemon=True).start()

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            for key, _events in self._selector.select(1.0):
                if key.data is None:
                    self._begin()
                else:
                    self._step(key.data)
            now = time.monotonic()
            if now - looked >= 1:
                looked = now
                waiting = [key.data for key in self._selector.get_map().values() if key.data is not None]
                for transfer in waiting:
                    if now - transfer.moved > self.patience:
                        self._end(transfer)

    def _begin(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._new:
            transfer = self._new.popleft()
            try:
                transfer.connection.setblocking(False)
                self._selector.register(transfer.connection, selectors.EVENT_WRITE, transfer)
            except (OSError, ValueError):
                # The others need this thread.
                log.exception("Cannot send %s", transfer.file.name)
                self._end(transfer)

    def _step(self, transfer: Transfer) -> None:
        try:
            at_end = transfer.step()
        except OSError:
            at_end = True
        if at_end:
            self._end(transfer)

    def _end(self, transfer: Transfer) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(transfer.connection)
        transfer.close()
        with self._lock:
            self._pending -= 1
            if not self._pending:
                self._idle.set()
