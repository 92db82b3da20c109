# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

sqlalchemy = pytest.importorskip("sqlalchemy")

SCRIPT = Path(__file__).parents[3] / "roles" / "galaxy" / "files" / "galaxy_database.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("galaxy_database", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_heads_are_the_revisions_that_no_other_builds_upon(script: ModuleType, tmp_path: Path) -> None:
    revisions = {
        "a": "None",
        "b": '"a"',
        "c": '"a"',
        "d": '("b", "c")',  # Two lines of development, merged.
    }
    for name, parents in revisions.items():
        text = f'"""A migration."""\n\nrevision = "{name}"\ndown_revision = {parents}\n'
        (tmp_path / f"{name}_x.py").write_text(text, encoding="utf-8")
    assert script.known_revisions(tmp_path) == ({"d"}, {"a", "b", "c", "d"})


@pytest.mark.parametrize(
    "found, has_tables, state",
    [
        (set(), False, "empty"),
        (set(), True, "outdated"),  # A database from before Alembic, or an interrupted first start.
        ({"a"}, True, "outdated"),
        ({"d"}, True, "outdated"),  # The tool shed's branch is missing.
        ({"d", "t"}, True, "current"),
        ({"e"}, True, "unknown"),  # A newer Galaxy has been here.
        ({"d", "t", "e"}, True, "unknown"),
    ],
)
def test_state(script: ModuleType, found: set[str], has_tables: bool, state: str) -> None:
    assert script.judge(found, has_tables, heads={"d", "t"}, known={"a", "b", "c", "d", "t"}) == state


@pytest.mark.parametrize(
    "found, has_tables, is_modern, state",
    [
        (None, False, False, "empty"),
        (None, True, False, "outdated"),  # A start that was cut off.
        (164, True, False, "outdated"),
        (165, True, False, "current"),
        (166, True, False, "unknown"),  # A newer Galaxy has been here.
        (165, True, True, "unknown"),  # One that numbers its schemas otherwise.
    ],
)
def test_classic_state(
    script: ModuleType, found: int | None, has_tables: bool, is_modern: bool, state: str, tmp_path: Path
) -> None:
    assert script.judge_classic(found, has_tables, is_modern, head=165) == state
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path}/galaxy.sqlite"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        if has_tables:
            connection.execute(sqlalchemy.text("CREATE TABLE galaxy_user (id INTEGER)"))
        if is_modern:
            connection.execute(sqlalchemy.text("CREATE TABLE alembic_version (version_num TEXT)"))
        if found:
            connection.execute(sqlalchemy.text("CREATE TABLE migrate_version (repository_id TEXT, version INTEGER)"))
            for row in (f"('Galaxy', {found})", "('ToolShedInstall', 17)"):
                connection.execute(sqlalchemy.text(f"INSERT INTO migrate_version VALUES {row}"))
    engine.dispose()
    report = script.classic_state(url, 165)
    assert report["state"] == state
    assert report["heads"] == ["165"]


def test_classic_head(script: ModuleType, tmp_path: Path) -> None:
    assert script.classic_head(tmp_path / "no") is None
    for name in ("0099_add.py", "0165_last.py", "__init__.py", "util.py", "0170_not_a_script.sql"):
        (tmp_path / name).touch()
    assert script.classic_head(tmp_path) == 165


def test_options_are_read_as_galaxy_reads_them(script: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "galaxy.ini"
    config.write_text("[uwsgi]\nprocesses = 2\n[app:main]\nbrand = 100%%\nwhere = %(here)s/x\n", encoding="utf-8")
    options = script.read_options(str(config))
    assert options["brand"] == "100%"
    assert options["where"] == f"{tmp_path}/x"


def test_what_revisions_build_upon(script: ModuleType) -> None:
    parents = {"merged": ["left", "right"], "left": ["root"], "right": ["root"], "root": []}
    assert script.ancestors(["merged"], parents) == {"merged", "left", "right", "root"}
    assert script.ancestors(["left"], parents) == {"left", "root"}
    assert script.ancestors([], parents) == set()


def current(script: ModuleType, monkeypatch: pytest.MonkeyPatch, path: Path, *outcomes: str | Exception) -> str | None:
    """Try to change a schema, with one outcome for each attempt."""
    url = f"sqlite:///{path}"
    done: list[str] = []
    left = list(outcomes)
    monkeypatch.setattr(script.time, "sleep", lambda _seconds: None)

    def change() -> None:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        engine = sqlalchemy.create_engine(url)
        # As Galaxy's migrations do with errors of the database.
        with engine.connect() as connection, contextlib.suppress(sqlalchemy.exc.OperationalError):
            connection.execute(sqlalchemy.text(outcome))
            done.append(outcome)
        engine.dispose()

    return script.attempt([url], change, lambda: bool(done))


@pytest.fixture
def no_listeners() -> Iterator[None]:
    yield
    sqlalchemy.engine.Engine.dispatch._clear()


@pytest.mark.usefixtures("no_listeners")
def test_an_attempt_says_what_the_database_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert current(script, monkeypatch, tmp_path / "x", "SELECT 1") is None
    assert current(script, monkeypatch, tmp_path / "x", "SELECT missing") == "no such column: missing"
    with pytest.raises(ValueError, match="broken script"):
        current(script, monkeypatch, tmp_path / "x", ValueError("broken script"))


@pytest.mark.usefixtures("no_listeners")
def test_an_attempt_that_gets_no_lock_is_made_again(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # SQLite's errors have no code.
    monkeypatch.setattr(script, "LOCK_NOT_AVAILABLE", "")
    # Nor other sessions that could be disconnected: what is asked then is seen by its answer.
    monkeypatch.setattr(script, "PATIENT_ATTEMPTS", 1)
    monkeypatch.setattr(script, "DISCONNECT", "CREATE TABLE disconnected (id INTEGER)")
    assert (
        current(script, monkeypatch, tmp_path / "x", "SELECT missing", "SELECT missing", "SELECT id FROM disconnected")
        is None
    )
