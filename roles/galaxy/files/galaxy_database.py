# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the state of Galaxy's database, and bring it to the state that a release needs.

Run by the Python of the release, as Galaxy's user. Prints one JSON object::

    {"state": "empty" | "outdated" | "current" | "unknown", "revisions": [...], "heads": [...]}

With ``--revert`` the migrations since some revisions are run backwards, by the release that has brought them.

``empty``: no tables of Galaxy. ``outdated``: an older (or partial) schema that can be migrated.
``unknown``: revisions that this release does not know, so a newer Galaxy has been here.

Classic releases (up to 22.01) number their schemas with sqlalchemy-migrate; for them, revisions and heads are numbers.

Two Galaxy processes that find an empty database at the same time both create it, and leave it broken.
So it is prepared here, in this one process, before any of them starts.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REVISION = re.compile(r"^revision(?::.*?)? = \"(\w+)\"", re.MULTILINE)
# One parent, or a tuple of them where two lines of development were merged.
DOWN_REVISION = re.compile(r"^down_revision(?::.*?)? = (.+)$", re.MULTILINE)

# PostgreSQL's advisory lock that lets one process at a time prepare the database.
LOCK_KEY = 0x64616762

# A migration waits so long for a table, and whoever wants that table waits behind it. Then it is tried again.
LOCK_TIMEOUT = "3s"
ATTEMPTS = 30
LOCK_NOT_AVAILABLE = "55P03"

# Galaxy's processes may keep a transaction open for as long as they run, and with it the tables that they have read.
# After so many attempts, those that have been idle in one are disconnected. They are about to be restarted.
PATIENT_ATTEMPTS = 3
DISCONNECT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND state = 'idle in transaction' AND xact_start < now() - interval '30 s'
"""


def read_options(config_file: str) -> dict[str, str]:
    """Return the options of ``[app:main]``."""
    here = os.path.dirname(os.path.abspath(config_file))
    parser = configparser.ConfigParser(defaults={"here": here, "__file__": config_file})
    with open(config_file, encoding="utf-8") as stream:
        parser.read_file(stream)
    return dict(parser.items("app:main"))


def known_revisions(versions_dir: Path) -> tuple[set[str], set[str]]:
    """Return the heads and all revisions of the migration scripts in a directory.

    The scripts are read as text: importing them takes seconds, for they import Galaxy.
    """
    revisions: set[str] = set()
    parents: set[str] = set()
    for script in versions_dir.glob("*.py"):
        text = script.read_text(encoding="utf-8")
        revisions.update(REVISION.findall(text))
        for line in DOWN_REVISION.findall(text):
            parents.update(re.findall(r"\"(\w+)\"", line))
    return revisions - parents, revisions


def model_dir() -> Path:
    """Return the directory of galaxy.model, without importing it."""
    spec = importlib.util.find_spec("galaxy")
    # A checkout has its client in another place than the rest.
    places = [Path(place, "model") for place in (spec.submodule_search_locations or [] if spec else [])]
    if not any(place.is_dir() for place in places):
        raise SystemExit("This Python has no Galaxy.")
    return next(place for place in places if place.is_dir())


def migrations_dir() -> Path:
    """Return the directory of the release's migration scripts."""
    return model_dir() / "migrations" / "alembic"


def classic_head(versions_dir: Path) -> int | None:
    """Return the number of a classic release's schema, or None if the release is not classic."""
    scripts = (re.match(r"(\d+)_.*\.py$", script.name) for script in versions_dir.glob("*.py"))
    return max((int(script[1]) for script in scripts if script), default=None)


def judge(found: set[str], has_tables: bool, heads: set[str], known: set[str]) -> str:
    """Return the state of a database from its revisions and those of the release."""
    if found - known:
        return "unknown"
    if heads <= found:
        return "current"
    return "outdated" if has_tables else "empty"


def judge_classic(found: int | None, has_tables: bool, is_modern: bool, head: int) -> str:
    """Return the state of a database in the eyes of a classic release."""
    if is_modern or (found or 0) > head:
        return "unknown"
    if found == head:
        return "current"
    return "outdated" if has_tables else "empty"


