# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sockets at once: all of them answer, and the Unix socket answers those that it is for."""

from __future__ import annotations

import pytest
from support import ROOT, Machine
from uwsgi_cases import Deployed, read_cases

pytestmark = pytest.mark.parametrize(
    "deployed",
    [case for case in read_cases() if case.name == "several_sockets"],
    indirect=True,
    ids=lambda case: case.name,
    scope="session",
)

# Asks a socket for Galaxy's version in uWSGI's protocol.
ASK = r"""
import json, socket, struct, sys
address = sys.argv[1]
if "/" in address:
    client = socket.socket(socket.AF_UNIX)
else:
    client, address = socket.socket(), ("127.0.0.1", int(address.split(":")[1]))
variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/version", "REQUEST_URI": "/api/version", "QUERY_STRING": "",
             "SERVER_NAME": "a", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "a",
             "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "1"}
words = [word.encode() for pair in variables.items() for word in pair]
body = b"".join(struct.pack("<H", len(word)) + word for word in words)
try:
    client.connect(address)
    client.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
    print(json.dumps(b"".join(iter(lambda: client.recv(65536), b"")).decode()))
except PermissionError as error:
    print(json.dumps(error.strerror))
"""


def ask(machine: Machine, address: str, user: str) -> str:
    return str(machine.python(ASK, address, interpreter=f"runuser -u {user} -- python3"))


@pytest.mark.parametrize("user", ["galaxy", "www-data"])
def test_the_unix_socket_answers_those_it_is_for(machine: Machine, deployed: Deployed, user: str) -> None:
    path = f"{ROOT}/run/uwsgi.sock"
    assert machine.run("stat --format '%%F %%a %%U %%G' %s", path) == "socket 660 galaxy galaxy"
    answer = ask(machine, path, user)
    assert answer.startswith("HTTP/1.1 200 OK")
    assert "version_major" in answer


def test_the_unix_socket_answers_nobody_else(machine: Machine, deployed: Deployed) -> None:
    assert ask(machine, f"{ROOT}/run/uwsgi.sock", "nobody") == "Permission denied"
    assert not machine.may("nobody", "x", f"{ROOT}/run")


@pytest.mark.parametrize("address", ["127.0.0.1:4001", "127.0.0.1:4002"])
def test_the_others_answer(machine: Machine, deployed: Deployed, address: str) -> None:
    assert ask(machine, address, "nobody").startswith("HTTP/1.1 200 OK")


def test_nginx_uses_the_first(machine: Machine, deployed: Deployed) -> None:
    used = machine.run("grep -rhE '^ *uwsgi_pass' /etc/nginx/galaxy").split()
    assert used == ["uwsgi_pass", f"unix:{ROOT}/run/uwsgi.sock;"]
