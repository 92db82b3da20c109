# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine has that stands in the way of an instance: ports that something else holds, a Python without headers.

Runs on the target. Everything is read from /proc.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PORT = re.compile(r"(?:(?P<host>.*):)?(?P<port>\d+)")
ANYWHERE = ("", "*", "0.0.0.0", "::")  # noqa: S104 (names of it)


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections."""

    # An address, or the path of a Unix socket, for which the port is 0.
    address: str
    port: int
    inode: str
    # Whose it is.
    uid: int = 0


@dataclass(frozen=True)
class Process:
    """A process, as an error message shows it."""

    pid: int
    name: str
    command: str

    def __str__(self) -> str:
        """Name it in a sentence."""
        return "process %d (%s)" % (self.pid, self.command or self.name)


class Machine:
    """A look at /proc."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self.listeners = [*self._tcp("tcp", 4), *self._tcp("tcp6", 16), *self._unix()]

    def _lines(self, *names: str) -> list[list[str]]:
        try:
            with open(os.path.join(self._proc, *names), encoding="utf-8", errors="replace") as stream:
                return [line.split() for line in stream][1:]
        except OSError:
            return []

    def _tcp(self, table: str, size: int) -> Iterator[Listener]:
        for fields in self._lines("net", table):
            if len(fields) > 9 and fields[3] == "0A":
                address, _colon, port = fields[1].partition(":")
                # Words of four bytes, each as this machine stores numbers.
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, size * 2, 8)]
                yield Listener(str(ipaddress.ip_address(b"".join(words))), int(port, 16), fields[9], int(fields[7]))

    def _unix(self) -> Iterator[Listener]:
        for fields in self._lines("net", "unix"):
            # The flag of sockets that take connections.
            if len(fields) > 7 and int(fields[3], 16) & 0x10000:
                with contextlib.suppress(OSError):
                    yield Listener(fields[7], 0, fields[6], os.stat(fields[7]).st_uid)

    def holders(self, inodes: set[str]) -> Iterator[Process]:
        """Yield the processes that have one of these sockets open."""
        wanted = {"socket:[%s]" % inode for inode in inodes}
        for pid in sorted(int(name) for name in os.listdir(self._proc) if name.isdigit()):
            if not wanted.isdisjoint(self._files(pid)):
                yield self.process(pid)

    def _files(self, pid: int) -> Iterator[str]:
        directory = os.path.join(self._proc, str(pid), "fd")
        with contextlib.suppress(OSError):
            for number in os.listdir(directory):
                with contextlib.suppress(OSError):
                    yield os.readlink(os.path.join(directory, number))

    def process(self, pid: int) -> Process:
        """Describe a process."""
        command = self._read(pid, "cmdline").replace("\0", " ").strip()
        return Process(pid, self._read(pid, "comm").strip(), command[:200])

    def _read(self, pid: int, name: str) -> str:
        try:
            with open(os.path.join(self._proc, str(pid), name), encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:
            return ""

    def parents(self, pid: int) -> Iterator[Process]:
        """Yield the process that started another, and so on."""
        while pid > 1:
            found = re.search(r"^PPid:\s*(\d+)", self._read(pid, "status"), re.MULTILINE)
            pid = int(found.group(1)) if found else 0
            if pid:
                yield self.process(pid)

    def directory(self, pid: int) -> str:
        """Return the working directory of a process."""
        try:
            return os.readlink(os.path.join(self._proc, str(pid), "cwd"))
        except OSError:
            return ""

    def first_free_port(self) -> int:
        """Return the lowest port that does not take root to open."""
        try:
            with open(os.path.join(self._proc, "sys/net/ipv4/ip_unprivileged_port_start"), encoding="ascii") as stream:
                return int(stream.read())
        except (OSError, ValueError):
            return 1024


def parse(address: str) -> tuple[str, int]:
    """Return host and port ("" and 0 if there is none) of "80", "127.0.0.1:80", "[::]:80 ssl" or a path."""
    word = address.split()[0] if address.split() else ""
    found = None if word.startswith("/") else PORT.fullmatch(word)
    return ((found["host"] or "").strip("[]"), int(found["port"])) if found else (word, 0)


def overlaps(wanted: str, listener: Listener) -> bool:
    """Tell whether an address cannot be bound while this socket is there."""
    host, port = parse(wanted)
    if not port or not listener.port:
        return not port and not listener.port and host == listener.address
    if port != listener.port:
        return False
    host = "127.0.0.1" if host == "localhost" else host
    return host in ANYWHERE or listener.address in ANYWHERE or host == listener.address


@dataclass(frozen=True)
class Own:
    """By what an instance's own processes are known. They may be where they are to be, below supervisord."""

    # Their working directory; that of classic Galaxy is below its releases.
    directory: str
    user: str
    releases: str | None = None

    def includes(self, machine: Machine, process: Process) -> bool:
        """Tell whether a process is one of them."""
        place = machine.directory(process.pid)
        below = self.releases is not None and place.startswith(self.releases.rstrip("/") + "/")
        if place != self.directory and not below:
            return False
        return any(parent.name == "supervisord" for parent in machine.parents(process.pid))


def check_ports(
    machine: Machine, uwsgi: Iterable[tuple[str, str]], nginx: Iterable[tuple[str, str]], own: Own
) -> Iterator[str]:
    """Yield what is wrong with ports and sockets, each a sentence.

    :param uwsgi: variables, and the addresses in them at which uWSGI is to listen
    :param nginx: the same for nginx, which may be there already
    """
    for variable, address in uwsgi:
        port = parse(address)[1]
        lowest = machine.first_free_port()
        if 0 < port < lowest:
            yield '%s: "%s": Galaxy\'s user cannot open ports below %d; name a higher one, such as 8080' % (
                variable,
                address,
                lowest,
            )
            continue
        yield from _stranger(machine, variable, address, own)
    for variable, address in nginx:
        yield from _stranger(machine, variable, address, own, "nginx")


def _stranger(machine: Machine, variable: str, address: str, own: Own, welcome: str = "") -> Iterator[str]:
    """Name the first process at an address that does not belong there."""
    listeners = [listener for listener in machine.listeners if overlaps(address, listener)]
    if not listeners:
        return
    processes = list(machine.holders({listener.inode for listener in listeners}))
    strangers = [str(item) for item in processes if item.name != welcome and not own.includes(machine, item)]
    if not processes:
        # In a container, root may not look into the processes of other users.
        owners = sorted({_user(listener.uid) for listener in listeners} - {own.user})
        strangers = ["a process of the user %s" % owner for owner in owners]
    if strangers:
        yield '%s: "%s": %s listens there; stop it, or name another address' % (variable, address, strangers[0])


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# The first for which releases can be made and finished.
FIRST_PYTHON = (3, 8)


def check_python(python: str, release: str, lowest: str, highest: str) -> str | None:
    """Return why a release does not run on an interpreter, or None."""
    upper = " to %s" % highest if highest else " or later"
    allowed = "Python %s%s" % (lowest, "" if lowest == highest else upper)
    needs = "Galaxy %s needs %s; name such an interpreter, or another galaxy_release" % (release, allowed)
    try:
        answer = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return 'galaxy_python: "%s": does not run (%s). %s' % (python, error, needs)
    found = answer.stdout.strip()
    if _numbers(found) < FIRST_PYTHON and _numbers(lowest) <= _numbers(found):
        return (
            'galaxy_python: "%s": it is Python %s, on which this collection installs nothing; name a later one, or'
            " another galaxy_release than %s" % (python, found, release)
        )
    if _numbers(found) < _numbers(lowest) or (highest and _numbers(found) > _numbers(highest)):
        return 'galaxy_python: "%s": it is Python %s, and %s' % (python, found, needs)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def check_headers(python: str) -> str | None:
    """Return what is wrong with a Python with which a C program is to be compiled, or None."""
    try:
        answer = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return 'galaxy_python: "%s": does not run: %s' % (python, error)
    header = os.path.join(answer.stdout.strip(), "Python.h")
    if not os.path.exists(header):
        return (
            'uwsgi_install_method: "source": uWSGI cannot be compiled for %s, which has no %s; install its headers, or'
            " choose wheel" % (python, header)
        )
    return None
