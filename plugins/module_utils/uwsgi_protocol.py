# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client for the uWSGI protocol and for uWSGI's stats socket.

nginx speaks to uWSGI in its own binary protocol: a four byte header, then the request's variables, each
key and value preceded by its length. The answer is plain HTTP. With this client a machine can be asked what
its uWSGI answers without nginx in between, so that a broken chain can be told apart link by link.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_SIZE = 0xFFFF
"""The sizes in the protocol are unsigned 16 bit numbers, so this is the most that fits a packet."""


class ProtocolError(Exception):
    """What came back is not what the protocol allows."""


class Response(NamedTuple):
    """An answer, taken apart."""

    status: int
    reason: str
    headers: dict[str, str]
    """Names are in lower case; of a header that is given twice the last one counts."""
    body: bytes


def encode_vars(variables: Mapping[str, str]) -> bytes:
    """Encode variables as the body of a packet.

    Text is encoded as WSGI servers expect it (ISO-8859-1 where possible, as nginx hands bytes on unchanged).
    """
    parts = []
    for key, value in variables.items():
        for text in (key, value):
            raw = _to_bytes(text)
            if len(raw) > MAX_SIZE:
                raise ProtocolError("%s is %d bytes long; at most %d fit" % (key, len(raw), MAX_SIZE))
            parts.append(struct.pack("<H", len(raw)) + raw)
    return b"".join(parts)


def decode_vars(data: bytes) -> dict[str, str]:
    """Decode the body of a packet. The inverse of :func:`encode_vars`."""
    texts = []
    position = 0
    while position < len(data):
        if position + 2 > len(data):
            raise ProtocolError("the packet ends within a length")
        (size,) = struct.unpack_from("<H", data, position)
        position += 2
        if position + size > len(data):
            raise ProtocolError("the packet ends within a value")
        texts.append(data[position : position + size].decode("utf-8", "surrogateescape"))
        position += size
    if len(texts) % 2:
        raise ProtocolError("the packet has a key without a value")
    return {texts[index]: texts[index + 1] for index in range(0, len(texts), 2)}


def encode_packet(variables: Mapping[str, str], modifier1: int = 0, modifier2: int = 0) -> bytes:
    """Encode a whole packet. Modifier 0 is "a WSGI request"."""
    body = encode_vars(variables)
    if len(body) > MAX_SIZE:
        raise ProtocolError("the variables take %d bytes; a packet holds at most %d" % (len(body), MAX_SIZE))
    return struct.pack("<BHB", modifier1, len(body), modifier2) + body


def decode_packet(data: bytes) -> tuple[int, dict[str, str], int]:
    """Decode a whole packet into modifier 1, the variables and modifier 2."""
    if len(data) < 4:
        raise ProtocolError("the packet ends within its header")
    modifier1, size, modifier2 = struct.unpack_from("<BHB", data)
    if len(data) - 4 != size:
        raise ProtocolError("the header promises %d bytes, %d follow" % (size, len(data) - 4))
    return modifier1, decode_vars(data[4:]), modifier2


def request_vars(path: str, host: str, method: str = "GET", query: str = "") -> dict[str, str]:
    """Return the variables that nginx's ``uwsgi_params`` would send for a request without a body."""
    return {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "REQUEST_URI": path + ("?" + query if query else ""),
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "SERVER_PORT": "80",
        "SERVER_NAME": host,
        "HTTP_HOST": host,
        "HTTP_USER_AGENT": "dagobah.galaxy instance_proof",
        "HTTP_ACCEPT": "*/*",
    }


def parse_response(data: bytes) -> Response:
    """Parse what uWSGI answers: a status line, headers, an empty line, the body."""
    head, separator, body = data.partition(b"\r\n\r\n")
    lines = head.decode("iso-8859-1").split("\r\n")
    status_line = lines[0].split(" ", 2)
    if not status_line[0].startswith("HTTP/") or len(status_line) < 2 or not status_line[1].isdigit():
        raise ProtocolError("not an HTTP answer: it begins with %r" % data[:60])
    if not separator:
        raise ProtocolError("the answer ends within its headers")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError("not a header: %r" % line[:60])
        headers[name.strip().lower()] = value.strip()
    return Response(int(status_line[1]), status_line[2] if len(status_line) > 2 else "", headers, body)


