# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Galaxy's database, or send one small job all the way through Galaxy, and say how that went.

It runs as the user that runs Galaxy, with the Python of the release, and prints one JSON object:

    galaxy_canary.py database --config-file galaxy.ini
    galaxy_canary.py job --config-file galaxy.ini --url http://127.0.0.1 --host galaxy.example.org --handler handler0

The job belongs to one account, canary@galaxy.invalid, which is kept and used again, so that hundreds of runs
leave one account and not hundreds. Nobody can log in to it: it never has a password that could be typed, and
between two runs it is deleted and has no API key. A run gives it a key that only this process knows and takes it
away again, whatever happens: on failure, on a signal, and by a second process if this one is killed.

Galaxy's application is not built for this (that takes a minute and memory): the few rows are written through
SQLAlchemy Core with the columns that the database itself reports, which suits old and new releases alike. Classic
ones bring SQLAlchemy 1.3 and may run on Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import glob
import http.client
import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import ssl
import sys
import time
import traceback
import urllib.parse
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

EMAIL = "canary@galaxy.invalid"  # .invalid is reserved: no mail can ever be sent there
USERNAME = "galaxy-canary"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOCKED = "*"  # no hash of any password
HISTORY_PREFIX = "canary "
LOCK_NUMBER = 0x67785F63616E6172  # "gx_canar": PostgreSQL's advisory locks are numbers
TOOL = "__DATA_FETCH__"
PARTIAL_CHAIN = 0x80000  # ssl.VERIFY_X509_PARTIAL_CHAIN, which Python 3.9 knows, but not by name
FRESH = 150  # seconds; a living process reports to the database every 60
FINAL = ("ok", "error", "deleted", "deleting", "stop", "stopped", "paused", "failed", "skipped")


class StageError(Exception):
    """A stage did not give what it should. Everything a person needs to know is in here."""

    def __init__(
        self,
        stage: str,
        expected: str,
        seen: str,
        look_at: str = "",
        waited: float | None = None,
        problems: list[str] | None = None,
    ) -> None:
        super().__init__("%s: expected %s, saw %s" % (stage, expected, seen))
        self.facts: dict[str, Any] = {
            "stage": stage,
            "expected": expected,
            "seen": seen,
            "look_at": look_at,
            "problems": problems or [],
        }
        if waited is not None:
            self.facts["waited"] = round(waited, 1)


class Interrupted(BaseException):
    """A signal asks to stop. Not an Exception, so that nothing but the clean-up handles it."""


def pause(seconds: float) -> None:
    """Sleep. Only here can a signal end the run.

    Anywhere else it is held back: it would leave a connection half open, and with it a lock in the database.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        time.sleep(seconds)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


# --- Configuration and database ---------------------------------------------------------------------


def read_config(path: str) -> dict[str, Any]:
    """Read Galaxy's configuration the way Galaxy does, whatever its format."""
    from galaxy.util.properties import load_app_properties

    if not os.access(path, os.R_OK):
        raise StageError(
            "configuration",
            "to read Galaxy's configuration %s as user %s" % (path, _user_name()),
            "it is missing or may not be read",
            "owner, group and mode of the file and of the directories above it",
        )
    try:
        return dict(load_app_properties(config_file=path))
    except Exception as error:
        raise StageError(
            "configuration",
            "Galaxy to read its configuration %s" % path,
            "%s: %s" % (type(error).__name__, _one_line(error)),
            "the line that the message names",
        ) from error


def database_url(config: dict[str, Any]) -> str:
    """Return the URL of Galaxy's database, with Galaxy's own default if the configuration has none."""
    url = config.get("database_connection")
    if not url:
        data_dir = config.get("data_dir") or os.path.join(".", "database" if os.path.isdir("database") else "data")
        url = "sqlite:///%s?isolation_level=IMMEDIATE" % os.path.join(data_dir, "universe.sqlite")
    return re.sub(r"^postgres://", "postgresql://", str(url))


def shown_url(url: str) -> str:
    """Return the URL without its password, nor one given among its parameters."""
    try:
        parsed = sa.engine.url.make_url(url.partition("?")[0])
        # SQLAlchemy 1.3 hides the password when it shows a URL as Python would write it.
        shown = parsed.render_as_string(hide_password=True) if hasattr(parsed, "render_as_string") else repr(parsed)
    except sa.exc.ArgumentError:
        return url.partition(":")[0] + "://..."
    _address, mark, parameters = url.partition("?")
    return shown + mark + re.sub(r"(\w*password=)[^&]*", r"\1***", parameters)


def connect(url: str) -> sa.engine.Engine:
    """Return an engine that keeps no connection open, so that a fork has none to inherit."""
    # SQLite lets one process write at a time: wait for the others as long as Galaxy would.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    return sa.create_engine(url, poolclass=sa.pool.NullPool, **options)


