# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary: a real database (SQLite) with the tables it touches, and a Galaxy that speaks HTTP."""

from __future__ import annotations

import datetime
import http.server
import importlib.util
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# With real processes, which take their time.
pytestmark = pytest.mark.slow

sa = pytest.importorskip("sqlalchemy")

SCRIPT = Path(__file__).parents[3] / "roles" / "galaxy" / "files" / "galaxy_canary.py"

# As in Galaxy 26.1, as far as the canary goes. Older releases lack columns, newer ones have more.
TABLES = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
CREATE TABLE galaxy_user (id INTEGER PRIMARY KEY, create_time TIMESTAMP, update_time TIMESTAMP,
    email VARCHAR(255) NOT NULL UNIQUE, username VARCHAR(255) UNIQUE, password VARCHAR(255) NOT NULL,
    last_password_change TIMESTAMP, external BOOLEAN, deleted BOOLEAN, purged BOOLEAN, disk_usage NUMERIC,
    active BOOLEAN NOT NULL, activation_token VARCHAR(64));
CREATE TABLE api_keys (id INTEGER PRIMARY KEY, create_time TIMESTAMP, user_id INTEGER, key VARCHAR(32) UNIQUE,
    deleted BOOLEAN NOT NULL DEFAULT 0);
CREATE TABLE galaxy_session (id INTEGER PRIMARY KEY, user_id INTEGER, session_key VARCHAR(255), is_valid BOOLEAN);
CREATE TABLE role (id INTEGER PRIMARY KEY, create_time TIMESTAMP, update_time TIMESTAMP, name VARCHAR(255) NOT NULL,
    description TEXT, type VARCHAR(40), deleted BOOLEAN);
CREATE TABLE user_role_association (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, role_id INTEGER NOT NULL,
    create_time TIMESTAMP, update_time TIMESTAMP);
CREATE TABLE default_user_permissions (id INTEGER PRIMARY KEY, user_id INTEGER, action TEXT, role_id INTEGER);
CREATE TABLE history (id INTEGER PRIMARY KEY, user_id INTEGER, name VARCHAR(255), deleted BOOLEAN, purged BOOLEAN);
CREATE TABLE history_dataset_association (id INTEGER PRIMARY KEY, history_id INTEGER, dataset_id INTEGER,
    deleted BOOLEAN);
CREATE TABLE dataset (id INTEGER PRIMARY KEY, deleted BOOLEAN, purged BOOLEAN);
CREATE TABLE job (id INTEGER PRIMARY KEY, history_id INTEGER, tool_id VARCHAR(255), state VARCHAR(64),
    handler VARCHAR(255), info VARCHAR(255), job_runner_name VARCHAR(255), exit_code INTEGER, tool_stderr TEXT);
CREATE TABLE worker_process (id INTEGER PRIMARY KEY, server_name VARCHAR(255), hostname VARCHAR(255), pid INTEGER,
    update_time TIMESTAMP, app_type VARCHAR);
