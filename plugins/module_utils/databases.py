# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's databases: dump them, copy them, and put them back as they were, each with the database's own tools."""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ansible_collections.dagobah.galaxy.plugins.module_utils.database_url import parse_database_url
from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError

# Who may create databases on this machine's own server.
SUPERUSER = "postgres"

SERVER_TOOLS = "postgresql-client, which has pg_dump, pg_restore and psql"

# A dump that takes the whole of SQLite's file as it is at one moment, while others write.
SQLITE_DUMP = """
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=60)
copy = sqlite3.connect(":memory:")
source.backup(copy)
sys.stdout.buffer.write(copy.serialize())
"""
SQLITE_RESTORE = """
import sqlite3, sys
copy = sqlite3.connect(":memory:")
copy.deserialize(sys.stdin.buffer.read())
copy.backup(sqlite3.connect(sys.argv[1], timeout=60))
"""
# What has a schema's revision, and how it is asked.
REVISIONS = {
    "alembic_version": "SELECT version_num FROM alembic_version",
    "migrate_version": "SELECT version FROM migrate_version WHERE repository_id = 'Galaxy'",
}
SQLITE_REVISIONS = """
import os, sqlite3, sys
if os.path.exists(sys.argv[1]):
    source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=60)
    for table, query in REVISIONS.items():
        if source.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone():
            print(*(row[0] for row in source.execute(query)))
            break
""".replace("REVISIONS", repr(REVISIONS))

# Takes away all that Galaxy has in its database, in one transaction with what a dump puts in its place.
EMPTY = """
DO $$
DECLARE item record;
BEGIN
  FOR item IN
    SELECT 'TABLE' AS kind, oid::regclass::text AS name, oid FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL SELECT 'VIEW', oid::regclass::text, oid FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
    UNION ALL SELECT 'SEQUENCE', oid::regclass::text, oid FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    UNION ALL SELECT 'FUNCTION', oid::regprocedure::text, oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'TYPE', oid::regtype::text, oid FROM pg_type
      WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
    -- In order, so that all have been named before the first is dropped.
    ORDER BY 1, 2
  LOOP
    -- What an extension has brought stays.
    IF NOT EXISTS (SELECT FROM pg_depend WHERE objid = item.oid AND deptype = 'e') THEN
      EXECUTE format('DROP %s IF EXISTS %s CASCADE', item.kind, item.name);
    END IF;
  END LOOP;
END $$;
"""


class DatabaseError(InputError):
    """A step with a database did not work; the message says why."""


def options_of_user(user: str) -> dict[str, Any]:
    """Return the options of Popen by which a command runs as a user, with nothing of our environment."""
    account = pwd.getpwnam(user)
    options: dict[str, Any] = {
        "env": {
            "HOME": account.pw_dir,
            "USER": user,
            "LOGNAME": user,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
        },
        "cwd": "/",
        "umask": 0o027,
        "preexec_fn": die_with_parent,
    }
    if os.geteuid() == 0 and account.pw_uid != 0:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        options.update(user=account.pw_uid, group=account.pw_gid, extra_groups=groups)
    return options


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed (``prctl(2)``): nobody else would."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


