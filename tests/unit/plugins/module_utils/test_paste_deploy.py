# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""galaxy.ini: merging sections, and rendering them for Galaxy, PasteDeploy and uWSGI."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.paste_deploy import combine_sections, to_paste_deploy
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import ConfigFileError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# --- Merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([{"app:main": {"a": 1}}], {"app:main": {"a": 1}}, id="nothing to merge"),
        pytest.param(
            [{"app:main": {"a": 1, "b": 2}}, {"app:main": {"b": 3}}], {"app:main": {"a": 1, "b": 3}}, id="later wins"
        ),
        pytest.param([{"app:main": {"a": 1}}, {"galaxy": {"a": 2}}], {"app:main": {"a": 2}}, id="galaxy is app:main"),
        pytest.param(
            [{"app:main": {"a": 1, "b": 2}}, {"galaxy": {"a": None}}], {"app:main": {"b": 2}}, id="null removes"
        ),
        pytest.param([{"uwsgi": {"l": [1, 2]}}, {"uwsgi": {"l": [3]}}], {"uwsgi": {"l": [3]}}, id="lists are replaced"),
        pytest.param([{"uwsgi": {"a": 1}}, {"uwsgi": None}], {"uwsgi": {"a": 1}}, id="null section is empty"),
        pytest.param([{"uwsgi": {"a": 1}}, None], {"uwsgi": {"a": 1}}, id="null layer"),
        pytest.param(
            [{"uwsgi": {"a": 1}}, {"uwsgi": {"a": 2}}, {"uwsgi": {"a": 3}}], {"uwsgi": {"a": 3}}, id="three layers"
        ),
        pytest.param(
            [{}, {"galaxy": {"a": 1}, "app:main": {"b": 2}}],
            {"app:main": {"a": 1, "b": 2}},
            id="both names of one section",
        ),
        pytest.param([{"uwsgi": {"a": 1}}, {"uwsgi": {"b": None}}], {"uwsgi": {"a": 1}}, id="null of nothing"),
    ],
)
def test_combine_sections(layers: list[t.Any], expected: dict[str, t.Any]) -> None:
    assert combine_sections(*layers) == expected


@pytest.mark.parametrize(
    "user, words",
    [
        pytest.param(["a"], ["galaxy_config", '["a"]', "dictionary of sections"], id="list"),
        pytest.param({"uwsgi": ["a"]}, ["section uwsgi", '["a"]', "dictionary"], id="section is a list"),
        pytest.param({"uwsgi": {True: 1}}, ["section uwsgi", "key true", "quote it"], id="key is a boolean"),
        pytest.param({7: {"a": 1}}, ["section name 7", "quote it"], id="section name is a number"),
        pytest.param(
            {"galaxy": {"brand": "a"}, "app:main": {"brand": "b"}},
            ["section app:main", "key brand", "galaxy"],
            id="two values",
        ),
    ],
)
def test_combine_sections_refuses(user: t.Any, words: list[str]) -> None:
    with pytest.raises(ConfigFileError) as error:
        combine_sections({"app:main": {"brand": "c"}}, user)
    for word in words:
        assert word in str(error.value)


def test_combine_sections_leaves_its_input_alone() -> None:
    defaults = {"app:main": {"a": 1}}
    combine_sections(defaults, {"app:main": {"a": 2, "b": 3}})
    assert defaults == {"app:main": {"a": 1}}


