# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read and write what, who listens where, and what clients cannot make Galaxy believe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from support import CONFIG, ROOT, Dataset, Galaxy, Machine, wait_for

# A uWSGI server that answers each request with what it was told of it, or, if asked to, hands over a file.
ECHO = r"""
import json, socketserver, struct, sys, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        size = struct.unpack("<BHB", self.rfile.read(4))[1]
        data, words = self.rfile.read(size), []
        while data:
            length = struct.unpack("<H", data[:2])[0]
            words.append(data[2:2 + length].decode("latin-1"))
            data = data[2 + length:]
        told = dict(zip(words[::2], words[1::2]))
        redirect = told.get("HTTP_X_TEST_FILE")
        extra = f"X-Accel-Redirect: {redirect}\r\n" if redirect else ""
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}\r\n{json.dumps(told)}".encode())
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 4999), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready")
sys.stdin.read()
"""

# Every listening TCP socket: the name of a process that has it, its address and port.
LISTENING = r"""
import glob, json, os, socket, struct
sockets = {}
for table in ("/proc/net/tcp", "/proc/net/tcp6"):
    for line in open(table).readlines()[1:]:
        words = line.split()
        if words[3] == "0A":
            address, port = words[1].split(":")
            raw = b"".join(struct.pack("<I", int(address[i:i + 8], 16)) for i in range(0, len(address), 8))
            family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
            sockets[f"socket:[{words[9]}]"] = (socket.inet_ntop(family, raw), int(port, 16))
found = set()
for link in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        target = os.readlink(link)
        if target in sockets:
            command = open("/".join(link.split("/")[:3]) + "/cmdline").read()
            found.add((command.replace("\0", " ").strip(), *sockets[target]))
    except OSError:
        pass
print(json.dumps(sorted(found)))
"""


@pytest.fixture(scope="module")
def listening(machine: Machine) -> list[tuple[str, str, int]]:
    return [tuple(entry) for entry in machine.python(LISTENING)]


class TestListening:
    def test_supervisor_has_no_port(self, listening: list[tuple[str, str, int]]) -> None:
        assert [entry for entry in listening if "supervisord" in entry[0]] == []

    def test_supervisors_socket_is_roots(self, machine: Machine) -> None:
        assert machine.run("stat --format %a:%U /run/supervisor.sock") in {"700:root", "600:root"}

    def test_only_nginx_is_reached_from_outside(self, listening: list[tuple[str, str, int]]) -> None:
        outside = [entry for entry in listening if not entry[1].startswith("127.") and entry[1] != "::1"]
        assert outside
        assert [entry for entry in outside if not entry[0].startswith("nginx")] == []


class TestFiles:
    @pytest.mark.parametrize("name", ["galaxy.ini", "job_conf.yml"])
    def test_configuration_is_for_galaxy_to_read(self, machine: Machine, name: str) -> None:
        path = f"{ROOT}/config/{name}"
        assert machine.run("stat --format %%U:%%G:%%a %s", path) == "root:galaxy-config:640"
        assert machine.may("galaxy", "r", path)
        assert not machine.may("galaxy", "w", path)
        assert not machine.may("www-data", "r", path)
        assert not machine.may("nobody", "r", path)

    def test_no_secret_is_open_to_others(self, machine: Machine) -> None:
        secret = machine.python(
            "import configparser, json, sys; c = configparser.RawConfigParser(); c.read(sys.argv[1]); "
            "print(json.dumps(c['app:main']['id_secret']))",
            CONFIG,
        )
        places = machine.host.run(
            f"grep -rlF --exclude-dir=releases -- {secret} /etc {ROOT} /var/log /tmp /var/tmp"
        ).stdout
        assert CONFIG in places.split()
        assert [path for path in places.split() if machine.may("nobody", "r", path)] == []
        assert [path for path in places.split() if machine.may("www-data", "r", path)] == []

    @pytest.mark.parametrize("place", ["server", "server/lib", "server/bin", "releases", "config", "venv/bin"])
    def test_galaxy_cannot_change_code_or_configuration(self, machine: Machine, place: str) -> None:
        assert (
            machine.run(
                f"find -L {ROOT}/{place} -maxdepth 3 -not -path '*/proc/*' \\( -user galaxy -o -perm /o+w \\) -print"
            )
            == ""
        )
        assert not machine.may("galaxy", "w", f"{ROOT}/{place}")

    def test_nginx_reads_datasets_and_nobody_else_does(self, machine: Machine, kept: Dataset) -> None:
        files = machine.run(f"find {ROOT}/data/objects -name '*.dat' -type f").splitlines()
        assert files
        assert [path for path in files if not machine.may("www-data", "r", path)] == []
        assert [path for path in files if machine.may("www-data", "w", path)] == []
        assert [path for path in files if machine.may("nobody", "r", path)] == []

    def test_processes_run_as_galaxy(self, machine: Machine) -> None:
        pids = machine.run("supervisorctl pid gx:galaxy; supervisorctl pid gx:handler0")
        users = machine.run("stat --format %U " + " ".join(f"/proc/{pid}" for pid in pids.split()))
        assert set(users.split()) == {"galaxy"}


