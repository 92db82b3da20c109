# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial, of a release that only looks like one: its uWSGI speaks HTTP, and its Python is this one."""

from __future__ import annotations

import configparser
import json
import os
import pwd
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import dumps, trial
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import Database, DatabaseError
from ansible_collections.dagobah.galaxy.plugins.module_utils.trial import Candidate, Trial, TrialError

ME = pwd.getpwuid(os.geteuid()).pw_name

SECTIONS: dict[str, dict[str, Any]] = {
    "app:main": {
        "paste.app_factory": "galaxy_wsgi:app_factory",
        "database_connection": "postgresql:///galaxy?host=/var/run/postgresql",
        "data_dir": "/srv/galaxy/data",
        "managed_config_dir": "/srv/galaxy/data/config",
        "job_config_file": "/srv/galaxy/config/job_conf.yml",
        "file_path": "/data/objects",
        "object_store_config_file": "/srv/galaxy/config/object_store_conf.yml",
        "smtp_server": "mail.example.org",
        "amqp_internal_connection": "amqp://galaxy:s3cret@mq.example.org",
        "tool_config_file": "/srv/galaxy/venv/tool_conf.xml,/srv/galaxy/config/local_tool_conf.xml",
        "auth_config_file": "/srv/galaxy/config/auth_conf.xml",
        "brand": "Ours",
        "conda_auto_init": True,
    },
    "uwsgi": {
        "socket": "127.0.0.1:4001",
        "stats": "/srv/galaxy/run/uwsgi.stats",
        "logto": "/srv/galaxy/log/uwsgi.log",
        "processes": 8,
        "buffer-size": 16384,
        "attach-daemon": ["a", "b"],
        "py-call-uwsgi-fork-hooks": True,
    },
    "filter:proxy-prefix": {"use": "egg:PasteDeploy#prefix"},
}


def candidate(tmp_path: Path, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "release": "/srv/galaxy/releases/26.1.2-b",
        "galaxy": "26.1.2",
        "link": "/srv/galaxy/venv",
        "sections": SECTIONS,
        "files": {
            "/srv/galaxy/config/local_tool_conf.xml": "<toolbox/>",
            "/srv/galaxy/config/auth_conf.xml": "<auth/>",
        },
        "bridge": {"__init__.py": "pass\n"},
        "uwsgi": ["/srv/galaxy/releases/26.1.2-b/bin/uwsgi"],
        "managed_config": str(tmp_path / "none"),
        "working_directory": "/",
    }
    return Candidate(**{**values, **changes})


def test_nothing_leads_to_what_serves(tmp_path: Path) -> None:
    url = "postgresql:///galaxy_trial?host=/var/run/postgresql"
    sections = trial.trial_sections(candidate(tmp_path), "/t", [url])
    options = sections["app:main"]
    assert options["database_connection"] == url
    assert not {"file_path", "object_store_config_file", "smtp_server", "amqp_internal_connection"} & set(options)
    assert (options["data_dir"], options["managed_config_dir"]) == ("/t/data", "/t/managed")
    assert options["job_config_file"] == "/t/config/job_conf.yml"
    assert options["check_migrate_databases"] is True
    assert options["conda_auto_init"] is False
    # What the release brings is its own, and what is not written yet is a copy.
    assert options["tool_config_file"] == "/srv/galaxy/releases/26.1.2-b/tool_conf.xml,/t/config/0-local_tool_conf.xml"
    assert options["auth_config_file"] == "/t/config/1-auth_conf.xml"
    assert options["brand"] == "Ours"
    assert len(options["id_secret"]) == 48
    uwsgi = sections["uwsgi"]
    assert uwsgi["http-socket"] == "/t/run/http.sock"
    assert (uwsgi["processes"], uwsgi["buffer-size"], uwsgi["py-call-uwsgi-fork-hooks"]) == (1, 16384, True)
    assert not {"socket", "stats", "logto", "attach-daemon"} & set(uwsgi)
    assert sections["filter:proxy-prefix"] == SECTIONS["filter:proxy-prefix"]