# --- Rendering -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sections, text",
    [
        pytest.param({"app:main": {"a": True, "b": False}}, "[app:main]\na = true\nb = false\n", id="booleans"),
        pytest.param({"app:main": {"a": None, "b": 1}}, "[app:main]\nb = 1\n", id="null is left out"),
        pytest.param({"app:main": {"a": 1.5, "b": -3}}, "[app:main]\na = 1.5\nb = -3\n", id="numbers"),
        pytest.param({"app:main": {"a": ["x", "y", 3]}}, "[app:main]\na = x,y,3\n", id="list"),
        pytest.param({"app:main": {"a": []}}, "[app:main]\na =\n", id="empty list"),
        pytest.param({"app:main": {"a": ""}}, "[app:main]\na =\n", id="empty string"),
        pytest.param({"app:main": {"a": "50%"}}, "[app:main]\na = 50%%\n", id="percent"),
        pytest.param({"app:main": {"a": "x\ny\n"}}, "[app:main]\na = x\n    y\n", id="lines"),
        pytest.param({"app:main": {"a": "=b:c;d#e"}}, "[app:main]\na = =b:c;d#e\n", id="delimiters"),
        pytest.param({"galaxy": {"a": "ü"}}, "[app:main]\na = ü\n", id="galaxy is app:main"),
        pytest.param({"uwsgi": {"m": ["/a=/b", "/c=/d"]}}, "[uwsgi]\nm = /a=/b\n    m = /c=/d\n", id="repeated option"),
        pytest.param({"uwsgi": {"m": []}}, "[uwsgi]\n", id="option repeated never"),
        pytest.param({"uwsgi": {"logto": "/x/%p.log"}}, "[uwsgi]\nlogto = /x/%%p.log\n", id="uWSGI placeholder"),
        pytest.param(
            {"uwsgi": {"env": "A=$(B)"}},
            "[uwsgi]\nset-placeholder = galaxy-dollar=$\nenv = A=%%(galaxy-dollar)(B)\n",
            id="environment variable",
        ),
        pytest.param(
            {"uwsgi": {"set-placeholder": "x=y", "env": ["A=@(b)", "C=$(D)"]}},
            "[uwsgi]\nset-placeholder = x=y\n    set-placeholder = galaxy-dollar=$\n    set-placeholder = galaxy-at=@\n"
            "env = A=%%(galaxy-at)(b)\n    env = C=%%(galaxy-dollar)(D)\n",
            id="beside placeholders of one's own",
        ),
        pytest.param(
            {"uwsgi": {"include": "$(A)"}}, "[uwsgi]\ninclude = $(A)\n", id="immediate options expand nothing"
        ),
        pytest.param(
            {"uwsgi": {"log-format": "%(addr) %(uri)"}}, "[uwsgi]\nlog-format = %%(addr) %%(uri)\n", id="log format"
        ),
        pytest.param(
            {"filter:x": {"use": "egg:y"}, "app:main": {"a": 1}, "uwsgi": {"b": 2}},
            "[uwsgi]\nb = 2\n\n[app:main]\na = 1\n\n[filter:x]\nuse = egg:y\n",
            id="order of sections",
        ),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_rendering(sections: dict[str, t.Any], text: str) -> None:
    assert to_paste_deploy(sections) == text


def test_placeholders_on_request() -> None:
    assert to_paste_deploy({"uwsgi": {"logto": "$(A)/%n.log"}}, placeholders=True) == "[uwsgi]\nlogto = $(A)/%n.log\n"


@pytest.mark.parametrize(
    "sections, words",
    [
        pytest.param({"app:main": {"a": "x\n[uwsgi]"}}, ["[app:main] a", "section"], id="section in a value"),
        pytest.param(
            {"app:main": {"a": "x\n  [uwsgi]\n"}}, ["[app:main] a", "white space"], id="indented section in a value"
        ),
        pytest.param({"app:main": {"a": "x\n# y"}}, ["[app:main] a", "comment"], id="comment in a value"),
        pytest.param({"app:main": {"a": "x\n; y"}}, ["[app:main] a", "comment"], id="the other comment in a value"),
        pytest.param({"app:main": {"a": " x"}}, ["[app:main] a", '" x"', "white space"], id="leading space"),
        pytest.param({"app:main": {"a": "x\t"}}, ["[app:main] a", "white space"], id="trailing tab"),
        pytest.param({"app:main": {"a": "x\ny \nz"}}, ["[app:main] a", "white space"], id="space at the end of a line"),
        pytest.param({"app:main": {"a": "x\u00a0"}}, ["[app:main] a", "white space"], id="no-break space"),
        pytest.param({"app:main": {"a": "x\ry"}}, ["[app:main] a", "U+000D"], id="carriage return"),
        pytest.param({"app:main": {"a": "x\0y"}}, ["[app:main] a", "U+0000"], id="NUL"),
        pytest.param({"app:main": {"a": "x\u2028y"}}, ["[app:main] a", "U+2028"], id="line separator"),
        pytest.param({"app:main": {"a": "x\ud800"}}, ["[app:main] a", "U+D800"], id="surrogate"),
        pytest.param({"app:main": {"a": ["x,y"]}}, ["[app:main] a", "x,y", "comma"], id="comma in an item"),
        pytest.param({"app:main": {"a": ["x", ""]}}, ["[app:main] a", "empty"], id="empty item"),
        pytest.param({"app:main": {"a": {"x": 1}}}, ["[app:main] a", "a dictionary"], id="dictionary"),
        pytest.param({"app:main": {"a": [["x"]]}}, ["[app:main] a", "a list"], id="list in a list"),
        pytest.param({"app:main": {"a": b"x"}}, ["bytes"], id="bytes"),
        pytest.param({"app:main": {"a b": 1}}, ["[app:main]", "a b", "not a name"], id="space in a key"),
        pytest.param({"app:main": {"a=b": 1}}, ["[app:main]", "a=b"], id="equals in a key"),
        pytest.param({"app:main": {"a:b": 1}}, ["[app:main]", "a:b"], id="colon in a key"),
        pytest.param({"app:main": {"#a": 1}}, ["[app:main]", "#a"], id="comment as a key"),
        pytest.param({"app:main": {"[a": 1}}, ["[app:main]", "[a"], id="section as a key"),
        pytest.param({"app:main": {"a\nb": 1}}, ["[app:main]", "a\\nb"], id="line break in a key"),
        pytest.param({"app:main": {"": 1}}, ["[app:main]", '""'], id="empty key"),
        pytest.param(
            {"app:main": {"a": 1, "A": 2}}, ["[app:main] A", "only in case"], id="keys that Galaxy takes for one"
        ),
        pytest.param({"a]\n[b": {"c": 1}}, ["not a name for a section"], id="section name"),
        pytest.param({"uwsgi": {"a": "x\ny"}}, ["[uwsgi] a", "one line"], id="uWSGI: two lines"),
        pytest.param({"uwsgi": {"a": {"x": 1}}}, ["[uwsgi] a", "a dictionary"], id="uWSGI: dictionary"),
        pytest.param({"uwsgi": {"a": ["x", None]}}, ["[uwsgi] a", "item 2"], id="uWSGI: null in a list"),
        pytest.param(
            {"uwsgi": {"processes": 2, "name": "x%(processes)"}},
            ["[uwsgi] name", "%(processes)"],
            id="uWSGI: known placeholder",
        ),
        pytest.param({"uwsgi": {"name": "%(a + 1)"}}, ["[uwsgi] name", "%(a + 1)"], id="uWSGI: arithmetic"),
    ],
)
def test_rendering_refuses(sections: dict[str, t.Any], words: list[str]) -> None:
    with pytest.raises(ConfigFileError) as error:
        to_paste_deploy(sections)
    for word in words:
        assert word in str(error.value)


def test_errors_show_no_secret() -> None:
    with pytest.raises(ConfigFileError) as error:
        to_paste_deploy({"app:main": {"id_secret": "hunter2 "}})
    assert "id_secret" in str(error.value)
    assert "hunter2" not in str(error.value)


# --- Reading back, as Galaxy and PasteDeploy do --------------------------------------------------


class GalaxyParser(configparser.ConfigParser):
    """The same as galaxy.util.properties.NicerConfigParser."""

    def __init__(self) -> None:
        super().__init__(
            defaults={"here": "/h", "__file__": "/h/galaxy.ini"}, interpolation=configparser.BasicInterpolation()
        )

    def optionxform(self, optionstr: str) -> str:
        return str(super().optionxform(optionstr))


class PasteParser(configparser.ConfigParser):
    """The same as paste.deploy.loadwsgi.NicerConfigParser."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read(parser: configparser.ConfigParser, text: str, path: Path) -> dict[str, dict[str, str]]:
    """Read the file as both do: from disk, in text mode, interpolated."""
    path.write_text(text, encoding="utf-8", newline="")
    with path.open(encoding="utf-8") as file:
        parser.read_file(file)
    return {
        section: {key: value for key, value in parser.items(section) if key not in ("here", "__file__")}
        for section in parser.sections()
    }


key_names = st.from_regex(r"[a-z_][a-z0-9_.-]{0,12}", fullmatch=True).filter(
    lambda key: key not in ("here", "__file__")
)
hostile = st.text(alphabet="%()$@[]#;=:,\\\"' \t\n\r\0aü\u00a0\u2028Z", max_size=20)
values = st.one_of(hostile, st.text(max_size=20), st.booleans(), st.integers(), st.lists(hostile, max_size=3))


def expected(value: t.Any) -> str:
    """Return what Galaxy is to see."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).rstrip("\n")


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(options=st.dictionaries(key_names, values, max_size=4), uwsgi=st.dictionaries(key_names, values, max_size=3))
def test_what_is_rendered_is_read_back(tmp_path: Path, options: dict[str, t.Any], uwsgi: dict[str, t.Any]) -> None:
    """Whatever the values: the readers see just these, or there is an error."""
    sections = {"app:main": options, "uwsgi": uwsgi, "filter:x": {"last": "1"}}
    try:
        text = to_paste_deploy(sections)
    except ConfigFileError:
        return
    assert to_paste_deploy(sections) == text
    wanted = {key: expected(value) for key, value in options.items()}
    for parser in (GalaxyParser(), PasteParser()):
        found = read(parser, text, tmp_path / "galaxy.ini")
        assert list(found) == ["uwsgi", "app:main", "filter:x"]
        assert found["app:main"] == wanted
        assert found["filter:x"] == {"last": "1"}
    assert uwsgi_reader(text) == [
        (key, "" if item == "" else expected(item))
        for key, value in uwsgi.items()
        for item in (value if isinstance(value, list) else [value])
    ]


def test_white_space_before_a_line_break_is_not_lost_in_silence() -> None:
    with pytest.raises(ConfigFileError, match="begins or ends with white space"):
        to_paste_deploy({"app:main": {"x": ": \n:"}})


def uwsgi_reader(text: str) -> list[tuple[str, str]]:
    """Read the section as core/ini.c of uWSGI does, with the placeholders filled in."""
    data = []
    position = 0
    while position < len(text):
        if text[position] == "%" and position + 1 < len(text):
            data.append({"%": "%", "(": "%("}.get(text[position + 1], "<replaced>"))
            position += 2
        else:
            data.append(text[position])
            position += 1
    section = ""
    options: list[tuple[str, str]] = []
    for line in (line.strip(" \t\r") for line in "".join(data).split("\n")):
        if line.startswith("["):
            section = line[1:-1]
        elif line and line[0] not in ";#" and section == "uwsgi":
            key, _equals, value = line.partition("=")
            options.append((key.strip(" \t\r"), value.strip(" \t\r")))
    hidden = dict(value.split("=", 1) for key, value in options if key == "set-placeholder" and "galaxy-" in value)
    result = []
    for key, value in options:
        if key == "set-placeholder" and value.split("=")[0] in hidden:
            continue
        seen = value
        for name, char in hidden.items():
            seen = seen.replace(f"%({name})(", f"{char}(")
        result.append((key, seen))
    return result


# --- Reading back with the real ones -------------------------------------------------------------

REAL_SECTIONS: dict[str, dict[str, t.Any]] = {
    "uwsgi": {
        "env": ["A=$(HOME)", "B=@(/etc/hostname)", "C=50%", "D=%p%d", "E=%(nothing)", "F=a b  c", "G==x;y#z", "H=ü"],
        "static-map": ["/static=/srv/a", "/other=/srv/b"],
        "log-format": "%(addr) %(method) %(uri)",
        "need-app": True,
        "buffer-size": 16384,
        "die-on-term": False,
    },
    "app:main": {
        "paste.app_factory": "print_options:factory",
        "brand": '100% ü; # "quoted" $(HOME) %(here)s @(x)',
        "lines": "a\nb = c\n\nuwsgi-like = 1",
        "admin_users": ["a@example.org", "b@example.org"],
        "empty": "",
        "flag": True,
    },
}

APPLICATION = """
import json, os

def factory(global_conf, **local_conf):
    with open(os.environ["RESULT"], "w") as file:
        json.dump(local_conf, file)
    os._exit(0)
"""


def find_uwsgi() -> str | None:
    beside = Path(sys.executable).with_name("uwsgi")
    return str(beside) if beside.exists() else shutil.which("uwsgi")


@pytest.mark.skipif(find_uwsgi() is None, reason="uWSGI is not installed")
def test_real_uwsgi_and_paste_deploy_read_the_values(tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy")
    (tmp_path / "print_options.py").write_text(APPLICATION)
    (tmp_path / "galaxy.ini").write_text(to_paste_deploy(REAL_SECTIONS), encoding="utf-8")
    result = tmp_path / "result.json"
    run = subprocess.run(
        [
            str(find_uwsgi()),
            *("--ini-paste", str(tmp_path / "galaxy.ini")),
            *("--socket", str(tmp_path / "socket")),
            "--show-config",
        ],
        env={
            **os.environ,
            "RESULT": str(result),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
            "PYTHONUTF8": "1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    output = run.stdout + run.stderr
    assert result.exists(), output
    # What uWSGI itself says it was told: an option given several times is there several times. (Its
    # uwsgi.opt keeps only the last of them under Python 3.)
    shown = output.split("[uwsgi]\n", 1)[1].split(";end of configuration", 1)[0]
    told = [tuple(line.split(" = ", 1)) for line in shown.strip().split("\n")]
    given = [
        (key, expected(item))
        for key, value in REAL_SECTIONS["uwsgi"].items()
        for item in (value if isinstance(value, list) else [value])
    ]
    assert [(key, value) for key, value in told if key in REAL_SECTIONS["uwsgi"]] == given
    wanted_app = {
        key: expected(value) for key, value in REAL_SECTIONS["app:main"].items() if key != "paste.app_factory"
    }
    assert json.loads(result.read_text()) == wanted_app
