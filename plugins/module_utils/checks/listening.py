# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nginx and uWSGI listen, and nginx's site."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator

from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.given import (
    Variables,
    galaxy_options,
    http,
    is_true,
    nginx_listens,
    sockets,
    uwsgi_options,
)
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.paths import LONGEST_SOCKET_PATH, check_path, inside
from ansible_collections.dagobah.galaxy.plugins.module_utils.galaxy_options import Problem, problem

SERVER_NAME = re.compile(r"[^\s;{}$\"'\\#]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
HEADER_VALUE = re.compile(r"[ !#%-\[\]-~]*")
HEADER_VARIABLE = re.compile(r"HTTP_[A-Z0-9_]+")
LISTEN = re.compile(
    r"(?:(?P<address>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]+):)?(?P<port>[0-9]+)(?P<parameters>(?: [a-z0-9_=]+)*)"
)
SOCKET = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):(?P<port>[0-9]+)")
# What else nginx takes after them (ngx_http_core_listen).
LISTEN_PARAMETER = re.compile(
    r"default_server|proxy_protocol|http2|deferred|bind|reuseport|ipv6only=(on|off)|so_keepalive=(on|off)"
    r"|(setfib|fastopen|backlog)=[0-9]+|(rcvbuf|sndbuf)=[0-9]+[km]?"
)

# Every address of the machine, as uWSGI and nginx write it.
ANY_ADDRESS = ("", "*", "0.0.0.0", "[::]")  # noqa: S104 (names to refuse)


def check_nginx(variables: Variables) -> Iterator[Problem]:
    """Check what is in nginx's site."""
    for variable, example in (("nginx_listen", 80), ("nginx_tls_listen", 443)):
        yield from _check_listen(variable, variables.get(variable), example)
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
        elif not _is_balanced(text):
            yield problem("nginx_server_directives", item, "{ and } do not match")
    for name, value in (variables.get("nginx_security_headers") or {}).items():
        if not HEADER_NAME.fullmatch(str(name)):
            yield problem("nginx_security_headers", name, "has to be the name of a header")
        if isinstance(value, (dict, list)) or not HEADER_VALUE.fullmatch(str(value if value is not None else "")):
            yield problem(
                f"nginx_security_headers.{name}", value, 'has to be one line of ASCII, without " and \\ and $'
            )


def _is_balanced(text: str) -> bool:
    """Tell whether each } has its { before it, so that none ends the server."""
    depth = 0
    for sign in re.findall(r"[{}]", text):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            break
    return depth == 0


def _check_listen(variable: str, listen: t.Any, example: int) -> Iterator[Problem]:
    if listen is not None and not listen:
        yield problem(variable, listen, f'has to name at least one port, such as "{example}"')
    for item in listen or []:
        found = LISTEN.fullmatch(str(item))
        if not found:
            yield problem(variable, item, f'has to be a port or address:port, such as "{example}" or "[::]:{example}"')
        elif not 1 <= int(found["port"]) <= 65535:
            yield problem(variable, item, "the port has to be from 1 to 65535")
        elif "ssl" in found["parameters"].split():
            yield problem(
                variable, item, "without ssl; nginx_tls says whether there is TLS, and nginx_tls_listen where"
            )
        else:
            for word in found["parameters"].split():
                if not LISTEN_PARAMETER.fullmatch(word):
                    yield problem(variable, item, f"nginx's listen has no parameter {word}")


# What a certificate and its key are given as, and what else there may be in the name of a file.
PEM = "-----BEGIN "
# As text: one or several, and white space around them.
PEM_TEXT = re.compile(r"\s*(-----BEGIN (?P<what>[A-Z0-9 ]+)-----\n[A-Za-z0-9+/=\s]+\n-----END (?P=what)-----\s*)+")

# Where certbot finds an authority, and where that writes to. certbot keeps both in a file of its own.
AUTHORITY = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!&*+,=-]+")
EMAIL = re.compile(r"[A-Za-z0-9._+][A-Za-z0-9._+-]*@[A-Za-z0-9.-]+")


def check_tls(variables: Variables) -> Iterator[Problem]:
    """Check nginx's TLS: where the certificate comes from, and what that takes."""
    tls = variables.get("nginx_tls", "off")
    given = {name: str(variables.get(name) or "") for name in ("nginx_tls_certificate", "nginx_tls_key")}
    if tls != "off" and "uwsgi_socket" in variables and not sockets(variables):
        yield problem("nginx_tls", tls, "there is no nginx (uwsgi_socket is empty), and uwsgi_http speaks no TLS")
    for name, value in given.items():
        secret = name.endswith("key")
        if tls == "files" and not value:
            yield problem(
                name, value, 'has to be given with nginx_tls "files", a path on the machine or the text in PEM'
            )
        elif tls != "files" and value:
            yield problem(name, value, f'belongs to nginx_tls "files", and nginx_tls is "{tls}"', secret=secret)
        elif value.startswith("/"):
            yield from check_path(name, value)
        elif PEM in value and ("PRIVATE KEY" in value) != secret:
            what = "a certificate" if secret else "a private key"
            yield problem(name, value, f"is {what}", secret=True)
        elif value and not PEM_TEXT.fullmatch(value.replace("\r\n", "\n")):
            yield problem(name, value, "has to be a path on the machine, or text in PEM", secret=secret)
    directory, email = (str(variables.get(name) or "") for name in ("nginx_acme_directory", "nginx_acme_email"))
    if "nginx_acme_directory" in variables and not AUTHORITY.fullmatch(directory):
        yield problem("nginx_acme_directory", directory, "has to be a URL, such as https://acme.example.org/directory")
    if email and not EMAIL.fullmatch(email):
        yield problem("nginx_acme_email", email, "has to be an address, such as admin@example.org, or empty")
    names = [str(name) for name in variables.get("nginx_server_names") or []]
    if tls in ("files", "acme") and "_" in names:
        yield problem("nginx_server_names", names, f'has to be the names in the certificate with nginx_tls "{tls}"')
    if tls == "acme":
        for name in names:
            if name != "_" and ("." not in name or "*" in name or re.fullmatch(r"[0-9.]+|\[.*\]", name)):
                yield problem("nginx_server_names", name, "no authority certifies it this way; name full host names")
        listen = variables.get("nginx_listen")
        if listen is not None and not any(
            str(item).split(" ", maxsplit=1)[0].rpartition(":")[2] == "80" for item in listen
        ):
            yield problem(
                "nginx_listen",
                listen,
                "the authority asks at port 80, which has to be among them or lead there",
                fatal=False,
            )
    if tls != "off":
        plain = {str(item).split(" ", maxsplit=1)[0] for item in variables.get("nginx_listen") or []}
        for item in variables.get("nginx_tls_listen") or []:
            if str(item).split(" ", maxsplit=1)[0] in plain:
                yield problem("nginx_tls_listen", item, "is in nginx_listen, too; each needs a port of its own")


