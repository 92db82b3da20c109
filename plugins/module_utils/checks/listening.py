# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nginx and uWSGI listen, and nginx's site."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import Variables
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import LONGEST_SOCKET_PATH, check_path, inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem

SERVER_NAME = re.compile(r"[^\s;{}$\"'\\#]+")
HEADER_VARIABLE = re.compile(r"HTTP_[A-Z0-9_]+")
LISTEN = re.compile(
    r"(?:(?P<address>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]+):)?(?P<port>\d+)(?P<parameters>(?: [a-z0-9_=]+)*)"
)
SOCKET = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):(?P<port>\d+)")

# Every address of the machine, as uWSGI and nginx write it.
ANY_ADDRESS = ("", "*", "0.0.0.0", "[::]")  # noqa: S104 (names to refuse)


def check_nginx(variables: Variables) -> Iterator[Problem]:
    """Check what is in nginx's site."""
    listen = variables.get("nginx_listen")
    if listen is not None and not listen:
        yield problem("nginx_listen", listen, 'has to name at least one port, such as "80"')
    for item in listen or []:
        found = LISTEN.fullmatch(str(item))
        if not found:
            yield problem(
                "nginx_listen", item, 'has to be a port or address:port, such as "80", "[::]:80" or "443 ssl"'
            )
        elif not 1 <= int(found["port"]) <= 65535:
            yield problem("nginx_listen", item, "the port has to be from 1 to 65535")
    names = variables.get("nginx_server_names")
    if names is not None and not names:
        yield problem("nginx_server_names", names, "has to name at least one name; _ is any")
    for item in names or []:
        if not SERVER_NAME.fullmatch(str(item)):
            yield problem(
                "nginx_server_names", item, "has to be a host name, without white space, quotes and ; { } $ # \\"
            )
    for item in variables.get("nginx_stripped_headers") or []:
        if not HEADER_VARIABLE.fullmatch(str(item)):
            yield problem(
                "nginx_stripped_headers", item, "has to be a header as a CGI variable, such as HTTP_REMOTE_USER"
            )
    for item in variables.get("nginx_server_directives") or []:
        text = str(item).strip()
        if not text.endswith((";", "}")) and not text.startswith("#"):
            yield problem("nginx_server_directives", item, "a directive of nginx ends with ; or a block with }")
        elif text.count("{") != text.count("}"):
            yield problem("nginx_server_directives", item, "{ and } do not match")


def check_ports(variables: Variables) -> Iterator[Problem]:
    """Check where uWSGI and nginx listen."""
    socket = variables.get("uwsgi_socket")
    if socket is None:
        return
    allowed = "has to be host:port or the absolute path of a Unix socket, such as 127.0.0.1:4001"
    if str(socket).startswith("/"):
        before = list(check_path("uwsgi_socket", socket))
        yield from before
        if not before and len(str(socket).encode()) > LONGEST_SOCKET_PATH:
            yield problem("uwsgi_socket", socket, f"the path of a Unix socket has {LONGEST_SOCKET_PATH} bytes at most")
        run_dir = variables.get("galaxy_run_dir")
        if not before and run_dir is not None and not inside(str(socket), str(run_dir)):
            yield problem(
                "uwsgi_socket",
                socket,
                f"Galaxy's user can make a socket in galaxy_run_dir only, such as {run_dir}/uwsgi.sock",
            )
        return
    found = SOCKET.fullmatch(str(socket))
    if not found:
        yield problem("uwsgi_socket", socket, allowed)
        return
    port = int(found["port"])
    if not 1 <= port <= 65535:
        yield problem("uwsgi_socket", socket, "the port has to be from 1 to 65535")
        return
    host = found["host"]
    if host in ANY_ADDRESS:
        yield problem(
            "uwsgi_socket",
            socket,
            "uWSGI's protocol knows no password, and whoever reaches this port passes nginx by; allowed is one address,"
            f" such as 127.0.0.1:{port}",
        )
    for item in variables.get("nginx_listen") or []:
        listen = LISTEN.fullmatch(str(item))
        if listen and int(listen["port"]) == port and (listen["address"] or "") in (*ANY_ADDRESS, host):
            yield problem(
                "nginx_listen", item, f"uWSGI has that port (uwsgi_socket: {socket}); each needs one of its own"
            )
