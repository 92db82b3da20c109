# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace uWSGI by another one while requests go on.

    python3 galaxy_handover.py [OPTION ...] -- COMMAND [ARGUMENT ...]

This is what supervisor runs as Galaxy's web program. It holds the listening sockets and starts the command, uWSGI,
which inherits them. At SIGHUP it starts a second uWSGI beside the first. When each worker of that one has said that it
can answer, they begin, and the first one takes no more requests, ends those that it has, and leaves. A new uWSGI that
ends, fails its own proof or takes too long is killed, and the old one goes on. The state file tells how it went.

uWSGI's own reload would hold all requests for as long as Galaxy loads.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import glob
import grp
import json
import os
import pwd
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

# Where systemd, whose way of handing sockets over uWSGI knows, puts the first one.
FIRST_FD = 3
# The workers' end of a connection. Each says "ready NUMBER OF-HOW-MANY" or "failed NUMBER WHY", and takes no request
# before its other end is closed (galaxy_wsgi/server.py).
NOTIFY = "GALAXY_HANDOVER_FD"
# Seconds that a uWSGI may take to end what it has begun, for the bridge.
DRAIN = "GALAXY_HANDOVER_DRAIN"
PR_SET_PDEATHSIG = 1
# What one of these programs tells the newer one that takes its place.
INHERITED = "GALAXY_HANDOVER_INHERITED"
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

with open(__file__, "rb") as this:
    VERSION = this.read()

LOADING, SERVING, LEAVING = "loading", "serving", "leaving"


def listen(address: str, backlog: int, mode: int | None, owner: str | None) -> socket.socket:
    """Return a socket that listens at host:port or at a path, as uWSGI would have made it."""
    if address.startswith("/"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        if mode is not None:
            os.chmod(address, mode)
        if owner:
            os.chown(address, *ids(owner))
    else:
        host, _colon, port = address.rpartition(":")
        listening = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), int(port)))
    listening.listen(backlog)
    return listening


def ids(owner: str) -> tuple[int, int]:
    """Return the numbers of user:group, by names or numbers; -1 for one that is not given."""
    user, _colon, group = owner.partition(":")
    uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid if user else -1
    gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else -1
    return uid, gid


