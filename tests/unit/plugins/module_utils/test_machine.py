# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds a port, on this machine and with real processes."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import machine
from ansible_collections.dagobah.galaxy.plugins.module_utils.machine import Listener, Machine

LISTEN = """
import socket, sys
family = socket.AF_UNIX if sys.argv[1].startswith("/") else socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
target = socket.socket(family)
target.bind(sys.argv[1] if family == socket.AF_UNIX else (sys.argv[1], 0))
target.listen()
print(0 if family == socket.AF_UNIX else target.getsockname()[1], flush=True)
sys.stdin.read()
"""

Listening = Callable[..., tuple[int, int]]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    """Start a program that listens, and return its port and number. ``name`` is what the system calls it."""
    running = []

    def start(address: str = "127.0.0.1", name: str = "", directory: Path | None = None) -> tuple[int, int]:
        program = sys.executable
        if name:
            # /proc/PID/comm is the name of the file.
            program = str(tmp_path / name)
            shutil.copy(os.path.realpath(sys.executable), program)
        process = subprocess.Popen(
            [program, "-I", "-S", "-c", LISTEN, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
            text=True,
            env={**os.environ, "PYTHONHOME": sys.base_prefix},
        )
        running.append(process)
        assert process.stdout
        return int(process.stdout.readline()), process.pid

    yield start
    for process in running:
        process.kill()
        process.wait()


def problems(
    uwsgi: list[str] | None = None,
    nginx: list[str] | None = None,
    directory: str = "/none",
    releases: str | None = None,
    user: str = "galaxy",
) -> list[str]:
    return list(
        machine.check_ports(
            Machine(),
            [("uwsgi_socket", address) for address in uwsgi or []],
            [("nginx_listen", address) for address in nginx or []],
            machine.Own(directory, user, releases),
        )
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def test_another_program_is_named(listening: Listening, address: str) -> None:
    port, pid = listening(address)
    host = "[::1]" if ":" in address else "127.0.0.1"
    for found in (problems(uwsgi=[f"{host}:{port}"]), problems(nginx=[f"{port} ssl"])):
        assert len(found) == 1
        assert f"process {pid} (" in found[0]
        assert str(port) in found[0]
        assert "listens there" in found[0]


def test_free_ports_are_fine() -> None:
    assert problems(uwsgi=[f"127.0.0.1:{free_port()}"], nginx=[str(free_port())]) == []


def test_other_address_is_fine(listening: Listening) -> None:
    port, _pid = listening("127.0.0.1")
    assert problems(uwsgi=[f"127.0.0.2:{port}"], nginx=[f"[::1]:{port}"]) == []


def test_unix_socket(listening: Listening, tmp_path: Path) -> None:
    path = str(tmp_path / "uwsgi.sock")
    assert problems(uwsgi=[path]) == []
    _port, pid = listening(path)
    assert f"process {pid} (" in problems(uwsgi=[path])[0]


def test_nginx_may_be_there(listening: Listening) -> None:
    port, _pid = listening(name="nginx")
    assert problems(nginx=[str(port)]) == []
    # But not where uWSGI is to listen.
    assert len(problems(uwsgi=[f"127.0.0.1:{port}"])) == 1


def test_own_uwsgi_may_be_there(listening: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, pid = listening(directory=tmp_path)
    # Not under supervisor: what an earlier supervisor has left.
    assert len(problems(uwsgi=[f"127.0.0.1:{port}"], directory=str(tmp_path))) == 1
    monkeypatch.setattr(Machine, "parents", lambda *_self: iter([machine.Process(1, "supervisord", "")]))
    assert problems(uwsgi=[f"127.0.0.1:{port}"], directory=str(tmp_path)) == []
    # nginx takes its place later.
    assert problems(nginx=[str(port)], directory=str(tmp_path)) == []
    # Classic Galaxy's, which works in its release.
    assert problems(uwsgi=[f"127.0.0.1:{port}"], directory="/none", releases=str(tmp_path.parent)) == []
    assert problems(uwsgi=[f"127.0.0.1:{port}"], directory="/none", releases=str(tmp_path)[:-1])
    # Another instance's.
    assert f"process {pid} (" in problems(uwsgi=[f"127.0.0.1:{port}"], directory="/srv/other/server")[0]


def test_processes_that_cannot_be_seen(listening: Listening, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container, root may not look into the processes of other users. Whose a socket is it can tell."""
    me = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(Machine, "holders", lambda *_self: iter(()))
    path = str(tmp_path / "uwsgi.sock")
    listening(path)
    for address in (f"127.0.0.1:{listening()[0]}", path):
        assert problems(uwsgi=[address], user=me) == []
        assert f"a process of the user {me} listens there" in problems(uwsgi=[address], user="galaxy")[0]


def test_parents() -> None:
    assert next(Machine().parents(os.getpid())).pid == os.getppid()


def test_ports_of_root(tmp_path: Path) -> None:
    start = tmp_path / "sys/net/ipv4"
    start.mkdir(parents=True)
    (start / "ip_unprivileged_port_start").write_text("1024\n")
    found = machine.check_ports(
        Machine(str(tmp_path)), [("uwsgi_http", "0.0.0.0:80"), ("x", ":1024")], [], machine.Own("/", "a")
    )
    assert list(found) == [
        'uwsgi_http: "0.0.0.0:80": Galaxy\'s user cannot open ports below 1024; name a higher one, such as 8080'
    ]


@pytest.mark.parametrize(
    "wanted, address, port, expected",
    [
        ("80", "0.0.0.0", 80, True),  # noqa: S104
        ("80", "::", 80, True),
        ("[::]:80 ipv6only=on", "127.0.0.1", 80, True),
        ("*:80", "10.0.0.1", 80, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("10.0.0.1:80", "10.0.0.2", 80, False),
        ("80", "0.0.0.0", 8080, False),  # noqa: S104
        ("/run/a", "/run/a", 0, True),
        ("/run/a", "/run/b", 0, False),
    ],
)
def test_overlaps(wanted: str, address: str, port: int, expected: bool) -> None:
    assert machine.overlaps(wanted, Listener(address, port, "1")) is expected


@pytest.mark.parametrize(
    "version, lowest, highest, message",
    [
        ("3.11", "3.9", "3.11", None),
        ("3.9", "3.9", "3.11", None),
        ("3.13", "3.9", "3.11", "it is Python 3.13, and Galaxy 20.5.0 needs Python 3.9 to 3.11"),
        # Not as words: "3.9" sorts after "3.11".
        ("3.8", "3.9", "3.11", "it is Python 3.8"),
        ("3.11", "2.7", "2.7", "Galaxy 20.5.0 needs Python 2.7;"),
        ("3.13", "3.10", "", None),
        ("2.7", "2.7", "2.7", "it is Python 2.7, on which this collection installs nothing"),
        ("3.7", "3.7", "3.9", "it is Python 3.7, on which"),
        ("3.9", "3.10", "", "Galaxy 20.5.0 needs Python 3.10 or later;"),
    ],
)
def test_python_of_a_release(tmp_path: Path, version: str, lowest: str, highest: str, message: str | None) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    found = machine.check_python(str(python), "20.5.0", lowest, highest)
    if message is None:
        assert found is None
    else:
        assert message in str(found)
        assert str(found).startswith(f'galaxy_python: "{python}": ')
    missing = str(machine.check_python(str(tmp_path / "python2.7"), "18.9.0", "2.7", "2.7"))
    assert "does not run" in missing
    assert "Galaxy 18.9.0 needs Python 2.7" in missing


def test_headers(tmp_path: Path) -> None:
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        assert "Python.h" in str(machine.check_headers(sys.executable))
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {tmp_path}/include\n")
    python.chmod(0o755)
    found = machine.check_headers(str(python))
    assert found is not None
    assert "uwsgi_install_method" in found
    assert f"{tmp_path}/include/Python.h" in found
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").write_text("")
    assert machine.check_headers(str(python)) is None
    assert "does not run" in str(machine.check_headers(str(tmp_path / "no")))