def parse_address(address: str) -> str | tuple[str, int]:
    """Turn ``host:port``, ``[v6]:port``, ``:port`` or the path of a Unix socket into what ``connect`` takes."""
    if "/" in address:
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("%r is neither host:port nor the path of a Unix socket" % address)
    host = host.strip("[]")
    # uWSGI listens everywhere if it is told ":4001" or "0.0.0.0:4001": ask it on the loopback address.
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound
    return everywhere.get(host, host), int(port)


def connect(address: str, timeout: float) -> socket.socket:
    """Connect to a TCP or Unix socket."""
    target = parse_address(address)
    if isinstance(target, tuple):
        return socket.create_connection(target, timeout=timeout)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(target)
    except BaseException:
        connection.close()
        raise
    return connection


class HeldRequest:
    """A request that is begun and not yet finished.

    A uWSGI thread that has accepted a connection waits for the rest of the packet and takes nothing else in the
    meantime. As many held requests as there are threads therefore reach every worker, which no number of
    quick requests would promise.
    """

    def __init__(self, address: str, variables: Mapping[str, str], timeout: float = 10.0) -> None:
        self._packet = encode_packet(variables)
        self._socket = connect(address, timeout)
        try:
            self._socket.sendall(self._packet[:4])
        except BaseException:
            self._socket.close()
            raise

    def finish(
        self,
        timeout: float,
        tick: Callable[[], None] | None = None,
        tick_seconds: float = 2.0,
        max_bytes: int = 4 * 1024 * 1024,
    ) -> Response:
        """Send the rest and wait for the answer.

        :param timeout: how long to wait for the whole of it
        :param tick: called about every ``tick_seconds`` while waiting; ends the wait by raising
        :raises TimeoutError: no complete answer came in time
        """
        deadline = time.monotonic() + timeout
        data = b""
        try:
            self._socket.sendall(self._packet[4:])
            while len(data) < max_bytes:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("no answer within %.0f s" % timeout)
                self._socket.settimeout(min(left, tick_seconds) if tick else left)
                try:
                    chunk = self._socket.recv(65536)
                except socket.timeout:  # noqa: UP041 - Python 3.9 does not know it as TimeoutError
                    if tick:
                        tick()
                    continue
                if not chunk:
                    break
                data += chunk
        finally:
            self._socket.close()
        if not data:
            raise ProtocolError("the connection was closed without an answer")
        return parse_response(data)

    def close(self) -> None:
        """Give the request up."""
        self._socket.close()


def request(
    address: str,
    path: str,
    host: str,
    timeout: float,
    tick: Callable[[], None] | None = None,
    tick_seconds: float = 2.0,
) -> Response:
    """Ask for a path and return the answer."""
    held = HeldRequest(address, request_vars(path, host), timeout=min(timeout, 10.0))
    return held.finish(timeout, tick=tick, tick_seconds=tick_seconds)


def read_stats(address: str, timeout: float = 5.0) -> dict[str, Any]:
    """Read uWSGI's stats socket: it writes one JSON document to whoever connects."""
    connection = connect(address, timeout)
    deadline = time.monotonic() + timeout
    data = b""
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no statistics within %.0f s" % timeout)
            connection.settimeout(left)
            chunk = connection.recv(65536)
            if not chunk:
                break
            data += chunk
    finally:
        connection.close()
    if data.startswith(b"HTTP/"):  # option stats-http
        data = data.partition(b"\r\n\r\n")[2]
    try:
        stats = json.loads(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise ProtocolError("not uWSGI statistics: %s; it begins with %r" % (error, data[:60])) from error
    if not isinstance(stats, dict) or not isinstance(stats.get("workers"), list):
        raise ProtocolError("not uWSGI statistics: no list of workers")
    return stats


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