INSERT INTO alembic_version VALUES ('abc');
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("galaxy_canary", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeGalaxy:
    """A Galaxy: its API on HTTP, its state in the database. Its job ends when a test says so."""

    def __init__(self, directory: Path) -> None:
        self.url = "sqlite:///%s" % (directory / "universe.sqlite")
        self.engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with self.engine.begin() as connection:
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(sa.text(statement))
        self.state, self.handler = "ok", "handler0"
        self.content: bytes | None = None  # what is downloaded, if not what was sent
        self.sent = b""
        self.keys: set[str] = set()
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.serve(self)

            do_POST = do_GET  # noqa: N815
            do_DELETE = do_GET  # noqa: N815

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def sql(self, text: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(text), values)
            return list(result) if result.returns_rows else []

    def reports(self, name: str, pid: int = 1, age: float = 5) -> None:
        """Let a process have reported to the database."""
        then = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(seconds=age)
        self.sql(
            "INSERT INTO worker_process VALUES (NULL, :name, 'h', :pid, :then, NULL)",
            name=name,
            pid=pid,
            then=str(then),
        )

    def serve(self, request: http.server.BaseHTTPRequestHandler) -> None:
        key = request.headers["x-api-key"]
        self.keys.add(key)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append("%s %s" % (request.command, request.path))
        user = self.sql(
            "SELECT u.id FROM api_keys k JOIN galaxy_user u ON u.id = k.user_id "
            "WHERE k.key = :key AND NOT u.deleted AND u.active",
            key=key,
        )
        answer: Any
        status, path = 200, request.path.partition("?")[0]
        if path == "/api/version":
            answer = {"version_major": "26.1", "version_minor": "2"}
        elif not user:
            status, answer = 401, {"err_msg": "Provided API key is not valid."}
        elif path == "/api/histories" and request.command == "POST":
            name = json.loads(body)["name"]
            self.sql("INSERT INTO history VALUES (NULL, :user, :name, 0, 0)", user=user[0][0], name=name)
            answer = {"id": str(self.sql("SELECT max(id) FROM history")[0][0])}
        elif path in ("/api/histories", "/api/histories/deleted"):
            rows = self.sql(
                "SELECT id, name, purged FROM history WHERE deleted = :deleted", deleted=path.endswith("deleted")
            )
            answer = [{"id": str(row[0]), "name": row[1], "purged": bool(row[2])} for row in rows]
        elif path == "/api/tools/fetch":
            payload = json.loads(body)
            self.sent = payload["targets"][0]["elements"][0]["paste_content"].encode()
            history = int(payload["history_id"])
            self.sql("INSERT INTO dataset VALUES (NULL, 0, 0)")
            self.sql(
                "INSERT INTO history_dataset_association SELECT NULL, :history, max(id), 0 FROM dataset",
                history=history,
            )
            self.sql(
                "INSERT INTO job VALUES "
                "(NULL, :history, '__DATA_FETCH__', :state, :handler, NULL, 'local', 1, 'no space left')",
                history=history,
                state=self.state,
                handler=self.handler,
            )
            answer = {"outputs": [{"id": "d"}]}
        elif path == "/api/datasets/d":
            answer = {"state": "ok", "file_size": len(self.sent)}
        elif path == "/api/datasets/d/display":
            answer = self.sent if self.content is None else self.content
        elif request.command == "DELETE":
            self.sql("UPDATE history SET deleted = 1, purged = 1 WHERE id = :id", id=int(path.rpartition("/")[2]))
            self.sql("UPDATE dataset SET deleted = 1, purged = 1")
            answer = {}
        else:
            status, answer = 404, {"err_msg": "nothing at %s" % path}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def left(self) -> tuple[int, list[Any]]:
        """Return how many keys there are, and the state of the accounts."""
        users = [tuple(row) for row in self.sql("SELECT email, password, deleted, active FROM galaxy_user")]
        return self.sql("SELECT count(*) FROM api_keys")[0][0], users


GONE = (0, [("canary@galaxy.invalid", "*", 1, 0)])


@pytest.fixture
def galaxy(tmp_path: Path) -> Iterator[FakeGalaxy]:
    server = FakeGalaxy(tmp_path)
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def command(tmp_path: Path, galaxy: FakeGalaxy) -> list[str]:
    """Return the canary's command line. Galaxy's own reader of its configuration is the one thing that is replaced."""
    package = tmp_path / "lib" / "galaxy" / "util"
    package.mkdir(parents=True)
    for directory in (package.parent, package):
        (directory / "__init__.py").touch()
    (package / "properties.py").write_text(
        "import configparser\n"
        "def load_app_properties(config_file):\n"
        "    parser = configparser.ConfigParser(interpolation=None)\n"
        "    parser.read(config_file)\n"
        "    return dict(parser['app:main'])\n"
    )
    (tmp_path / "galaxy.ini").write_text("[app:main]\ndatabase_connection = %s\n" % galaxy.url)
    code = (
        "import sys; sys.path.insert(0, %r); sys.argv[0] = %r; "
        "exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'))"
    )
    url = "http://127.0.0.1:%d" % galaxy.server.server_port
    return [
        *(sys.executable, "-c", code % (str(tmp_path / "lib"), str(SCRIPT)), "job"),
        *(
            "--config-file",
            str(tmp_path / "galaxy.ini"),
            "--url",
            url,
            "--host",
            "g.example.org",
            "--handler",
            "handler0",
        ),
        *("--timeout", "20", "--start-timeout", "2"),
    ]


def run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == result["ok"]
    return result


def test_a_job_goes_through(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    result = run(command)
    assert result["ok"] is True, result
    assert (result["handler"], result["version"], result["purged"]) == ("handler0", "26.1.2", True)
    assert result["credential_refused"] is True
    assert galaxy.left() == GONE
    (key,) = galaxy.keys
    assert key not in json.dumps(result)
    assert key not in " ".join(galaxy.asked)
    assert galaxy.sql("SELECT count(*) FROM role") == [(1,)]
    assert {row[0] for row in galaxy.sql("SELECT action FROM default_user_permissions")} == {
        "access",
        "manage permissions",
    }


def test_runs_leave_one_account_and_each_has_its_own_key(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    for _number in range(2):
        assert run(command)["ok"] is True
    assert galaxy.left() == GONE
    assert len(galaxy.keys) == 2
    assert galaxy.sql("SELECT count(*) FROM role") == [(1,)]
    assert galaxy.sql("SELECT count(*) FROM history WHERE NOT purged") == [(0,)]


def test_what_an_earlier_run_left_is_removed(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    run(command)
    galaxy.sql("INSERT INTO api_keys SELECT NULL, NULL, id, 'old-key', 0 FROM galaxy_user")
    galaxy.sql("INSERT INTO galaxy_session SELECT NULL, id, 'old-session', 1 FROM galaxy_user")
    galaxy.sql("INSERT INTO history SELECT NULL, id, 'canary old', 1, 0 FROM galaxy_user")
    assert run(command)["ok"] is True
    assert galaxy.left() == GONE
    assert galaxy.sql("SELECT count(*) FROM galaxy_session WHERE is_valid") == [(0,)]
    assert galaxy.sql("SELECT count(*) FROM history WHERE NOT purged") == [(0,)]


def test_others_are_left_alone(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    galaxy.sql(
        "INSERT INTO galaxy_user (email, username, password, deleted, active) "
        "VALUES ('ann@x.org', 'galaxy-canary', 'h', 0, 1)"
    )
    galaxy.sql("INSERT INTO api_keys SELECT NULL, NULL, id, 'key-of-ann', 0 FROM galaxy_user")
    assert run(command)["ok"] is True
    keys, users = galaxy.left()
    assert keys == 1
    assert ("ann@x.org", "h", 0, 1) in users


@pytest.mark.parametrize(
    "state, handler, content, stage, said",
    [
        ("error", "handler0", None, "job", "state error, exit code 1, handler handler0"),
        ("ok", "main.2", None, "handler", "it ran in main.2, a web process"),
        ("ok", "handler9", None, "handler", "it ran in handler9"),
        ("ok", "handler0", b"something else", "download", "status 200, a body of 14 bytes: something else"),
        ("ok", "handler0", b"", "download", "an empty body"),
        ("new", "handlers", None, "job", "no handler has taken it (it waits for one with the tag handlers)"),
        ("queued", "handler0", None, "job", "state queued, with handler0"),
    ],
)
def test_a_broken_stage(
    galaxy: FakeGalaxy, command: list[str], state: str, handler: str, content: bytes | None, stage: str, said: str
) -> None:
    galaxy.reports("handler0")
    galaxy.state, galaxy.handler, galaxy.content = state, handler, content
    result = run([*command, "--timeout", "1"])
    assert (result["ok"], result["stage"]) == (False, stage)
    assert said in result["seen"]
    assert galaxy.left() == GONE
    assert result["purged"] is True
    if state == "error":
        assert "no space left" in result["problems"]


@pytest.mark.parametrize(
    "pid, age, more, said",
    [
        (None, 0, [], "handler0: has not reported to the database"),
        (1, 1000, [], "handler0: has not reported to the database"),
        (4, 5, ["--pid", "handler0=%d" % os.getpid()], "(an earlier one, 4, had)"),
        (4, 5, ["--pid", "handler0=999999999"], "has not reported"),
    ],
)
def test_a_handler_that_has_not_loaded(
    galaxy: FakeGalaxy, command: list[str], pid: int | None, age: float, more: list[str], said: str
) -> None:
    if pid is not None:
        galaxy.reports("handler0", pid, age)
    result = run([*command, "--start-timeout", "0.1", *more])
    assert result["stage"] == "handlers"
    assert said in result["problems"][0]
    assert galaxy.left() == (0, [])  # nothing was asked, so no account was needed


def test_web_processes_may_run_the_jobs(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.handler = "main.1"
    at = command.index("handler0")
    assert run([*command[:at], "main", *command[at + 1 :]])["ok"] is True


def test_galaxy_may_be_behind_a_unix_socket(galaxy: FakeGalaxy, command: list[str], tmp_path: Path) -> None:
    class UnixServer(socketserver.ThreadingUnixStreamServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            return self.socket.accept()[0], ("unix", 0)

    galaxy.reports("handler0")
    with UnixServer(str(tmp_path / "http.sock"), galaxy.server.RequestHandlerClass) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        at = command.index("--url") + 1
        assert run([*command[:at], f"unix:{tmp_path}/http.sock", *command[at + 1 :]])["ok"] is True
        server.shutdown()


def test_nobody_answers(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    at = command.index("--url") + 1
    result = run([*command[:at], "http://127.0.0.1:1", *command[at + 1 :]])
    assert result["stage"] == "upload"
    assert "refused" in result["seen"]
    assert galaxy.left() == GONE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_leaves_no_credential(galaxy: FakeGalaxy, command: list[str], number: signal.Signals) -> None:
    galaxy.reports("handler0")
    galaxy.state = "running"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _attempt in range(200):
        if "POST /api/tools/fetch" in galaxy.asked:
            break
        time.sleep(0.1)
    assert galaxy.left()[0] == 1
    process.send_signal(number)
    output, _errors = process.communicate(timeout=60)
    for _attempt in range(100):
        if galaxy.left() == GONE:
            break
        time.sleep(0.1)
    assert galaxy.left() == GONE
    if number != signal.SIGKILL:
        assert json.loads(output)["seen"] == "signal %s" % number.name


def test_two_runs_wait_for_each_other(galaxy: FakeGalaxy, command: list[str]) -> None:
    galaxy.reports("handler0")
    galaxy.state = "running"
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    for _attempt in range(200):
        if "POST /api/tools/fetch" in galaxy.asked:
            break
        time.sleep(0.1)
    result = run([*command, "--lock-timeout", "0.5"])
    assert result["seen"] == "another canary is still under way"
    assert galaxy.left()[0] == 1  # the key of the first is still there
    first.terminate()
    first.communicate(timeout=60)
    assert galaxy.left() == GONE


def test_the_database(galaxy: FakeGalaxy, command: list[str], tmp_path: Path) -> None:
    at = command.index("job")
    database = [*command[:at], "database", "--config-file", str(tmp_path / "galaxy.ini"), "--timeout", "0"]
    assert run(database)["revisions"] == ["abc"]
    versions = tmp_path / "lib" / "galaxy" / "model" / "migrations" / "alembic" / "versions_gxy"
    versions.mkdir(parents=True)
    (versions / "a.py").write_text('revision = "abc"\ndown_revision = None\n')
    assert run(database)["ok"] is True
    (versions / "b.py").write_text('revision: str = "def"\ndown_revision: str = "abc"\n')
    result = run(database)
    assert (result["expected"].endswith("wants: def"), result["seen"]) == (True, "revision abc")
    galaxy.sql("DELETE FROM alembic_version")
    assert "none that tells the schema's revision" in run(database)["seen"]
    (tmp_path / "universe.sqlite").unlink()
    assert "there is no such file" in run(database)["seen"]
    (tmp_path / "galaxy.ini").unlink()
    assert run(database)["stage"] == "configuration"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://galaxy:p%40ss@db/galaxy", "postgresql://galaxy:***@db/galaxy"),
        ("postgresql:///galaxy?host=/run&password=abc", "postgresql:///galaxy?host=/run&password=***"),
        ("nonsense", "nonsense://..."),
    ],
)
def test_no_password_is_shown(script: ModuleType, url: str, shown: str) -> None:
    assert script.shown_url(url) == shown


@pytest.mark.parametrize(
    "handler, expected, right",
    [
        ("handler0", ["handler0"], True),
        ("handler1", ["handler0"], False),
        ("main.1", ["main"], True),
        ("main", ["main"], True),
        ("main.1", ["handler0"], False),
        ("mainframe", ["main"], False),
    ],
)
def test_expected_handlers(script: ModuleType, handler: str, expected: list[str], right: bool) -> None:
    assert script._is_expected(handler, expected) is right


def test_nothing_secret_on_the_command_line(script: ModuleType) -> None:
    help_text = subprocess.run(
        [sys.executable, str(SCRIPT), "job", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert not any(word in help_text for word in ("password", "secret", "key"))
    assert script.LOCKED == "*"
