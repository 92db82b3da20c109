# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of options, each way of configuring uWSGI, and what a real uWSGI says that it was told.

UWSGI="/usr/bin/uwsgi --plugin python3" tests another uWSGI than the wheel's.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import to_paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_values import fault_of
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import (
    FILE_NAMES,
    METHODS,
    ConfigFileError,
    render,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[4]
TABLE = json.loads((ROOT / "roles/uwsgi/files/options.json").read_text())
FLAGS = TABLE["flags"]
UWSGI = shlex.split(os.environ.get("UWSGI", str(Path(sys.executable).with_name("uwsgi"))))
OTHER_METHODS = [method for method in METHODS if method != "paste_deploy"]

# Options that take any text, or none, and with which uWSGI still gets as far as to find no application.
TEXT_OPTIONS = ["procname", "procname-master", "pythonpath", "static-index", "log-format", "http-socket-modifier1"]
FLAG_OPTIONS = ["thunder-lock", "vacuum", "enable-threads", "auto-procname"]


def told(directory: Path, method: str, options: dict[str, t.Any], **settings_: t.Any) -> list[tuple[str, str]]:
    """Return what uWSGI was told with a method, as it says itself: names and values, in order."""
    galaxy_ini = directory / "galaxy.ini"
    sections = {"app:main": {"paste.app_factory": "missing:factory"}}
    if method == "paste_deploy":
        sections["uwsgi"] = options
    galaxy_ini.write_text(to_paste_deploy(sections, settings_.get("placeholders", False)), encoding="utf-8")
    rendering = render(method, options, str(directory), str(galaxy_ini), FLAGS, **settings_)
    # supervisor hands each on as it is.
    assert [name for name, value in rendering.environment.items() if fault_of(value)] == []
    if rendering.text is not None and rendering.file is not None:
        Path(rendering.file).write_text(rendering.text, encoding="utf-8")
    run = subprocess.run(
        [*UWSGI, *rendering.arguments, "--show-config", "--need-app"],
        env={"PATH": os.environ["PATH"], "HOME": "/", "PYTHONUTF8": "1", "ASKED": "filled in", **rendering.environment},
        cwd=directory,
        capture_output=True,
        timeout=30,
        check=False,
    )
    output = (run.stdout + run.stderr).decode("utf-8", "replace")
    assert ";uWSGI instance configuration\n[uwsgi]\n" in output, output
    shown = output.split(";uWSGI instance configuration\n[uwsgi]\n")[1].split("\n;end of configuration")[0]
    lines = [line.partition(" = ")[::2] for line in shown.split("\n")]
    return [(key, value) for key, value in lines if key in options]


def expected(options: dict[str, t.Any]) -> list[tuple[str, str]]:
    def text(value: t.Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return [
        (key, text(item)) for key, value in options.items() for item in (value if isinstance(value, list) else [value])
    ]


AWKWARD = {
    "procname": "50% of 'a' and \"b\"; c # d = e: f",
    "static-index": [
        *("", "#", "# x", "a#b", "; x", "x ;y #z", "- a", "[a]", "{a}", "a: b", "a:", ": a", "? a", "@a", "`a`"),
        *("*a", "!a", "|", ">", "'a'", "'", '"a"', '"', "<!-- a -->", "&amp; <b> ]]>", "[[]]", "]"),
    ],
    "pythonpath": [
        *("%p", "%(x)", "%%", "%", "$(HOME)", "@(/etc/passwd)", "ü 漢字 \U0001f9ec", "\\n \\ \\\\"),
        *("0123", "0x1F", "1e3", "yes", "null", "~", "true", "x" * 5000, "a\tb", "a  b", "--a=b"),
    ],
    "log-format": '%(addr) - %(user) [%(ltime)] "%(method)" $(x) %(msecs)',
    "thunder-lock": True,
    "vacuum": False,
    "http-socket-modifier1": 7,
}


@pytest.mark.parametrize("method", METHODS)
def test_awkward_values_arrive(tmp_path: Path, method: str) -> None:
    assert told(tmp_path, method, AWKWARD) == expected(AWKWARD)


def test_all_of_the_collections_own_options_arrive_alike(tmp_path: Path) -> None:
    options = {
        "socket": ["127.0.0.1:0", str(tmp_path / "s")],
        "chmod-socket": 660,
        "master": True,
        "buffer-size": 16384,
        "static-map": ["/static/style=/srv/a b", "/static=/srv/c"],
    }
    for method in METHODS:
        assert told(tmp_path, method, options) == expected(options), method


# No control characters, and nothing that begins or ends with white space: these are refused, see below.
printable = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff")
markup = st.sampled_from("%$@()[]{}<>&#;:='\"\\ -!?*,|~0aé")
texts = st.text(printable, max_size=30).map(str.strip) | st.text(markup, max_size=20).map(str.strip)
values = st.one_of(texts, st.integers(), st.lists(texts, max_size=4))
option_sets = st.builds(
    lambda options, flags: {**options, **flags},
    st.dictionaries(st.sampled_from(TEXT_OPTIONS), values, min_size=3),
    st.dictionaries(st.sampled_from(FLAG_OPTIONS), st.booleans()),
)


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=option_sets)
def test_every_method_gives_uwsgi_the_same_options(tmp_path: Path, options: dict[str, t.Any]) -> None:
    try:
        reference = told(tmp_path, "paste_deploy", options)
    except ConfigFileError:
        for method in OTHER_METHODS:  # What one cannot say, no other can.
            with pytest.raises(ConfigFileError):
                render(method, options, "x", "y", FLAGS)
        return
    assert reference == expected(options)
    for method in OTHER_METHODS:
        assert told(tmp_path, method, options) == reference, method


@pytest.mark.parametrize("method", METHODS)
def test_placeholders_are_filled_in_on_purpose(tmp_path: Path, method: str) -> None:
    options = {"procname": "a$(ASKED)b", "procname-master": "%(procname)!", "static-index": "$(ASKED)"}
    assert told(tmp_path, method, options, placeholders=["procname", "procname-master"]) == [
        ("procname", "afilled inb"),
        ("procname-master", "afilled inb!"),
        ("static-index", "$(ASKED)"),
    ]


@pytest.mark.parametrize("method", ["paste_deploy", *FILE_NAMES])
def test_magic_variables_of_files_on_purpose(tmp_path: Path, method: str) -> None:
    options = {"procname": "%n", "procname-master": "%n"}
    found = dict(told(tmp_path, method, options, placeholders=["procname"]))
    assert found == {"procname": "galaxy" if method == "paste_deploy" else "uwsgi", "procname-master": "%n"}


@pytest.mark.parametrize(
    "method, options, words",
    [
        ("toml", {}, ["uwsgi_config_method", "toml", "paste_deploy, ini"]),
        ("ini", {"a b": 1}, ["(ini)", '"a b"', "not a name for an option"]),
        ("json", {"a": "x\ny"}, ["(json) a", "one line"]),
        ("yaml", {"a": {"b": 1}}, ["(yaml) a", "a dictionary"]),
        ("yaml", {"include": "#a"}, ["(yaml) include", "before it knows placeholders", "another uwsgi_config_method"]),
        ("yaml", {"plugin": "-a"}, ["(yaml) plugin", "may not begin like that"]),
        ("xml", {"4x": "a"}, ["(xml) 4x", "element of XML"]),
        ("environment", {"pivot_root": "a"}, ["(environment) pivot_root", "variable of the environment"]),
        ("environment", {"s": ["a", "b", "c"]}, ["(environment) s", "not enough ways"]),
        ("command_line", {"a": ["x", None]}, ["(command_line) a", "item 2"]),
    ],
)
def test_what_cannot_be_said_is_refused(method: str, options: dict[str, t.Any], words: list[str]) -> None:
    with pytest.raises(ConfigFileError) as error:
        render(method, options, "/c", "/c/galaxy.ini")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("method", ["command_line", "environment"])
def test_magic_variables_need_a_file(method: str) -> None:
    with pytest.raises(ConfigFileError, match="only in files"):
        render(method, {"procname": "%n"}, "", "/c/galaxy.ini", placeholders=["procname"])


def test_what_they_look_like() -> None:
    options = {"master": True, "vacuum": False, "socket": "127.0.0.1:4001", "static-map": ["/a=/b", "/c=/d"]}
    shown = {method: render(method, options, "/c", "/c/galaxy.ini", FLAGS) for method in METHODS}
    assert shown["paste_deploy"].arguments == ["--ini-paste", "/c/galaxy.ini"]
    assert shown["ini"].arguments == ["--ini", "/c/uwsgi.ini"]
    assert shown["ini"].text == (
        "[uwsgi]\npaste = config:/c/galaxy.ini\nmaster = true\nvacuum = false\nsocket = 127.0.0.1:4001\n"
        "static-map = /a=/b\nstatic-map = /c=/d\n"
    )
    assert shown["yaml"].text == (
        "uwsgi:\n  paste: config:/c/galaxy.ini\n  master: true\n  vacuum: false\n  socket: 127.0.0.1:4001\n"
        "  static-map: /a=/b\n  static-map: /c=/d\n"
    )
    assert shown["xml"].text == (
        "<uwsgi>\n  <paste>config:/c/galaxy.ini</paste>\n  <master>true</master>\n  <vacuum>false</vacuum>\n"
        "  <socket>127.0.0.1:4001</socket>\n  <static-map>/a=/b</static-map>\n"
        "  <static-map>/c=/d</static-map>\n</uwsgi>\n"
    )
    assert json.loads(shown["json"].text or "")["uwsgi"] == {
        "paste": "config:/c/galaxy.ini",
        "master": "true",
        "vacuum": "false",
        "socket": "127.0.0.1:4001",
        "static-map": ["/a=/b", "/c=/d"],
    }
    assert shown["command_line"].arguments == [
        *("--paste=config:/c/galaxy.ini", "--master", "--set=vacuum=false", "--socket=127.0.0.1:4001"),
        *("--static-map=/a=/b", "--static-map=/c=/d"),
    ]
    assert list(shown["environment"].environment.items()) == [
        ("UWSGI_PASTE", "config:/c/galaxy.ini"),
        ("UWSGI_MASTER", "true"),
        ("UWSGI_VACUUM", "false"),
        ("UWSGI_SOCKET", "127.0.0.1:4001"),
        ("UWSGI_STATIC_MAP", "/a=/b"),
        ("UWSGI_STATIC_MAp", "/c=/d"),
    ]