def classic_state(url: str, head: int) -> dict[str, Any]:
    """Look at the database of a classic release, changing nothing."""
    import sqlalchemy

    found = None
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            if "migrate_version" in tables:
                query = "SELECT version FROM migrate_version WHERE repository_id = 'Galaxy'"
                found = connection.execute(sqlalchemy.text(query)).scalar()
    finally:
        engine.dispose()
    state = judge_classic(found, "galaxy_user" in tables, "alembic_version" in tables, head)
    revisions = ["of a modern Galaxy"] if "alembic_version" in tables else [str(found)] if found else []
    return {"state": state, "revisions": revisions, "heads": [str(head)]}


def prepare_classic(options: dict[str, str], url: str, install_url: str | None, is_empty: bool) -> None:
    """Create or migrate the schema of a classic release, with Galaxy's own code."""
    from galaxy.model.migrate.check import create_or_verify_database
    from galaxy.model.tool_shed_install.migrate.check import create_or_verify_database as create_or_verify_installs

    config = SimpleNamespace(
        database_auto_migrate=True,
        database_template=options.get("database_template"),
        database_encoding=options.get("database_encoding"),
    )
    # Galaxy would lead an empty database through every schema it ever had, if told to migrate.
    app = None if is_empty else SimpleNamespace(config=config)
    together = install_url in (None, url)
    create_or_verify_database(url, None, app=app, map_install_models=together)
    if not together:
        create_or_verify_installs(install_url, {}, app=app)


def database_state(urls: list[str]) -> dict[str, Any]:
    """Look at the databases, changing nothing."""
    import sqlalchemy

    head = classic_head(model_dir() / "migrate" / "versions")
    if head is not None:
        return classic_state(urls[0], head)
    heads: set[str] = set()
    known: set[str] = set()
    for branch in ("versions_gxy", "versions_tsi"):
        branch_heads, branch_known = known_revisions(migrations_dir() / branch)
        heads |= branch_heads
        known |= branch_known
    found: set[str] = set()
    has_tables = False
    for url in urls:
        engine = sqlalchemy.create_engine(url)
        try:
            with engine.connect() as connection:
                tables = sqlalchemy.inspect(connection).get_table_names()
                has_tables = has_tables or "galaxy_user" in tables or "migrate_version" in tables
                if "alembic_version" in tables:
                    rows = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version"))
                    found.update(str(row[0]) for row in rows)
        finally:
            engine.dispose()
    return {"state": judge(found, has_tables, heads, known), "revisions": sorted(found), "heads": sorted(heads)}


def prepare(options: dict[str, str], url: str, install_url: str | None) -> None:
    """Create the schema, or migrate it, with Galaxy's own code."""
    from galaxy.model.migrations import DatabaseConfig, verify_databases_via_script

    template, encoding = options.get("database_template"), options.get("database_encoding")
    galaxy = DatabaseConfig(url, template, encoding)
    toolshed = DatabaseConfig(install_url or url, template, encoding)
    verify_databases_via_script(galaxy, toolshed, is_auto_migrate=True)


def ancestors(revisions: Iterable[str], parents: Mapping[str, Iterable[str]]) -> set[str]:
    """Return some revisions, and all that they build upon."""
    found: set[str] = set()
    left = list(revisions)
    while left:
        revision = left.pop()
        if revision not in found:
            found.add(revision)
            left.extend(parents.get(revision, ()))
    return found