def check_ports(variables: Variables) -> Iterator[Problem]:
    """Check where uWSGI and nginx listen."""
    given = sockets(variables)
    if not given and "uwsgi_socket" in variables and not http(variables)[1]:
        yield problem(
            "uwsgi_socket", variables["uwsgi_socket"], "has to name at least one socket, unless uwsgi_http is set"
        )
    seen: set[str] = set()
    for where, socket in given:
        if socket in seen:
            yield problem(where, socket, "is given twice")
            continue
        seen.add(socket)
        yield from (
            _check_unix(where, socket, variables) if socket.startswith("/") else _check_tcp(where, socket, variables)
        )


def _check_unix(where: str, socket: str, variables: Variables) -> Iterator[Problem]:
    before = list(check_path(where, socket))
    yield from before
    if before:
        return
    if len(socket.encode()) > LONGEST_SOCKET_PATH:
        yield problem(where, socket, f"the path of a Unix socket has {LONGEST_SOCKET_PATH} bytes at most")
    run_dir = variables.get("galaxy_run_dir")
    if run_dir is not None and not inside(socket, str(run_dir)):
        yield problem(
            where, socket, f"Galaxy's user can make a socket in galaxy_run_dir only, such as {run_dir}/uwsgi.sock"
        )


def _check_tcp(where: str, socket: str, variables: Variables) -> Iterator[Problem]:
    found = SOCKET.fullmatch(socket)
    if not found:
        yield problem(
            where, socket, "has to be host:port or the absolute path of a Unix socket, such as 127.0.0.1:4001"
        )
        return
    port = int(found["port"])
    if not 1 <= port <= 65535:
        yield problem(where, socket, "the port has to be from 1 to 65535")
        return
    host = found["host"]
    if host in ANY_ADDRESS:
        yield problem(
            where,
            socket,
            "uWSGI's protocol knows no password, and whoever reaches this port passes nginx by; allowed is one address,"
            f" such as 127.0.0.1:{port}",
        )
    for variable, item in nginx_listens(variables):
        listen = LISTEN.fullmatch(item)
        if listen and int(listen["port"]) == port and (listen["address"] or "") in (*ANY_ADDRESS, host):
            yield problem(variable, item, f"uWSGI has that port ({where}: {socket}); each needs one of its own")


def check_http(variables: Variables) -> Iterator[Problem]:
    """Check where uWSGI itself speaks HTTP, and what does not go with that."""
    options = uwsgi_options(variables)
    if "http-socket" in options and options["http-socket"][1] is not None:
        yield problem(
            *options["http-socket"], "gives a thread to whoever connects and says nothing; set uwsgi_http instead"
        )
    http_options = variables.get("uwsgi_http_options") or {}
    for name in ("http", "http-to"):
        if name in http_options:
            variable = {"http": "uwsgi_http", "http-to": "uwsgi_socket"}[name]
            yield problem(f"uwsgi_http_options.{name}", http_options[name], f"is made from {variable}; set that")
    where, address = http(variables)
    if not address:
        return
    found = SOCKET.fullmatch(address.replace("*:", ":", 1))
    if not found or not 1 <= int(found["port"]) <= 65535:
        yield problem(where, address, "has to be host:port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every address")
        return
    host, port = found["host"], int(found["port"])
    for _socket_where, socket in sockets(variables):
        other = SOCKET.fullmatch(socket)
        if other and int(other["port"]) == port and (host in (*ANY_ADDRESS, other["host"])):
            yield problem(where, address, f"uwsgi_socket has that port ({socket}); each needs one of its own")
    for variable, item in nginx_listens(variables) if sockets(variables) else []:
        listen = LISTEN.fullmatch(item)
        same_host = listen and (host in ANY_ADDRESS or (listen["address"] or "") in (*ANY_ADDRESS, host))
        if listen and same_host and int(listen["port"]) == port:
            yield problem(where, address, f"nginx has that port ({variable}: {item}); each needs one of its own")
    if is_true(galaxy_options(variables).get("use_remote_user") or False):
        yield problem(
            "galaxy_config app:main.use_remote_user",
            True,
            f"there is no proxy before {where} ({address}) to say who the user is, so that anybody could; leave one"
            " of them out",
        )
