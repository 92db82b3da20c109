# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines: those that tell why, and none that tells a secret."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof_logs
from hypothesis import given
from hypothesis import strategies as st

SECRET = st.text(string.ascii_letters + string.digits + "-_.+/=!$%^*", min_size=6, max_size=40).map(
    lambda text: "Q" + text + "Z"
)


@pytest.mark.parametrize(
    "line",
    [
        "connecting to postgresql://galaxy:{}@db.example.org:5432/galaxy failed",
        "connecting to 'amqp://u:{}@host//' failed",
        "id_secret = {}",
        "id_secret: {}",
        '"id_secret": "{}", "x": 1',
        "{{'master_api_key': '{}', 'x': 1}}",
        "x-api-key: {}",
        "X-API-Key={}",
        "GET /api/histories?key={} HTTP/1.1",
        "GET /api/histories?a=b&key={}&x=y",
        "GET /api/histories?api_key={}",
        "Authorization: Bearer {}",
        "Authorization: Basic {}",
        "Cookie: a=b; galaxysession={}; c=d",
        "galaxysession={}",
        "database_password = {}",
        "ldap_search_password: '{}'",
        "PGPASSWORD={} psql",
        "oidc client_secret={}",
        "access_token={}",
    ],
)
@given(secret=SECRET)
def test_no_secret_is_shown(line: str, secret: str) -> None:
    assert secret not in proof_logs.mask(line.format(secret))


@given(secret=SECRET, before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_known_secret_is_never_shown(secret: str, before: str, after: str) -> None:
    masked = proof_logs.mask(before + secret + after, [secret])
    assert secret not in masked


@pytest.mark.parametrize(
    "line",
    [
        "connection to server at 127.0.0.1, port 5432 failed: Connection refused",
        "GET /api/version => generated 44 bytes",
        "http://galaxy.example.org:8080/login?redirect=/",
        "postgresql:///galaxy?host=/var/run/postgresql",
        "KeyError: 'nothing'",
        "the key was not found",
    ],
)
def test_the_rest_stays(line: str) -> None:
    assert proof_logs.mask(line) == line


def test_secrets_of_a_configuration() -> None:
    text = """
[app:main]
# id_secret = commented-out
id_secret = s3cret-%%-id
database_connection = postgresql://galaxy:p@ss/word@db/galaxy
master_api_key: "key-of-the-master"
enable_oidc_token = true
password_expiration_period = 90
token_file = /srv/x
brand = Example
"""
    assert proof_logs.secrets_of_config(text) == {"s3cret-%%-id", "s3cret-%-id", "p@ss/word", "key-of-the-master"}


TRACEBACK = """\
galaxy.main ERROR 2026-11-24 06:33:09,735 [pN:handler0] Failed to initialize Galaxy application
Traceback (most recent call last):
  File "/x/galaxy/main.py", line 97, in app_loop
    galaxy_app = load_galaxy_app(
                 ^^^^^^^^^^^^^^^^
  File "/x/galaxy/config.py", line 12, in load
    raise ConfigurationError("no such thing")
galaxy.exceptions.ConfigurationError: no such thing
"""


@pytest.mark.parametrize(
    "text, chosen",
    [
        ("all is well\nnothing to see\n", []),
        (TRACEBACK, TRACEBACK.splitlines()),
        ("good morning\n" + TRACEBACK + "good night\n", TRACEBACK.splitlines()),
        ("uwsgi: bind(): Address already in use\nok\n", ["uwsgi: bind(): Address already in use"]),
        (
            "2026/11/24 06:49:22 [error] 9670#9670: *134 connect() failed\nGET / 200\n",
            ["2026/11/24 06:49:22 [error] 9670#9670: *134 connect() failed"],
        ),
        ("a FATAL: x 1\na FATAL: x 2\na FATAL: x 3\n", ["a FATAL: x 3", "    (so or alike 3 times)"]),
        ("INFO exited: gx (exit status 0; expected)\n", []),
        ("WARN exited: gx (exit status 1; not expected)\n", ["WARN exited: gx (exit status 1; not expected)"]),
        ("=> generated 21 bytes in 3 msecs (HTTP/1.1 500) x\n", ["=> generated 21 bytes in 3 msecs (HTTP/1.1 500) x"]),
        ("GET /error => generated 21 bytes in 3 msecs (HTTP/1.1 404)\n", []),
        ("a.b DEBUG 2026 no ERROR at all\n", []),
        # What a healthy Galaxy says at each start.
        (TRACEBACK.replace("ERROR", "WARNING"), []),
        (TRACEBACK.replace("Failed to initialize Galaxy application", "Failed to download involucro"), []),
    ],
)
def test_telling_lines(text: str, chosen: list[str]) -> None:
    assert proof_logs.choose(text.splitlines(), 25) == chosen


def test_a_chain_of_tracebacks_is_one_block() -> None:
    text = (
        "Traceback (most recent call last):\n  File a\nKeyError: 'a'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n  File b\nRuntimeError: b\nready\n"
    )
    (block,) = proof_logs.blocks(text.splitlines())
    assert block[-1] == "RuntimeError: b"
    assert "KeyError: 'a'" in block


def test_a_long_traceback_is_cut_in_the_middle() -> None:
    lines = ["Traceback (most recent call last):", *["  File %d" % number for number in range(90)], "ValueError: end"]
    chosen = proof_logs.choose(lines, 25)
    assert len(chosen) == proof_logs.TRACEBACK_LINES
    assert chosen[-1] == "ValueError: end"
    assert "lines)" in chosen[1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)), st.integers(1, 30))
def test_any_text_can_be_chosen_from(lines: list[str], limit: int) -> None:
    assert len(proof_logs.choose([*lines, "ERROR x"], limit)) <= 2 * limit


def test_what_is_new_is_preferred(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ERROR of yesterday\n")
    start = log.stat().st_size
    assert proof_logs.excerpt(str(log), start) == [
        "(nothing telling since this proof began; before it:)",
        "ERROR of yesterday",
    ]
    assert proof_logs.excerpt(str(log), start, only_recent=True) == []
    with log.open("a") as stream:
        stream.write("ERROR of today, password=hunter22\n")
    assert proof_logs.excerpt(str(log), start) == ["ERROR of today, password=********"]


def test_a_rotated_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ERROR\n")
    assert proof_logs.excerpt(str(tmp_path / "log"), 5000) == ["ERROR"]


def test_only_the_end_of_a_file_is_read(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        stream.writelines("ERROR %s %s\n" % ("x" * 80, "abc"[number % 3]) for number in range(20000))
    assert len(proof_logs.tail(str(tmp_path / "log"))) * 88 <= proof_logs.WINDOW


def test_files_that_cannot_be_shown(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert proof_logs.excerpt(str(tmp_path / "none")) == ["(there is no such file)"]
    assert proof_logs.excerpt(str(tmp_path / "none"), only_recent=True) == []
    assert proof_logs.excerpt(str(tmp_path / "empty")) == ["(nothing telling)"]
    assert proof_logs.excerpt(str(tmp_path))[0].startswith("(cannot be read")


def test_patterns(tmp_path: Path) -> None:
    for name in ("b.log", "a.log"):
        (tmp_path / name).touch()
    a, b = str(tmp_path / "a.log"), str(tmp_path / "b.log")
    assert proof_logs.expand([b, str(tmp_path / "*.log"), "/no/such*"]) == [b, a, "/no/such*"]
