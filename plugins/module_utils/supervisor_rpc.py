# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speak supervisor's XML-RPC over its Unix socket, with the standard library."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from typing import Any


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    """Carries XML-RPC over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002
        """Return a connection to the socket, whatever the host is called."""
        return _UnixConnection(self._path, self._timeout)


def connect(path: str, timeout: float = 600.0, interface: str = "supervisor") -> Any:
    """Return supervisor's RPC interface at a Unix socket, or that of a plugin of its.

    :param path: The socket, ``/var/run/supervisor.sock`` on Debian.
    :param timeout: Seconds that one call may take; stopping waits as long as ``stopwaitsecs``.

    Calls raise :class:`OSError` where nobody listens, :class:`xmlrpc.client.Fault` where supervisor refuses.
    """
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(path, timeout), allow_none=True)
    return getattr(proxy, interface)