@pytest.fixture(scope="module")
def site(machine: Machine) -> Iterator[Machine]:
    changes = (
        r"s/^( *listen ).*/\1127.0.0.1:8999;/; s/uwsgi_pass .*;/uwsgi_pass 127.0.0.1:4999;/; "
        r"s#(access|error)_log .*;#\1_log /tmp/echo/\1.log;#; s#/etc/nginx/galaxy/galaxy/#/tmp/echo/#"
    )
    frame = "events {} http { include /etc/nginx/mime.types; include /tmp/echo/site; }"
    machine.run("mkdir -p /tmp/echo")
    machine.run("sed -E %s /etc/nginx/sites-enabled/galaxy > /tmp/echo/site", changes)
    machine.run("sed -E %s /etc/nginx/galaxy/galaxy/galaxy.conf > /tmp/echo/galaxy.conf", changes)
    # Not called *.conf, which the site includes.
    machine.run("echo %s > /tmp/echo/nginx", f"user www-data; pid /tmp/echo/pid; {frame}")
    with machine.background(ECHO) as printed:
        wait_for("the server listens", lambda: printed, 10, pause=0.1)
        machine.run("nginx -q -c /tmp/echo/nginx")
        yield machine
        machine.run("nginx -q -c /tmp/echo/nginx -s stop; rm -rf /tmp/echo")


class TestHeaders:
    """The site as it is, before a server that tells what reaches it."""

    URL = "http://127.0.0.1:8999"

    def ask(self, machine: Machine, path: str = "/api/version", **headers: str) -> tuple[int, str]:
        script = """
import json, sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], headers=json.loads(sys.argv[2]))
try:
    answer = urllib.request.urlopen(request, timeout=30)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode()]))
"""
        code, body = machine.python(script, self.URL + path, json.dumps(headers))
        return code, body

    def told(self, machine: Machine, **headers: str) -> dict[str, Any]:
        code, body = self.ask(machine, **headers)
        assert code == 200
        return cast("dict[str, Any]", json.loads(body))

    @pytest.mark.parametrize(
        "header,variable",
        [
            ("Remote-User", "HTTP_REMOTE_USER"),
            ("REMOTE_USER", "HTTP_REMOTE_USER"),
            ("GX-Secret", "HTTP_GX_SECRET"),
            ("Remote-User", "REMOTE_USER"),
        ],
    )
    def test_nobody_says_who_he_is(self, site: Machine, header: str, variable: str) -> None:
        assert self.told(site, **{header: "admin@example.org"}).get(variable, "") == ""

    def test_nobody_says_where_he_is(self, site: Machine) -> None:
        claimed = {"X-Forwarded-For": "192.0.2.99", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
        told = self.told(site, **claimed)
        assert "192.0.2.99" not in told["HTTP_X_FORWARDED_FOR"]
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert told["HTTP_X_FORWARDED_PROTO"] == "http"
        assert "evil" not in json.dumps(told)

    def test_other_headers_pass(self, site: Machine) -> None:
        assert self.told(site, **{"X-Api-Key": "abc"})["HTTP_X_API_KEY"] == "abc"

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            f"{ROOT}/config/galaxy.ini",
            f"{ROOT}/data/objects/../../config/galaxy.ini",
            f"{ROOT}/data/objects/%2e%2e/%2e%2e/config/galaxy.ini",
            f"{ROOT}/data",
        ],
    )
    def test_a_file_outside_the_data_is_not_handed_over(self, site: Machine, path: str) -> None:
        """Even if Galaxy, or one who has got into it, wanted to."""
        code, body = self.ask(site, **{"X-Test-File": f"/_x_accel_redirect{path}"})
        # Without a location of its own, it is a page that Galaxy is asked for.
        assert code != 200 or "REQUEST_URI" in body
        assert "id_secret" not in body
        assert "root:" not in body

    def test_a_file_in_the_data_is(self, site: Machine) -> None:
        path = f"{ROOT}/data/objects/test.dat"
        site.run(f"echo 'a dataset' > {path} && chown galaxy:galaxy {path} && chmod 640 {path}")
        assert self.ask(site, **{"X-Test-File": f"/_x_accel_redirect{path}"}) == (200, "a dataset\n")
        site.run(f"rm {path}")


def test_galaxy_does_not_believe_a_remote_user(galaxy: Galaxy) -> None:
    plain = galaxy.get("/api/users/current")
    claimed = galaxy.get("/api/users/current", headers={"Remote-User": "admin@example.org", "GX-Secret": "x"})
    assert (claimed.status_code, claimed.json()) == (plain.status_code, plain.json())