def test_a_second_database_and_a_python_path_are_kept(tmp_path: Path) -> None:
    sections = {**SECTIONS, "uwsgi": {"pythonpath": "lib"}}
    made = trial.trial_sections(candidate(tmp_path, sections=sections), "/t", ["postgresql:///a", "postgresql:///b"])
    assert made["app:main"]["install_database_connection"] == "postgresql:///b"
    assert made["uwsgi"]["pythonpath"] == ["lib", "/t/lib"]


def test_copies_have_names_of_their_own() -> None:
    found = [Database("postgresql:///gx", ME), Database("sqlite:////data/gx.sqlite", ME)]
    assert [copy.name for copy in trial.copies(found, "/t")] == ["gx_trial", "/t/data/1.sqlite"]


UWSGI = """#!{python}
import configparser, http.server, json, os, socketserver, sys
parser = configparser.ConfigParser(interpolation=None)
parser.read(sys.argv[sys.argv.index("--ini-paste") + 1])
if os.path.exists(os.path.join(os.environ["VIRTUAL_ENV"], "broken")):
    sys.exit("ImportError: no module named nothing; password = s3cret")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"version_major": "26.1", "version_minor": "2"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "unix"
socketserver.UnixStreamServer(parser["uwsgi"]["http-socket"], Handler).serve_forever()
"""

# galaxy_database.py, as far as the trial knows it: on SQLite, with one revision.
SCRIPT = """
import configparser, json, sqlite3, sys
parser = configparser.ConfigParser(interpolation=None)
parser.read(sys.argv[-1])
path = parser["app:main"]["database_connection"].removeprefix("sqlite:///")
connection = sqlite3.connect(path)
def revision(new):
    connection.execute("UPDATE alembic_version SET version_num = ?", [new])
    connection.commit()
if "--prepare" in sys.argv:
    revision("b")
if "--revert" in sys.argv:
    if IRREVERSIBLE:
        sys.exit("NotImplementedError: it cannot be run backwards")
    revision(sys.argv[sys.argv.index("--revert") + 1])
print(json.dumps({"state": "current"}))
"""
CANARY = """
import json, sys
assert sys.argv[sys.argv.index("--url") + 1].startswith("unix:/")
print(json.dumps({"ok": OK, "stage": "job", "expected": "the job to end", "seen": "nothing", "problems": ["none"]}))
"""


@pytest.fixture
def serving(tmp_path: Path) -> Database:
    path = tmp_path / "galaxy.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('a')")
    return Database(f"sqlite:///{path}", ME, sys.executable)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    (path / "bin").mkdir(parents=True)
    (path / "bin/python").symlink_to(sys.executable)
    (path / "bin/uwsgi").write_text(UWSGI.format(python=sys.executable))
    (path / "bin/uwsgi").chmod(0o755)
    return path


Hold = Callable[..., dict[str, Any]]


@pytest.fixture
def hold(tmp_path: Path, release: Path, serving: Database) -> Hold:
    (tmp_path / "backups").mkdir()
    directory = tmp_path / "trial"

    def hold(irreversible: bool = False, job_is_ok: bool = True) -> dict[str, Any]:
        dump = dumps.make(str(tmp_path / "backups"), [serving], {"release": "old"})
        sections = {**SECTIONS, "app:main": {**SECTIONS["app:main"], "database_connection": serving.url}}
        held = Trial(
            candidate(tmp_path, release=str(release), uwsgi=[str(release / "bin/uwsgi")], sections=sections),
            str(directory),
            ME,
            [serving],
        )
        try:
            return trial.hold(
                held,
                dump=dump,
                script=SCRIPT.replace("IRREVERSIBLE", str(irreversible)),
                canary=CANARY.replace("OK", str(job_is_ok)),
                serving_python=sys.executable,
                revisions=["a"],
                timeout=20,
                secrets={"s3cret"},
            )
        finally:
            # Whatever came of it.
            assert not directory.exists()
            assert trial.processes_of(str(directory)) == []
            assert serving.revisions() == ["a"]

    return hold