def select(*columns: Any) -> Any:
    """Return a query, as this SQLAlchemy wants it to be made."""
    return sa.select(list(columns)) if sa.__version__.startswith("1.3.") else sa.select(*columns)


def check_database(url: str, timeout: float) -> dict[str, Any]:
    """Connect, and compare the schema with the one that this release wants."""
    began = time.monotonic()
    if url.startswith("sqlite"):
        path = re.sub(r"^sqlite[^:]*:///", "", url).partition("?")[0]
        if path and not os.path.exists(path):
            raise StageError(
                "database",
                "a database at %s" % path,
                "there is no such file",
                "database_connection in the configuration",
            )
    last: Exception | None = None
    while True:
        try:
            engine = connect(url)
            with engine.connect() as connection:
                if connection.execute(sa.text("SELECT 1")).scalar() != 1:
                    raise StageError("database", "SELECT 1 to give 1", "something else", "the database server")
                tables = set(sa.inspect(connection).get_table_names())
                version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
                revisions = _revisions(connection, tables)
            break
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            last = error
            if time.monotonic() - began >= timeout or not _may_pass(error):
                raise StageError(
                    "database",
                    "a connection to %s as user %s" % (shown_url(url), _user_name()),
                    _one_line(getattr(error, "orig", None) or error),
                    _database_hint(str(error)),
                    waited=time.monotonic() - began,
                ) from last
            pause(1)
    wanted = _wanted_revisions()
    missing = [revision for revision in wanted if revision not in revisions]
    if not revisions or "galaxy_user" not in tables:
        raise StageError(
            "database",
            "Galaxy's tables in %s" % shown_url(url),
            "%d tables, %s"
            % (
                len(tables),
                "none of Galaxy's" if "galaxy_user" not in tables else "none that tells the schema's revision",
            ),
            "the step of the playbook that initialises the database, once and in one process, before Galaxy starts",
        )
    if missing:
        raise StageError(
            "database",
            "the schema to have the revision that this release wants: %s" % ", ".join(wanted),
            "revision %s" % ", ".join(revisions),
            "the step of the playbook that migrates the database; or a release older than the database is in use",
        )
    return {
        "database": shown_url(url),
        "server": "%s %s" % (re.split(r"[:+]", url, maxsplit=1)[0], version),
        "revisions": revisions,
    }


def _revisions(connection: sa.engine.Connection, tables: set[str]) -> list[str]:
    for table, column in (("alembic_version", "version_num"), ("migrate_version", "version")):
        if table in tables:
            query = select(sa.column(column)).select_from(sa.table(table))
            if table == "migrate_version":
                # Galaxy's own, and not that of the tools it has installed.
                query = query.where(sa.column("repository_id") == "Galaxy")
            rows: Any = connection.execute(query)
            return sorted(str(row[0]) for row in rows)
    return []


def _wanted_revisions() -> list[str]:
    """Read the newest revision of Galaxy's own schema from the release's migration scripts.

    Importing Galaxy's model just to ask it would take seconds.
    """
    spec = importlib.util.find_spec("galaxy")
    heads = []
    for root in (spec.submodule_search_locations or []) if spec else []:
        # Classic releases number their schemas, up to this one.
        scripts = glob.glob(os.path.join(root, "model/migrate/versions/[0-9]*_*.py"))
        heads += [str(max(int(os.path.basename(path).split("_")[0]) for path in scripts))] if scripts else []
        revisions: set[str] = set()
        followed: set[str] = set()
        for path in glob.glob(os.path.join(root, "model/migrations/alembic/versions_gxy/*.py")):
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            for found, pattern in (
                (revisions, r"^revision\b[^=]*=\s*(.+)$"),
                (followed, r"^down_revision\b[^=]*=\s*(.+)$"),
            ):
                match = re.search(pattern, text, re.M)
                found.update(re.findall(r"[\"'](\w+)[\"']", match.group(1)) if match else [])
        heads += sorted(revisions - followed)
    return heads


def _may_pass(error: Exception) -> bool:
    """Tell whether waiting can help: a server that starts, or is full, but not a wrong name."""
    return any(
        word in str(error)
        for word in (
            "starting up",
            "shutting down",
            "refused",
            "too many clients",
            "No such file or directory",
            "recovery",
        )
    )


def _database_hint(message: str) -> str:
    hints = (
        (
            "Peer authentication failed",
            "pg_hba.conf, and whether there is a database role with the name of this system user",
        ),
        ("password authentication failed", "the password in galaxy_database_connection, and pg_hba.conf"),
        ("no pg_hba.conf entry", "pg_hba.conf: it has no line for this user, database and address"),
        (
            "does not exist",
            "whether the role and the database were created (role postgresql, or by hand on an external server)",
        ),
        (
            "No such file or directory",
            "whether PostgreSQL runs (systemctl status postgresql) and in which directory its socket is",
        ),
        ("Connection refused", "whether the server runs, and host and port in galaxy_database_connection"),
        ("could not translate host name", "the host name in galaxy_database_connection"),
        ("too many clients", "max_connections of the server"),
        ("No module named", "whether the release has the database's driver"),
    )
    return next((hint for text, hint in hints if text in message), "the database server and its log")