@dataclass(frozen=True)
class Database:
    """One database, and who connects to it."""

    url: str
    user: str
    python: str = "/usr/bin/python3"

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL; else it is SQLite."""
        return self.url.startswith("postgresql")

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine's, so that its superuser can be asked."""
        return parse_database_url(self.url)["local"]

    @property
    def name(self) -> str:
        """Name of the database, or path of the file."""
        return parse_database_url(self.url)["database"]

    def named(self, name: str) -> Database:
        """Return another database of the same server, or another file."""
        parts = urlsplit(self.url)
        # urlunsplit would drop the empty host of "postgresql:///galaxy".
        return Database(
            f"{parts.scheme}://{parts.netloc}/{name}{f'?{parts.query}' if parts.query else ''}", self.user, self.python
        )

    def connection(self) -> tuple[str, dict[str, str]]:
        """Return what the tools of PostgreSQL connect to, and the password, which nobody else may see, by itself."""
        parts = urlsplit(self.url)
        password = parts.password or ""
        query = []
        for key, value in parse_qsl(parts.query):
            if key == "password":
                password = value
            else:
                query.append((key, value))
        host = parts.netloc.rpartition("@")[2]
        place = f"{parts.username}@{host}" if parts.username else host
        address = urlunsplit(("postgresql", place, parts.path, urlencode(query, safe="/"), ""))
        if "://" not in address:
            address = address.replace(":", "://", 1)
        return address, {"PGPASSWORD": password} if password else {}

    def run(
        self,
        program: str,
        *arguments: str,
        stdin: IO[bytes] | bytes | None = None,
        stdout: IO[bytes] | None = None,
    ) -> str:
        """Run a tool of PostgreSQL as Galaxy's user and return what it printed."""
        address, password = self.connection()
        return run([program, f"--dbname={address}", *arguments], self.user, password, stdin, stdout)

    def ask(self, query: str) -> str:
        """Return the answer to a query."""
        return self.run("psql", "-XAtq", "--set=ON_ERROR_STOP=1", f"--command={query}").strip()

    def revisions(self) -> list[str]:
        """Return the revisions of its schema, or the number of a classic one; none if it is empty."""
        if not self.is_postgresql:
            return sorted(run([self.python, "-c", SQLITE_REVISIONS, self.name], self.user).split())
        for table, query in REVISIONS.items():
            if self.ask(f"SELECT to_regclass('{table}') IS NOT NULL") == "t":
                return sorted(self.ask(query).split())
        return []

    def size(self) -> int:
        """Return how many bytes it takes."""
        if self.is_postgresql:
            return int(self.ask("SELECT pg_database_size(current_database())"))
        return os.path.getsize(self.name) if os.path.exists(self.name) else 0

    def dump(self, target: IO[bytes]) -> None:
        """Write its contents, as they are at one moment, to a file."""
        if self.is_postgresql:
            self.run("pg_dump", "--format=custom", stdout=target)
        else:
            run([self.python, "-c", SQLITE_DUMP, self.name], self.user, stdout=target)

    def load(self, source: IO[bytes]) -> None:
        """Fill an empty database from a dump."""
        if self.is_postgresql:
            self.run("pg_restore", "--no-owner", "--no-acl", "--exit-on-error", "--single-transaction", stdin=source)
        else:
            run([self.python, "-c", SQLITE_RESTORE, self.name], self.user, stdin=source)

    def restore(self, source: str) -> None:
        """Put it back as a dump has it: at once, or not at all."""
        if not self.is_postgresql:
            with open(source, "rb") as stream:
                self.load(stream)
            return
        address, password = self.connection()
        with (
            open(source, "rb") as stream,
            _popen(
                ["pg_restore", "--no-owner", "--no-acl", "--file=-"],
                self.user,
                {},
                stdin=stream,
                stdout=subprocess.PIPE,
            ) as reader,
            _popen(
                ["psql", "-Xq", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--dbname={address}"],
                self.user,
                password,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            ) as writer,
        ):
            try:
                writer.stdin.write(b"SET lock_timeout = '60s';\n" + EMPTY.encode())
                shutil.copyfileobj(reader.stdout, writer.stdin)
                # The end of what was read decides: nothing is committed that is not whole.
                if reader.wait():
                    writer.stdin.write(b"\nSELECT 1/0;\n")
                writer.stdin.close()
            except BrokenPipeError:
                # It has stopped at an error, and nobody takes the rest.
                reader.kill()
            said = writer.stderr.read().decode(errors="replace")
            reason = reader.stderr.read().decode(errors="replace")
            if writer.wait() or reader.wait():
                raise DatabaseError(f"{self.name} was left as it is: {_reason(reason) or _reason(said)}")

    def check_room(self, needed: int) -> None:
        """Fail if the disk of this machine's own server has no room for so many bytes: what serves would fail, too."""
        if self.is_postgresql and self.is_local:
            require_room(self.server("SHOW data_directory").strip(), needed, "a copy of the database")

    def server(self, *commands: str) -> str:
        """Have something done that takes the right to create databases: by the superuser, if the server is here."""
        arguments = ["psql", "-XAtq", "--set=ON_ERROR_STOP=1", *(f"--command={command}" for command in commands)]
        if self.is_local:
            parts = parse_database_url(self.url)
            host = [f"--host={parts['host']}"] if parts["host"] else []
            return run([*arguments, *host, f"--port={parts['port']}", "--dbname=postgres"], SUPERUSER)
        address, password = self.named("postgres").connection()
        return run([*arguments, f"--dbname={address}"], self.user, password)

    def create(self) -> None:
        """Create it, empty."""
        if self.is_postgresql:
            owner = f" OWNER {quoted(self.owner())}" if self.is_local else ""
            self.server(f"CREATE DATABASE {quoted(self.name)}{owner} ENCODING 'UTF8' TEMPLATE template0")

    def drop(self) -> None:
        """Drop it, whoever is connected, if it is there."""
        if self.is_postgresql:
            self.server(
                "SET client_min_messages = error",
                f"DROP DATABASE IF EXISTS {quoted(self.name)} WITH (FORCE)",
            )
        elif os.path.exists(self.name):
            os.unlink(self.name)

    def owner(self) -> str:
        """Return the role that connects."""
        return parse_database_url(self.url)["user"] or self.user

    def may_create(self) -> bool:
        """Tell whether databases can be created beside it."""
        if not self.is_postgresql or self.is_local:
            return True
        return self.ask("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user") == "t"


def require_room(directory: str, needed: int, what: str) -> None:
    """Fail if a directory has no room for what is to be written there."""
    info = os.statvfs(directory)
    free = info.f_bavail * info.f_frsize
    if free < needed:
        raise DatabaseError(f"{directory} has {free / 1e6:.0f} MB left, and {what} takes up to {needed / 1e6:.0f} MB")


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _popen(
    command: Sequence[str], user: str, environment: Mapping[str, str], stdin: Any = None, stdout: Any = subprocess.PIPE
) -> Any:
    options = options_of_user(user)
    options["env"] = {**options["env"], **environment}
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            **options,
        )
    except FileNotFoundError:
        raise DatabaseError(f"there is no {command[0]}; the package {SERVER_TOOLS}, is missing") from None


def run(
    command: Sequence[str],
    user: str,
    environment: Mapping[str, str] | None = None,
    stdin: IO[bytes] | bytes | None = None,
    stdout: IO[bytes] | None = None,
    hint: Callable[[str], str] | None = None,
) -> str:
    """Run a command as a user and return what it printed.

    :raises DatabaseError: with what it said, if it fails.
    """
    given = stdin if isinstance(stdin, bytes) else None
    process = _popen(
        command,
        user,
        environment or {},
        subprocess.PIPE if given is not None else stdin,
        subprocess.PIPE if stdout is None else stdout,
    )
    try:
        output, errors = process.communicate(given)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        said = errors.decode(errors="replace")
        raise DatabaseError(f"{os.path.basename(command[0])}: {(hint or _reason)(said) or process.returncode}")
    return (output or b"").decode()


def _reason(said: str) -> str:
    """Return what a tool said that tells why, in one line."""
    lines = [re.sub(r"^(pg_dump|pg_restore|psql)(:<stdin>:\d+)?: ", "", line.strip()) for line in said.splitlines()]
    telling = [line for line in lines if re.match(r"(error|fatal):", line, re.I)] or lines
    return "; ".join(dict.fromkeys(line for line in telling if line))[:600]