def test_a_release_that_works(hold: Hold) -> None:
    found = hold()
    assert found["reversible"] is True
    assert found["revisions"] == ["b"]
    assert set(found["times"]) == {"copy", "migrate", "start", "job", "stop", "revert"}


def test_a_migration_that_cannot_be_run_backwards(hold: Hold) -> None:
    found = hold(irreversible=True)
    assert found["reversible"] is False
    assert "NotImplementedError" in found["reason"]


def test_a_release_that_does_not_load_says_why_and_keeps_secrets(hold: Hold, release: Path) -> None:
    (release / "broken").touch()
    with pytest.raises(TrialError) as failure:
        hold()
    assert "the web process has ended with 1" in str(failure.value)
    assert "ImportError: no module named nothing" in str(failure.value)
    assert "s3cret" not in str(failure.value)


def test_a_job_that_does_not_go_through(hold: Hold) -> None:
    with pytest.raises(TrialError, match=r"at job\): expected the job to end, saw nothing\n  - none"):
        hold(job_is_ok=False)


def test_another_release_that_answers_is_not_taken_for_it(tmp_path: Path, release: Path, serving: Database) -> None:
    sections = {**SECTIONS, "app:main": {**SECTIONS["app:main"], "database_connection": serving.url}}
    held = Trial(
        candidate(
            tmp_path, release=str(release), uwsgi=[str(release / "bin/uwsgi")], sections=sections, galaxy="26.1.3"
        ),
        str(tmp_path / "trial"),
        ME,
        [serving],
    )
    with held.made():
        held.start()
        with pytest.raises(TrialError, match=r"not answered as Galaxy 26.1.3 within 1 s \(status 200, Galaxy 26.1.2\)"):
            held.wait_for_answer(1)


def test_the_configuration_is_for_its_user_alone(tmp_path: Path) -> None:
    (tmp_path / "managed").mkdir()
    (tmp_path / "managed/shed_tool_conf.xml").write_text("<toolbox/>")
    made = Trial(
        candidate(tmp_path, managed_config=str(tmp_path / "managed")),
        str(tmp_path / "t"),
        ME,
        [Database("postgresql:///galaxy", ME)],
    )
    made.lay_out()
    parser = configparser.ConfigParser()
    parser.read(made.config_file)
    assert parser["app:main"]["database_connection"] == "postgresql:///galaxy_trial"
    files = [path for path in (tmp_path / "t").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        *("galaxy.ini", "job_conf.yml", "0-local_tool_conf.xml", "1-auth_conf.xml", "__init__.py", "shed_tool_conf.xml")
    }
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o700


def test_what_a_killed_trial_has_left_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "t"
    (directory / "run").mkdir(parents=True)
    script = "import sys, time; print(flush=True); time.sleep(60)"
    left = subprocess.Popen([sys.executable, "-c", script, f"{directory}/galaxy.ini"], stdout=subprocess.PIPE)
    assert left.stdout
    left.stdout.readline()
    Trial(candidate(tmp_path), str(directory), ME, []).clean_up()
    assert left.wait(10) == -9
    assert not directory.exists()


def test_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    script = f"""
import json, subprocess, sys, time
sys.path[:0] = json.loads({json.dumps(sys.path)!r})
from ansible_collections.dagobah.galaxy.plugins.module_utils.databases import options_of_user
child = subprocess.Popen(["sleep", "60"], **options_of_user({ME!r}))
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _attempt in range(50):
        if not os.path.exists(f"/proc/{pid}") or b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} lives on")


def test_the_last_line_of_a_traceback_tells() -> None:
    assert trial.last_line("Traceback\n  File\nValueError: no\n\n") == "ValueError: no"
    assert trial.last_line("") == ""
    said = (
        "Traceback\nsqlalchemy.exc.ProgrammingError: no table\n\n[SQL: CREATE\n]\n(Background on this error at: https)"
    )
    assert trial.last_line(said) == "sqlalchemy.exc.ProgrammingError: no table"
    with pytest.raises(DatabaseError, match="ValueError"):
        trial.run([sys.executable, "-c", "raise ValueError(1)"], ME, hint=trial.last_line)