def inode(path: str) -> int:
    """Return what tells a file from another that has taken its name; 0 if there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


@dataclass
class Generation:
    """One uWSGI: its master's process and what is known of it."""

    pid: int
    line: socket.socket
    # By the clock of the files that it reads.
    since: float
    # Until when it has to be ready, or to have left.
    deadline: float
    state: str = LOADING
    ready: set[str] = field(default_factory=set)
    expected: int = 0
    error: str = ""
    # Where it takes commands: uWSGI's master FIFO.
    fifo: int = -1
    status: int | None = None

    def hear(self) -> bool:
        """Take up what its workers have said; tell whether they may say more."""
        said = self.line.recv(65536)
        word, number, rest = [*said.decode(errors="replace").split(" ", 2), "", ""][:3]
        if word == "ready" and rest.isdigit():
            self.ready.add(number)
            self.expected = int(rest)
        elif word == "failed":
            self.error = f"worker {number} cannot answer: {rest}"
        return bool(said)

    def is_ready(self) -> bool:
        """Tell whether each of its workers can answer."""
        return 0 < self.expected <= len(self.ready)

    def end(self, number: int) -> None:
        """Send a signal to all of its processes that are there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Handover:
    """Keeps one uWSGI serving, and replaces it when told to."""

    def __init__(self, options: argparse.Namespace, sockets: list[socket.socket]) -> None:
        self._options = options
        self._sockets = sockets
        self._serving: Generation | None = None
        self._next: Generation | None = None
        self._leaving: list[Generation] = []
        self._wanted = True
        # What to exit with, once it is to stop.
        self._status: int | None = None
        # How the last try ended: when it was begun, and what was wrong.
        self._tried = 0.0
        self._error = ""
        self._selector = selectors.DefaultSelector()
        # Files of uWSGI's that a second one takes the names of.
        self._paths: list[str] = [path for path in (options.fifo, options.stats) if path]

    # --- The loop --------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until there is no uWSGI any more, and return the status to exit with."""
        wake, signals = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signals)
        for number in (*SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._selector.register(wake, selectors.EVENT_READ)
        while True:
            self._step()
            if not self._alive():
                self.clean_up()
                for path in filter(os.path.isabs, self._options.socket):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                return self._status or 0
            for key, _events in self._selector.select(0.1 if self._next and self._next.is_ready() else 1.0):
                if key.fd == wake:
                    self._take(os.read(wake, 4096))
                elif not key.data.hear():
                    # uWSGI has reloaded itself, and closed what it did not know.
                    self._selector.unregister(key.fileobj)

    def _take(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._wanted = True
            elif number != signal.SIGCHLD:
                self._stop(0)

    def _step(self) -> None:
        """Do what there is to do."""
        self._reap()
        if self._wanted and not self._next and self._status is None:
            if self._serving and is_renewed():
                self._renew()
            self._wanted = False
            self._next = self._start()
            self._tell()
        self._judge()
        now = time.monotonic()
        for generation in self._alive():
            if generation.state == LEAVING and now > generation.deadline:
                say(f"uWSGI {generation.pid} has not left in time: killing it")
                generation.end(signal.SIGKILL)

    def _alive(self) -> list[Generation]:
        return [generation for generation in (self._serving, self._next, *self._leaving) if generation]

    # --- A newer version of this program ---------------------------------------------------------------

    def _renew(self) -> None:
        """Let the newer version of this program go on from here, as this process. Does not return."""
        generations = [each for each in (*self._leaving, self._serving) if each]
        kept = {
            "sockets": [listening.fileno() for listening in self._sockets],
            "generations": [
                {
                    "pid": each.pid,
                    "line": each.line.fileno(),
                    "fifo": each.fifo,
                    "since": each.since,
                    "deadline": each.deadline,
                }
                for each in generations
            ],
            "tried": self._tried,
        }
        set_inheritable(kept, True)
        os.environ[INHERITED] = json.dumps(kept)
        say("there is a newer version of this program: going on with that")
        # Until it listens to them.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606

    def take_up(self, kept: dict[str, Any]) -> None:
        """Go on from where the older version was."""
        set_inheritable(kept, False)
        for each in kept["generations"]:
            line = socket.socket(fileno=each["line"])
            generation = Generation(each["pid"], line, each["since"], each["deadline"], LEAVING, fifo=each["fifo"])
            self._leaving.append(generation)
            self._selector.register(line, selectors.EVENT_READ, generation)
        # The last of them serves.
        self._serving = self._leaving.pop()
        self._serving.state = SERVING
        self._tried = kept["tried"]

    # --- What becomes of one ---------------------------------------------------------------------------

    def _start(self) -> Generation:
        """Start uWSGI with the sockets."""
        # One message at a time, whoever of them writes it.
        line, notify = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        since = time.time()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(notify.fileno())
            except OSError as error:
                say(f"{self._options.command[0]}: {error.strerror}")
            finally:
                os._exit(127)
        notify.close()
        line.setblocking(False)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        generation = Generation(pid, line, since, time.monotonic() + self._options.timeout)
        self._selector.register(line, selectors.EVENT_READ, generation)
        say(f"started uWSGI {pid}" + (f" to replace {self._serving.pid}" if self._serving else ""))
        return generation

    def _become(self, notify: int) -> None:
        """Become the command. Runs in the new process, and does not return."""
        os.setpgid(0, 0)
        # If this process is killed, uWSGI must not go on with the sockets.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.set_wakeup_fd(-1)
        for number in (*SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # Out of the way of each other first, then to their places.
        sources = [*(listening.fileno() for listening in self._sockets), notify]
        beyond = FIRST_FD + len(sources)
        for place, copy in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for fd in sources], FIRST_FD):
            os.dup2(copy, place)
        os.environ.update(
            {
                "LISTEN_PID": str(os.getpid()),
                "LISTEN_FDS": str(len(self._sockets)),
                # With its inode, for another file may get the number later on.
                NOTIFY: f"{FIRST_FD + len(self._sockets)}:{os.fstat(notify).st_ino}",
                DRAIN: str(self._options.drain),
            }
        )
        os.execvp(self._options.command[0], self._options.command)  # noqa: S606

    def _judge(self) -> None:
        """Let the new one take over if it is ready, and give it up if it is not going to be."""
        new = self._next
        if not new or self._status is not None:
            return
        # The first one may take its time: there is no other that could serve.
        if self._serving and not new.error and time.monotonic() > new.deadline:
            new.error = f"it was not ready in {self._options.timeout:.0f} seconds"
        if new.error:
            self._give_up(new)
        elif new.is_ready() and self._has_its_own_files(new):
            self._take_over(new)

    def _has_its_own_files(self, new: Generation) -> bool:
        """Tell whether a uWSGI has its FIFO and its statistics socket, which its master makes after its workers."""
        for path in self._paths:
            found = inode(path)
            if not found or (self._serving and found == inode(alias(path, self._serving))):
                return False
        with contextlib.suppress(OSError):
            if new.fifo < 0:
                new.fifo = os.open(self._options.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return new.fifo >= 0

    def _take_over(self, new: Generation) -> None:
        with contextlib.suppress(OSError):
            for path in self._paths:
                os.link(path, alias(path, new))
        old, self._serving, self._next = self._serving, new, None
        new.state = SERVING
        new.line.shutdown(socket.SHUT_WR)
        if old:
            self._leave(old, self._options.drain)
        self._tried, self._error = new.since, ""
        say(f"uWSGI {new.pid} serves, after {time.time() - new.since:.1f} s")
        self._tell()

    def _give_up(self, new: Generation) -> None:
        self._tried, self._error = new.since, new.error
        say(f"uWSGI {new.pid} does not serve: {new.error}")
        self._next = None
        if new.status is None:
            # Nobody will miss it: it has not taken a request.
            self._leave(new, 0.0)
        self._tell()
        if not self._serving:
            # supervisor starts all of this again.
            self._stop(1)

    def _leave(self, old: Generation, seconds: float) -> None:
        """Have one take no more requests, end those that it has, and go."""
        was, old.state = old.state, LEAVING
        old.deadline = time.monotonic() + seconds
        self._leaving.append(old)
        if was == LOADING:
            # uWSGI takes no notice of any other signal then.
            old.end(signal.SIGKILL)
            return
        try:
            os.write(old.fifo, b"q")
        except OSError:
            # It has reloaded itself, and made another FIFO.
            old.end(signal.SIGTERM)

    def _reap(self) -> None:
        """See who has ended."""
        for generation in self._alive():
            pid, status = os.waitpid(generation.pid, os.WNOHANG)
            if not pid:
                continue
            generation.status = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):
                # Why a worker has failed, perhaps.
                generation.hear()
            # What it may have left behind.
            generation.end(signal.SIGKILL)
            self._close(generation)
            if generation is self._next:
                generation.error = generation.error or f"it ended with status {generation.status}"
                self._give_up(generation)
            elif generation is self._serving:
                say(f"uWSGI {generation.pid} has ended with status {generation.status}")
                self._serving = None
                self._stop(1)
            else:
                self._leaving.remove(generation)
                say(f"uWSGI {generation.pid} has left")
            self._tell()

    def _close(self, generation: Generation) -> None:
        """Forget one that has ended. It has taken names of files with it, which may be those of the one that serves."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(generation.line)
        generation.line.close()
        if generation.fifo >= 0:
            os.close(generation.fifo)
        for path in self._paths:
            with contextlib.suppress(OSError):
                os.unlink(alias(path, generation))
            serving = self._serving
            with contextlib.suppress(OSError):
                if serving and serving is not generation and inode(path) != inode(alias(path, serving)):
                    os.link(alias(path, serving), f"{path}.0")
                    os.rename(f"{path}.0", path)

    def _stop(self, status: int) -> None:
        """Stop all of them, in bounded time, and exit with a status then."""
        if self._status is not None:
            return
        self._status = status
        for generation in self._alive():
            # While it loads or leaves, uWSGI takes no notice of any other signal.
            generation.end(signal.SIGTERM if generation.state == SERVING else signal.SIGKILL)
            generation.state = LEAVING
            generation.deadline = time.monotonic() + self._options.stop_timeout

    # --- What is told ----------------------------------------------------------------------------------

    def clean_up(self) -> None:
        """Remove what a uWSGI may have left."""
        for path in self._paths:
            for left in (path, *glob.glob(f"{glob.escape(path)}.[0-9]*")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(left)

    def _tell(self) -> None:
        """Write the state file."""
        serving = self._serving
        state = {
            "pid": os.getpid(),
            "master": serving.pid if serving else None,
            "since": serving.since if serving else None,
            "loading": self._next.since if self._next else None,
            "tried": self._tried,
            "error": self._error,
        }
        try:
            with open(f"{self._options.state}.new", "w", encoding="utf-8") as file:
                json.dump(state, file)
            os.rename(f"{self._options.state}.new", self._options.state)
        except OSError as error:
            # The disk may be full. That is no reason to stop serving.
            say(f"cannot write {self._options.state}: {error.strerror}")


def alias(path: str, generation: Generation) -> str:
    """Return a second name of a file, which uWSGI does not know and so does not take away."""
    return f"{path}.{generation.pid}"


def set_inheritable(kept: dict[str, Any], inheritable: bool) -> None:
    """Have the files that a newer version of this program needs stay open for it."""
    for descriptor in [*kept["sockets"], *(each[key] for each in kept["generations"] for key in ("line", "fifo"))]:
        # One that never served has no FIFO.
        if descriptor >= 0:
            os.set_inheritable(descriptor, inheritable)


def is_renewed() -> bool:
    """Tell whether there is a newer version of this program, which can be read."""
    try:
        with open(__file__, "rb") as file:
            text = file.read()
        compile(text, __file__, "exec")
    except (OSError, SyntaxError, ValueError):
        return False
    return text != VERSION


def say(text: str) -> None:
    """Write to the log, in the form of uWSGI's own lines."""
    with contextlib.suppress(OSError):
        print(f"[handover] {time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def octal(mode: str) -> int:
    """Return a mode; uWSGI's option without a value means that anybody may write."""
    return int(mode, 8) if mode.isdigit() else 0o666


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Replace uWSGI by another one while requests go on.")
    parser.add_argument("--socket", action="append", required=True, help="where to listen, host:port or a path")
    parser.add_argument("--chmod-socket", type=octal, help="mode of Unix sockets")
    parser.add_argument("--chown-socket", help="user:group of Unix sockets")
    parser.add_argument("--listen", type=int, default=100, help="connections that may wait at each socket")
    parser.add_argument("--fifo", required=True, help="uWSGI's master FIFO")
    parser.add_argument("--stats", help="uWSGI's statistics socket")
    parser.add_argument("--state", required=True, help="file to say in how it went")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a new uWSGI to be ready in")
    parser.add_argument("--drain", type=float, default=600, help="seconds for an old one to end its requests in")
    parser.add_argument("--stop-timeout", type=float, default=25, help="seconds for one to stop in at SIGTERM")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the program."""
    options = parse(sys.argv[1:])
    kept = json.loads(os.environ.pop(INHERITED, "{}"))
    sockets = [socket.socket(fileno=descriptor) for descriptor in kept.get("sockets", ())]
    for address in options.socket if not kept else ():
        try:
            sockets.append(listen(address, options.listen, options.chmod_socket, options.chown_socket))
        except OSError as error:
            say(f"cannot listen at {address}: {error.strerror}")
            return 1
    handover = Handover(options, sockets)
    if kept:
        handover.take_up(kept)
    else:
        handover.clean_up()
    return handover.run()


if __name__ == "__main__":
    sys.exit(main())