class Model:
    """The few tables of Galaxy that the canary touches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = connect(url)
        self._tables: dict[str, sa.Table] = {}

    def table(self, name: str) -> sa.Table:
        """Return a table with the columns it has in this database."""
        if name not in self._tables:
            # resolve_fks: else a dozen further tables are reflected along with each.
            self._tables[name] = sa.Table(name, sa.MetaData(), autoload_with=self.engine, resolve_fks=False)
        return self._tables[name]

    @contextlib.contextmanager
    def alone(self, timeout: float, config_file: str) -> Iterator[None]:
        """Keep other runs out: Galaxy honours only the newest key of an account."""
        deadline = time.monotonic() + timeout
        with contextlib.ExitStack() as stack:
            if self.engine.dialect.name == "postgresql":
                connection = stack.enter_context(self.engine.connect())
                # Of the transaction, not of the session: that works through a pooler too.
                attempt = sa.text("SELECT pg_try_advisory_xact_lock(%d)" % LOCK_NUMBER)
                while not connection.execute(attempt).scalar():
                    self._too_late(deadline, timeout)
                    pause(1)
            else:
                stream = stack.enter_context(open(config_file, "rb"))
                while True:
                    try:
                        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except OSError:
                        self._too_late(deadline, timeout)
                        pause(1)
            yield

    @staticmethod
    def _too_late(deadline: float, timeout: float) -> None:
        if time.monotonic() > deadline:
            raise StageError(
                "prepare",
                "to be the only canary",
                "another canary is still under way",
                "other runs of verify.yml against this instance",
                waited=timeout,
            )

    def admit(self, key: str) -> int:
        """Make the account usable by this key, and by nothing else. Return its number."""
        user, now = self.table("galaxy_user"), _now()
        with self.engine.begin() as connection:
            row = connection.execute(select(user.c.id).where(user.c.email == EMAIL)).first()
            values = {
                "password": LOCKED,
                "active": True,
                "deleted": False,
                "purged": False,
                "activation_token": None,
                "update_time": now,
            }
            if row:
                user_id = int(row[0])
                connection.execute(user.update().where(user.c.id == user_id).values(**self._known(user, values)))
            else:
                taken = connection.execute(select(user.c.id).where(user.c.username == USERNAME)).first()
                values.update(
                    email=EMAIL,
                    username=USERNAME if not taken else "%s-%s" % (USERNAME, secrets.token_hex(4)),
                    create_time=now,
                    last_password_change=now,
                    external=False,
                    disk_usage=0,
                )
                user_id = self._insert(connection, user, values)
            self._privacy(connection, user_id)
            keys = self.table("api_keys")
            # What a run left behind that was killed together with its second process.
            connection.execute(keys.delete().where(keys.c.user_id == user_id))
            self._insert(connection, keys, {"user_id": user_id, "key": key, "create_time": now, "deleted": False})
        return user_id

    def _privacy(self, connection: sa.engine.Connection, user_id: int) -> None:
        """Give the account its private role, as Galaxy does at registration: its datasets are its own."""
        role, owned, default = (
            self.table("role"),
            self.table("user_role_association"),
            self.table("default_user_permissions"),
        )
        now = _now()
        query = select(role.c.id).where(
            sa.and_(role.c.id == owned.c.role_id, owned.c.user_id == user_id, role.c.type == "private")
        )
        row = connection.execute(query).first()
        if row:
            role_id = int(row[0])
        else:
            values = {
                "name": EMAIL,
                "description": "Private role of the canary",
                "type": "private",
                "deleted": False,
                "create_time": now,
                "update_time": now,
            }
            role_id = self._insert(connection, role, values)
            self._insert(
                connection, owned, {"user_id": user_id, "role_id": role_id, "create_time": now, "update_time": now}
            )
        if not connection.execute(select(default.c.id).where(default.c.user_id == user_id)).first():
            for action in ("manage permissions", "access"):
                self._insert(connection, default, {"user_id": user_id, "action": action, "role_id": role_id})

    def expel(self) -> int:
        """Take every credential away from the account. Return how many are left, which is 0 if it worked."""
        user, keys, sessions = self.table("galaxy_user"), self.table("api_keys"), self.table("galaxy_session")
        with self.engine.begin() as connection:
            row = connection.execute(select(user.c.id).where(user.c.email == EMAIL)).first()
            if not row:
                return 0
            user_id = int(row[0])
            connection.execute(keys.delete().where(keys.c.user_id == user_id))
            valid = sa.and_(sessions.c.user_id == user_id, sessions.c.is_valid == sa.true())
            connection.execute(sessions.update().where(valid).values(is_valid=False))
            values = {"password": LOCKED, "active": False, "deleted": True, "update_time": _now()}
            connection.execute(user.update().where(user.c.id == user_id).values(**self._known(user, values)))
            count = select(sa.func.count())
            left = connection.execute(count.select_from(keys).where(keys.c.user_id == user_id)).scalar() or 0
            left += connection.execute(count.select_from(sessions).where(valid)).scalar() or 0
        return int(left)

    def history_id(self, user_id: int, name: str) -> int | None:
        """Return the number of a history in the database."""
        history = self.table("history")
        with self.engine.connect() as connection:
            return connection.execute(
                select(history.c.id).where(sa.and_(history.c.user_id == user_id, history.c.name == name))
            ).scalar()

    def job(self, history_id: int) -> dict[str, Any] | None:
        """Return the upload job of a history."""
        job = self.table("job")
        names = (
            "id",
            "state",
            "handler",
            "info",
            "job_runner_name",
            "destination_id",
            "exit_code",
            "tool_stderr",
            "job_stderr",
            "traceback",
        )
        columns = [job.c[name] for name in names if name in job.c]
        query = (
            select(*columns)
            .where(sa.and_(job.c.history_id == history_id, job.c.tool_id == TOOL))
            .order_by(job.c.id.desc())
        )
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return dict(zip([column.name for column in columns], row)) if row else None  # noqa: B905 - new in Python 3.10

    def abandon(self, user_id: int) -> None:
        """Mark the canary's histories and datasets as deleted, for Galaxy's own clean-up to find.

        This is for when Galaxy does not answer and cannot purge them itself.
        """
        history, dataset = self.table("history"), self.table("history_dataset_association")
        mine = select(history.c.id).where(history.c.user_id == user_id)
        with self.engine.begin() as connection:
            connection.execute(dataset.update().where(dataset.c.history_id.in_(mine)).values(deleted=True))
            connection.execute(history.update().where(history.c.user_id == user_id).values(deleted=True))

    def unpurged(self, user_id: int) -> int:
        """Return how many datasets of the canary are still on disk."""
        history, hda, dataset = self.table("history"), self.table("history_dataset_association"), self.table("dataset")
        mine = sa.and_(
            dataset.c.id == hda.c.dataset_id,
            hda.c.history_id == history.c.id,
            history.c.user_id == user_id,
            dataset.c.purged == sa.false(),
        )
        query = select(sa.func.count()).select_from(dataset).where(mine)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def processes(self) -> list[dict[str, Any]]:
        """Return the Galaxy processes that reported to the database lately."""
        try:
            table = self.table("worker_process")
        except sa.exc.NoSuchTableError:
            return []
        names = ("server_name", "hostname", "pid", "update_time")
        with self.engine.connect() as connection:
            rows = connection.execute(select(*(table.c[name] for name in names))).fetchall()
        processes = [dict(zip(names, row)) for row in rows]  # noqa: B905 - new in Python 3.10
        return [
            process
            for process in processes
            if process["update_time"] and (_now() - process["update_time"]).total_seconds() < FRESH
        ]

    @staticmethod
    def _known(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in table.c}

    def _insert(self, connection: sa.engine.Connection, table: sa.Table, values: dict[str, Any]) -> int:
        key: Any = connection.execute(table.insert().values(**self._known(table, values))).inserted_primary_key
        return int(key[0])


class Guard:
    """A second process that takes the credential away if this one dies without having done so."""

    def __init__(self, url: str) -> None:
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            self._watch(reader, url)
        os.close(reader)

    @staticmethod
    def _watch(reader: int, url: str) -> None:
        """Wait until the other end of the pipe is closed; it says "done" before, or it was killed."""
        try:
            os.setsid()
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            # Let go of the pipes to whoever started us: they would wait for them to be closed.
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            if not os.read(reader, 1):
                for _attempt in range(30):
                    try:
                        Model(url).expel()
                        break
                    except Exception:
                        time.sleep(2)
        finally:
            os._exit(0)

    def dismiss(self) -> None:
        """Send the second process home."""
        os.write(self._writer, b".")
        os.close(self._writer)
        os.waitpid(self._pid, 0)


# --- HTTP -----------------------------------------------------------------------------------------


class Galaxy:
    """Galaxy's API as seen from outside, through whatever proxy stands before it."""

    def __init__(self, url: str, host: str, prefix: str, key: str, verify: bool, ca_file: str | None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._scheme = parts.scheme
        self._path = parts.path
        self._address = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._host = host or parts.netloc
        self._prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self._key = key
        self._verify, self._ca_file = verify, ca_file

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=timeout)
        if self._scheme == "unix":
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(timeout)
            connection.sock.connect(self._path)
        if self._scheme == "https":
            context = ssl.create_default_context(cafile=self._ca_file)
            # A certificate in that file is good by itself, whoever issued it.
            context.verify_flags |= PARTIAL_CHAIN
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            connection.connect()
            # The name in the certificate is the server's, not the address that we connect to.
            connection.sock = context.wrap_socket(connection.sock, server_hostname=self._host.rsplit(":", 1)[0])
        return connection

    def ask(self, method: str, path: str, payload: Any = None, timeout: float = 30) -> tuple[int, bytes]:
        """Ask once."""
        headers = {"Host": self._host, "x-api-key": self._key, "Accept": "*/*", "User-Agent": "dagobah.galaxy canary"}
        body = None
        if payload is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(payload).encode()
        connection = self._connect(timeout)
        try:
            connection.request(method, self._prefix + path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(16 * 1024 * 1024)
        finally:
            connection.close()

    def call(self, stage: str, what: str, method: str, path: str, payload: Any = None) -> Any:
        """Ask, and return the decoded answer or say what is wrong with it."""
        where = "%s %s%s" % (method, self._prefix, path)
        try:
            status, body = self.ask(method, path, payload)
        except (OSError, http.client.HTTPException) as error:
            raise StageError(
                stage,
                "%s (%s)" % (what, where),
                "%s: %s" % (type(error).__name__, error),
                "nginx and the web processes",
            ) from error
        if status != 200:
            raise StageError(
                stage,
                "%s: status 200 for %s" % (what, where),
                "status %d, %s" % (status, _body(body)),
                _status_hint(status),
            )
        try:
            return json.loads(body)
        except ValueError as error:
            raise StageError(
                stage, "%s: JSON from %s" % (what, where), _body(body), "whether this URL leads to this Galaxy at all"
            ) from error


def _status_hint(status: int) -> str:
    if status in (401, 403):
        return "whether the database in the configuration is the one that the web processes use"
    if status == 413:
        return "nginx_client_max_body_size"
    if status in (502, 503, 504):
        return "nginx's error log; the web processes do not answer nginx"
    return "the web processes' log"


# --- The job --------------------------------------------------------------------------------------


class Canary:
    """One run."""

    def __init__(self, options: argparse.Namespace, config: dict[str, Any]) -> None:
        self.options = options
        self.url = database_url(config)
        self.key = secrets.token_hex(16)  # 32 characters: what the column holds
        self.galaxy = Galaxy(options.url, options.host, options.prefix, self.key, not options.insecure, options.ca_file)
        self.times: dict[str, float] = {}
        self.result: dict[str, Any] = {"times": self.times}
        self.notes: list[str] = []
        self.history: str | None = None

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long a stage takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.times[stage] = round(time.monotonic() - began, 2)

    def run(self) -> dict[str, Any]:
        """Send the job and clean up, whatever comes."""
        guard = Guard(self.url)  # before anything is connected: a fork must not share connections
        model = Model(self.url)
        user_id: int | None = None
        with contextlib.ExitStack() as stack:
            stack.callback(guard.dismiss)
            with self.timed("prepare"):
                stack.enter_context(model.alone(self.options.lock_timeout, self.options.config_file))
            try:
                with self.timed("handlers"):
                    self.await_handlers(model)
                with self.timed("prepare"):
                    try:
                        user_id = model.admit(self.key)
                    except sa.exc.SQLAlchemyError as error:
                        raise StageError(
                            "prepare",
                            "to write the canary's account into the database",
                            _one_line(getattr(error, "orig", None) or error),
                            "the database's log; whether it is read-only or full",
                        ) from error
                self.send(model, user_id)
            finally:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                with self.timed("clean up"):
                    self.clean_up(model, user_id)
        self.result["notes"] = self.notes
        return self.result

    def await_handlers(self, model: Model) -> None:
        """Wait until each handler has loaded and said so in the database."""
        expected = [name for name in self.options.handler if not _is_web(name)]
        pids = dict(text.split("=", 1) for text in self.options.pid)
        began = time.monotonic()
        while expected:
            alive = {str(process["server_name"]): process for process in model.processes()}
            missing = []
            for name in expected:
                if name not in alive:
                    missing.append("%s: has not reported to the database%s" % (name, _runs(pids.get(name))))
                elif name in pids and str(alive[name]["pid"]) != pids[name]:
                    missing.append(
                        "%s: process %s has not reported to the database (an earlier one, %s, had)"
                        % (name, pids[name], alive[name]["pid"])
                    )
                elif name in pids and not os.path.exists("/proc/%s" % pids[name]):
                    missing.append("%s: process %s has ended" % (name, pids[name]))
            if not missing:
                break
            waited = time.monotonic() - began
            gone = [name for name in expected if name in pids and not os.path.exists("/proc/%s" % pids[name])]
            if waited > self.options.start_timeout or gone:
                raise StageError(
                    "handlers",
                    "each job handler to load and report to the database: %s" % ", ".join(expected),
                    "%d of %d%s"
                    % (
                        len(expected) - len(missing),
                        len(expected),
                        "" if not gone else "; %s ended while loading" % ", ".join(gone),
                    ),
                    "the logs of these handlers",
                    waited,
                    missing,
                )
            pause(2)
        self.result["handlers"] = {str(process["server_name"]): process["pid"] for process in model.processes()}

    def send(self, model: Model, user_id: int) -> None:
        """History, upload, job, download."""
        galaxy, options = self.galaxy, self.options
        with self.timed("upload"):
            version = galaxy.call("upload", "Galaxy's version", "GET", "/api/version")
            self.result["version"] = "%s.%s" % (version.get("version_major"), version.get("version_minor"))
            self.purge_leftovers()
            name = HISTORY_PREFIX + secrets.token_hex(8)
            history = galaxy.call("upload", "a new history", "POST", "/api/histories", {"name": name})
            self.history = history["id"]
            text = "".join("canary %s\n" % secrets.token_hex(16) for _line in range(3))
            element = {
                "src": "pasted",
                "paste_content": text,
                "name": "canary.txt",
                "ext": "txt",
                "dbkey": "?",
                "to_posix_lines": False,
                "space_to_tab": False,
            }
            payload = {
                "history_id": history["id"],
                "targets": [{"destination": {"type": "hdas"}, "elements": [element], "name": "canary"}],
                "auto_decompress": False,
            }
            answer = galaxy.call(
                "upload", "an upload of %d bytes to be accepted" % len(text), "POST", "/api/tools/fetch", payload
            )
            try:
                dataset = answer["outputs"][0]["id"]
            except (KeyError, IndexError, TypeError) as error:
                raise StageError(
                    "upload",
                    "the upload to make a dataset",
                    _body(json.dumps(answer).encode()),
                    "the web processes' log",
                ) from error
            history_number = model.history_id(user_id, name)
            if history_number is None:
                raise StageError(
                    "upload",
                    "the new history in %s" % shown_url(self.url),
                    "it is not there, though Galaxy accepted it",
                    "whether the web processes use another database than the configuration names",
                )
        with self.timed("job"):
            job = self.await_job(model, history_number)
        # A web process that keeps its own jobs in memory (mem-self) writes down no handler.
        handler = job["handler"] or "main"
        self.result.update(
            handler=handler, job_id=job["id"], runner=job.get("job_runner_name"), destination=job.get("destination_id")
        )
        if not _is_expected(handler, options.handler):
            raise StageError(
                "handler",
                "the job to run in %s" % " or ".join(options.handler),
                "it ran in %s%s" % (handler, ", a web process" if _is_web(handler) else ""),
                "the handlers in job_conf.yml: assign, default and the names of the processes",
            )
        with self.timed("download"):
            self.compare(dataset, text)

    def await_job(self, model: Model, history_id: int) -> dict[str, Any]:
        """Wait for the job to end."""
        began, step = time.monotonic(), 0.3
        while True:
            job = model.job(history_id)
            waited = time.monotonic() - began
            if job and job["state"] in FINAL:
                break
            if waited > self.options.timeout:
                raise self.stuck(model, job, waited)
            pause(step)
            step = min(step * 1.3, 2.0)
        if job["state"] != "ok":
            said = [
                str(job[name]).strip() for name in ("info", "tool_stderr", "job_stderr", "traceback") if job.get(name)
            ]
            raise StageError(
                "job",
                "job %s to end as ok" % job["id"],
                "state %s, exit code %s, handler %s" % (job["state"], job.get("exit_code"), job["handler"]),
                "the handler's log, and below what the job itself said" if said else "the handler's log",
                waited,
                [line for text in said for line in text.splitlines()[-8:]],
            )
        return job

    def stuck(self, model: Model, job: dict[str, Any] | None, waited: float) -> StageError:
        """Say where a job got stuck: each state has its own suspect."""
        alive = {
            str(process["server_name"]): (_now() - process["update_time"]).total_seconds()
            for process in model.processes()
        }
        ages = ["%s %.0f s ago" % (name, age) for name, age in sorted(alive.items())]
        problems = [
            "Galaxy processes that reported to the database (each does every 60 s): %s" % (", ".join(ages) or "none")
        ]
        if job is None:
            seen, look_at = "there is no job for the upload at all", "the web processes' log"
        else:
            handler = job["handler"]
            untaken = handler not in alive and handler not in self.options.handler  # the name of a tag, or none at all
            seen = "job %s is in state %s, %s" % (
                job["id"],
                job["state"],
                "no handler has taken it%s" % (" (it waits for one with the tag %s)" % handler if handler else "")
                if untaken
                else "with %s" % handler,
            )
            if untaken:
                look_at = (
                    "whether the handlers hang, and whether their tags and names in job_conf.yml are those of running "
                    "processes (assign: db-skip-locked needs PostgreSQL)"
                )
            elif handler not in alive:
                look_at = (
                    "handler %s: the job was given to it, and it has not reported for %d s; supervisorctl status"
                    % (handler, FRESH)
                )
            elif job["state"] in ("new", "waiting", "upload"):
                look_at = "the log of %s: it has not taken the job up; limits in job_conf.yml" % handler
            elif job["state"] == "queued":
                look_at = "runner %s, destination %s: the job waits there for its turn" % (
                    job.get("job_runner_name"),
                    job.get("destination_id"),
                )
            else:
                look_at = "the job itself: it runs and does not end (runner %s); its working directory" % job.get(
                    "job_runner_name"
                )
        return StageError("job", "the upload's job to end", seen, look_at, waited, problems)

    def compare(self, dataset: str, text: str) -> None:
        """Read the dataset back, once Galaxy calls it ok."""
        began = time.monotonic()
        while True:
            facts = self.galaxy.call("download", "the dataset's state", "GET", "/api/datasets/%s" % dataset)
            if facts.get("state") == "ok":
                break
            if facts.get("state") in ("error", "failed_metadata", "discarded") or time.monotonic() - began > 30:
                raise StageError(
                    "download",
                    "the dataset to be ok",
                    "state %s: %s" % (facts.get("state"), facts.get("misc_info")),
                    "the handler's log",
                    time.monotonic() - began,
                )
            pause(0.5)
        path = "/api/datasets/%s/display?to_ext=txt" % dataset
        try:
            status, body = self.galaxy.ask("GET", path)
            if status == 404 and self.history:
                # Where classic releases have it.
                path = "/api/histories/%s/contents/%s/display?to_ext=txt" % (self.history, dataset)
                status, body = self.galaxy.ask("GET", path)
        except (OSError, http.client.HTTPException) as error:
            raise StageError(
                "download",
                "the dataset's content",
                "%s: %s" % (type(error).__name__, error),
                "nginx and the web processes",
            ) from error
        if status == 200 and body == text.encode():
            return
        if status in (403, 404) and facts.get("file_size") is not None:
            hint = (
                "whether nginx may read the data directory, and its location for X-Accel-Redirect; "
                "nginx's error log names the file"
            )
        elif status == 200 and not body:
            hint = (
                "nginx's location for X-Accel-Redirect, or that nothing is set up to follow it: "
                "Galaxy sent a header in place of the content"
            )
        else:
            hint = _status_hint(status)
        raise StageError(
            "download",
            "status 200 and the %d bytes that were sent" % len(text),
            "status %d, %s" % (status, _body(body)),
            hint,
        )

    def purge_leftovers(self) -> None:
        """Purge what an earlier run, cut off, could not."""
        for path in ("/api/histories", "/api/histories/deleted"):
            histories = self.galaxy.call("upload", "the canary's histories", "GET", path)
            for history in histories if isinstance(histories, list) else []:
                if not history.get("purged") and str(history.get("name", "")).startswith(HISTORY_PREFIX):
                    self.purge(history["id"])

    def purge(self, history: str) -> bool:
        """Purge one history with its datasets, their files included."""
        for query in ("?purge=true", ""):  # an administrator may have forbidden purging
            status, _body = self.galaxy.ask("DELETE", "/api/histories/%s%s" % (history, query))
            if status == 200:
                return bool(query)
        return False

    def clean_up(self, model: Model, user_id: int | None) -> None:
        """Purge the data through Galaxy, then take the credential away and prove that it is gone."""
        purged = False
        try:
            if user_id is not None:
                self.purge_leftovers()
                purged = model.unpurged(user_id) == 0
                if not purged:
                    self.notes.append(
                        "a dataset of the canary is still to be purged by Galaxy (its clean-up or Celery)"
                    )
        except (StageError, OSError, http.client.HTTPException, sa.exc.SQLAlchemyError) as error:
            if self.history:
                self.notes.append("the canary's history could not be purged, the next run will: %s" % error)
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                if user_id is not None:
                    model.abandon(user_id)
        if self.history:
            self.result["purged"] = purged
        try:
            left = model.expel()
        except sa.exc.SQLAlchemyError as error:
            # The database is gone, so nobody can use the key either. Try for as long as it is sensible.
            left = self.retry_expel(model, error)
        if left:
            raise StageError(
                "clean up", "no credential of the canary to be left", "%d" % left, "tables api_keys and galaxy_session"
            )
        if user_id is not None:
            self.prove_useless()

    @staticmethod
    def retry_expel(model: Model, error: Exception) -> int:
        """Try again to take the credential away, for half a minute."""
        for _attempt in range(15):
            time.sleep(2)
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                return model.expel()
        raise StageError(
            "clean up",
            "to take the canary's API key out of the database",
            _one_line(error),
            "the database; then run the proof again, which removes the key of %s first" % EMAIL,
        ) from error

    def prove_useless(self) -> None:
        """Ask with the key once more: Galaxy has to refuse it."""
        try:
            status, _body = self.galaxy.ask("GET", "/api/histories", timeout=15)
        except (OSError, http.client.HTTPException):
            return  # nobody answers, so nobody accepts it either
        if status == 200:
            raise StageError(
                "clean up",
                "Galaxy to refuse the canary's key once it is removed",
                "status 200",
                "whether a cache stands before Galaxy's API",
            )
        if status in (401, 403):
            self.result["credential_refused"] = True


# --- Helpers --------------------------------------------------------------------------------------


def _now() -> datetime.datetime:
    """Return the time as Galaxy stores it: UTC, without saying so."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)  # noqa: UP017 - UTC is new in Python 3.11


def _is_web(name: str) -> bool:
    """Tell whether a process is one of uWSGI's: main.1, or main.web.1 (main.job-handlers.1) in classic releases."""
    return bool(re.fullmatch(r"(?:main|web)(?:\.[a-z-]+)?(?:\.?\d+)*", name))


def _is_expected(handler: str, expected: list[str]) -> bool:
    """Tell whether a handler is one of the expected ones; ``main`` stands for every web process, main.1 too."""
    return handler in expected or (_is_web(handler) and handler.split(".", maxsplit=1)[0] in expected)


def _runs(pid: str | None) -> str:
    if pid is None:
        return ""
    return " (process %s %s)" % (pid, "runs" if os.path.exists("/proc/%s" % pid) else "has ended")


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _one_line(error: object, limit: int = 400) -> str:
    text = " ".join(str(error).split("\n(Background on this error", maxsplit=1)[0].split())
    return text if len(text) <= limit else text[:limit] + " ..."


def _body(body: bytes, limit: int = 240) -> str:
    if not body:
        return "an empty body"
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        message = json.loads(text).get("err_msg")
        if message:
            return "Galaxy says: %s" % message
    text = " ".join(re.sub(r"<[^>]*>", " ", text).split()) or text[:60]
    return "a body of %d bytes: %s" % (len(body), text[:limit])


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line. Nothing on it is secret: other users can see it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    database = commands.add_parser("database", help="connect and check the schema's revision")
    job = commands.add_parser("job", help="send one job through Galaxy")
    for command in (database, job):
        command.add_argument("--config-file", required=True, help="Galaxy's configuration")
        command.add_argument(
            "--timeout", type=float, default=30 if command is database else 300, help="seconds (default: %(default)s)"
        )
    job.add_argument(
        "--url",
        default="http://127.0.0.1",
        help="scheme, address and port of nginx, or unix: and the path of a socket (default: %(default)s)",
    )
    job.add_argument("--host", default="", help="server name to ask for")
    job.add_argument("--prefix", default="/", help="path below which Galaxy is served")
    job.add_argument("--insecure", action="store_true", help="accept any certificate")
    job.add_argument("--ca-file", help="certificates to trust instead of the system's")
    job.add_argument("--handler", action="append", default=[], help="an expected handler; may be given more than once")
    job.add_argument("--pid", action="append", default=[], metavar="HANDLER=PID", help="the process of a handler")
    job.add_argument(
        "--start-timeout", type=float, default=300, help="seconds for the handlers to load (default: %(default)s)"
    )
    job.add_argument(
        "--lock-timeout", type=float, default=120, help="seconds to wait for another canary (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    if options.command == "job" and not options.handler:
        options.handler = ["main"]
    return options


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted("signal %s" % signal.Signals(number).name)


def main(argv: list[str]) -> int:
    """Run, print the result and return the exit status: 0 if all is well, 1 if a stage is broken, 2 for the rest."""
    options = arguments(argv)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    status, result = 0, {}  # type: int, dict[str, Any]
    canary: Canary | None = None
    try:
        config = read_config(options.config_file)
        if options.command == "database":
            result = check_database(database_url(config), options.timeout)
        else:
            canary = Canary(options, config)
            result = canary.run()
    except StageError as error:
        status, result = 1, dict(error.facts)
    except Interrupted as error:
        status, result = (
            2,
            {
                "stage": "interrupted",
                "expected": "to be left to finish",
                "seen": str(error),
                "look_at": "who stopped it",
            },
        )
    except Exception as error:
        # The traceback names files and lines, and no value of a variable: the key is not in it.
        status = 2
        result = {
            "stage": "canary",
            "expected": "the canary itself to work",
            "seen": "%s: %s" % (type(error).__name__, _one_line(error)),
            "look_at": "this traceback",
            "problems": traceback.format_exc().splitlines()[-12:],
        }
    if canary:
        result = dict(canary.result, **result)
        result["notes"] = canary.notes
        text = json.dumps(result, default=str).replace(canary.key, "********")
    else:
        text = json.dumps(result, default=str)
    print(json.dumps(dict(json.loads(text), ok=status == 0)))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