def revert(urls: list[str], revisions: list[str]) -> None:
    """Undo what the schema has and some revisions do not build upon, in one transaction for each database.

    Alembic's own way leads to one revision. But where lines of development have been merged since, some of them go back
    further than others.
    """
    import sqlalchemy
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationStep
    from galaxy.model.migrations import get_alembic_manager

    for url in urls:
        engine = sqlalchemy.create_engine(url)
        manager = get_alembic_manager(engine)
        scripts = manager.script_directory
        # The latest first.
        every = list(scripts.walk_revisions())
        parents = {script.revision: script._versioned_down_revisions for script in every}
        unknown = [revision for revision in revisions if revision not in parents]
        if unknown:
            raise SystemExit(f"This release does not know {', '.join(unknown)}, and cannot lead back there.")
        superfluous = ancestors(manager.db_heads or (), parents) - ancestors(revisions, parents)
        steps = [
            MigrationStep.downgrade_from_script(scripts.revision_map, script)
            for script in every
            if script.revision in superfluous
        ]
        with EnvironmentContext(manager.alembic_cfg, scripts, fn=lambda _heads, _context, steps=steps: steps):
            scripts.run_env()
        engine.dispose()


def attempt(urls: list[str], change: Callable[[], None], is_done: Callable[[], bool]) -> str | None:
    """Change the schema, one process at a time, and return why it did not work, or None.

    Galaxy goes on meanwhile, so that no lock is waited for long: the change is given up, which leaves everything as it
    was, and tried again. Galaxy's migrations swallow errors of the database: they are noted here.
    """
    import sqlalchemy

    errors: list[tuple[str, str]] = []

    def note(context: Any) -> None:
        error = context.original_exception
        errors.append((getattr(error, "pgcode", None) or "", " ".join(str(error).split())))

    def wait_briefly(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        connection.commit()

    lock = sqlalchemy.create_engine(urls[0])
    with lock.connect() as connection:
        if lock.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({LOCK_KEY})"))
            sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", wait_briefly)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "handle_error", note)
        for number in range(ATTEMPTS):
            if number > PATIENT_ATTEMPTS:
                connection.execute(sqlalchemy.text(DISCONNECT))
            errors.clear()
            # What the database says is noted, in a line.
            with contextlib.suppress(sqlalchemy.exc.DBAPIError):
                change()
            if is_done():
                return None
            if not any(code == LOCK_NOT_AVAILABLE for code, _text in errors):
                break
            time.sleep(1)
    lock.dispose()
    return "; ".join(dict.fromkeys(text for _code, text in errors)) or "Galaxy's migration scripts do not lead there"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="State of Galaxy's database.")
    parser.add_argument("config_file", help="galaxy.ini")
    parser.add_argument("--prepare", action="store_true", help="create or migrate the schema if it is not current")
    parser.add_argument("--revert", metavar="REVISION,...", help="run the migrations since these revisions backwards")
    arguments = parser.parse_args()
    options = read_options(arguments.config_file)
    url, install_url = options["database_connection"], options.get("install_database_connection")
    urls = [url] + ([install_url] if install_url else [])
    before = report = database_state(urls)
    failure = None
    if arguments.revert:
        wanted = sorted(arguments.revert.split(","))
        if before["revisions"] != wanted:
            failure = attempt(
                urls, lambda: revert(urls, wanted), lambda: bool(database_state(urls)["revisions"] == wanted)
            )
            report = database_state(urls)
    elif arguments.prepare and before["state"] in ("empty", "outdated"):
        is_classic = classic_head(model_dir() / "migrate" / "versions") is not None

        def change() -> None:
            if is_classic:
                prepare_classic(options, url, install_url, is_empty=before["state"] == "empty")
            else:
                prepare(options, url, install_url)

        failure = attempt(urls, change, lambda: bool(database_state(urls)["state"] == "current"))
        report = database_state(urls)
    print(json.dumps({**report, "before": before["state"], "changed": report != before}))
    if failure:
        print(f"The schema of the database is still {', '.join(report['revisions'])}: {failure}", file=sys.stderr)
        return 4
    if report["state"] == "unknown" and not arguments.revert:
        print(
            f"The database was left as it is. Not all of its revisions ({', '.join(report['revisions'])}) are known to "
            f"this release (up to {', '.join(report['heads'])}): a newer Galaxy has used it. "
            "Set galaxy_release to that, go back with playbooks/rollback.yml, or restore an older database.",
            file=sys.stderr,
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
