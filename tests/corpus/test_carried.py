# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile text that is right: what the roles would write, read back by those who read it.

Galaxy's files are read by the parsers that Galaxy has, uWSGI is started as supervisor would start it and says what it
was told, and nginx serves.
"""

from __future__ import annotations

import configparser
import http.client
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import corpus
import pytest
import yaml
from corpus import Entry, Host

HOSTS = corpus.hosts([entry for entry in corpus.entries() if entry.carried is not None], most=8)
CARRIED = [(host, entry) for host in HOSTS for entry in host.entries]

Files = dict[str, t.Any]

# Which templates make what is read.
TEMPLATES = {
    "galaxy.ini": ["galaxy.ini.j2"],
    "http": ["galaxy.conf.j2"],
    "job_conf.yml": ["job_conf.yml.j2"],
    "local_tool_conf.xml": ["local_tool_conf.xml.j2"],
    "nginx": ["site.j2", "locations.j2"],
    "supervisor": ["galaxy.conf.j2"],
    "uwsgi": ["galaxy.conf.j2", "galaxy.ini.j2"],
}


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("carried")


@pytest.fixture(scope="session")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def written(directory: Path, port: int) -> dict[str, Files]:
    """What the roles would write on each host."""
    shutil.copy(corpus.HERE / "render.yml", directory)
    (directory / "templates").mkdir()
    for path in corpus.ROOT.glob("roles/*/templates/*"):
        (directory / "templates" / path.name).symlink_to(path)
    wanted: dict[str, list[str]] = {host.name: [] for host in HOSTS}
    for host, entry in CARRIED:
        assert entry.carried is not None
        wanted[host.name] += TEMPLATES[entry.carried["in"][0]]
    told = corpus.run(
        directory,
        directory / "render.yml",
        HOSTS,
        wanted={name: sorted(set(templates)) for name, templates in wanted.items()},
        galaxy_root="{{ playbook_dir }}/{{ inventory_hostname }}",
        uwsgi_socket="{{ galaxy_root }}/s",
        nginx_listen=[f"127.0.0.1:{port}"],
        nginx_client_body_temp_path="{{ galaxy_root }}/body",
    )
    last = told["plays"][-1]["tasks"][-1]
    assert last["task"]["name"] == "Say it", (directory / "output").read_text()
    assert not any(result.get("failed") for result in last["hosts"].values()), (directory / "output").read_text()
    files: dict[str, Files] = {}
    for name, result in last["hosts"].items():
        files[name] = {**result["msg"]["texts"], "launcher": result["msg"]["launcher"]}
        for part in ("config", "log", "run", "body", "server/static"):
            (directory / name / part).mkdir(parents=True)
        (directory / name / "config/galaxy.ini").write_text(files[name].get("galaxy.ini.j2", ""))
        for path, text in result["msg"]["uwsgi"].items():
            Path(path).write_text(text)
    return files


# --- Readers -----------------------------------------------------------------------------------------


def read_ini(files: Files) -> t.Any:
    """galaxy.ini, as PasteDeploy reads it."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(files["galaxy.ini.j2"])
    return parser


def read_supervisor(files: Files) -> dict[str, dict[str, str]]:
    """The environments of supervisor's programs (supervisor.options, supervisor.datatypes)."""
    found = {}
    for name, program in programs(files).items():
        lexer = shlex.shlex(program["environment"] % {})
        lexer.wordchars += "/.+-():"
        words = list(lexer)
        found[name] = {words[at]: words[at + 2].strip("'\"") for at in range(0, len(words), 4)}
    return found


def programs(files: Files) -> dict[str, t.Any]:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(files["galaxy.conf.j2"])
    return {name: parser[name] for name in parser.sections() if name.startswith("program:")}


def read_uwsgi(files: Files, program: str = "program:gx_galaxy") -> dict[str, list[str]]:
    """What uWSGI says that it was told, started as supervisor would start it."""
    words = shlex.split(programs(files)[program]["command"] % {})
    # Without what waits for its successor, and without the launcher, which looks for a release.
    arguments = words[words.index(files["launcher"]) + 2 :]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("uwsgi")), *arguments, "--show-config", "--no-server"],
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **read_supervisor(files)[program]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    log = Path(files["launcher"]).parents[2] / "log/uwsgi.log"
    said = done.stdout + done.stderr + (log.read_text() if log.exists() else "")
    assert ";uWSGI instance configuration\n[uwsgi]\n" in said, said
    shown = said.split(";uWSGI instance configuration\n[uwsgi]\n")[1].split("\n;end of configuration")[0]
    found: dict[str, list[str]] = {}
    for line in shown.split("\n"):
        name, _equals, value = line.partition(" = ")
        found.setdefault(name, []).append(value)
    return found


def read_http(files: Files) -> dict[str, list[str]]:
    """What uWSGI's router says that it was told, without what it is always told."""
    found = read_uwsgi(files, "program:gx_http")
    return {**found, "http-var": [value for value in found["http-var"] if not value.startswith("HTTP_")]}


def read_tools(files: Files) -> dict[str, str | None]:
    """The section of each tool."""
    sections = ET.fromstring(files["local_tool_conf.xml.j2"]).iter("section")
    return {tool.attrib["file"]: section.get("name") for section in sections for tool in section}


def read_nginx(files: Files) -> http.client.HTTPMessage:
    """The headers of what nginx serves with the site."""
    root = Path(files["launcher"]).parents[2]
    site = root / "nginx"
    shutil.rmtree(site, ignore_errors=True)
    (site / "galaxy/galaxy").mkdir(parents=True)
    for name in ("uwsgi_params", "error.log"):
        (site / name).touch()
    moved = {name: re.sub(r"/(etc|var/log)/nginx/", f"{site}/", files[f"{name}.j2"]) for name in ("site", "locations")}
    (site / "galaxy/galaxy/galaxy.conf").write_text(moved["locations"])
    (site / "nginx.conf").write_text(f"pid {site}/pid; daemon off; events {{}} http {{ {moved['site']} }}")
    command = [
        str(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")),
        "-p",
        str(site),
        "-e",
        "error.log",
        "-c",
        "nginx.conf",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as nginx:
        try:
            address = re.findall(r"listen (\S+);", files["site.j2"])[-1]
            for _attempt in range(100):
                if (site / "pid").exists() or nginx.poll() is not None:
                    break
                time.sleep(0.1)
            connection = http.client.HTTPConnection(address, timeout=10)
            connection.request("GET", "/static/x")
            return connection.getresponse().headers
        finally:
            nginx.terminate()


READERS: dict[str, t.Callable[[Files], t.Any]] = {
    "galaxy.ini": read_ini,
    "http": read_http,
    "job_conf.yml": lambda files: yaml.safe_load(files["job_conf.yml.j2"]),
    "local_tool_conf.xml": read_tools,
    "nginx": read_nginx,
    "supervisor": read_supervisor,
    "uwsgi": read_uwsgi,
}


@pytest.mark.parametrize("host, entry", [pytest.param(*case, id=case[1].name) for case in CARRIED])
def test_it_arrives(written: dict[str, Files], host: Host, entry: Entry) -> None:
    assert entry.carried is not None
    reader, *keys = entry.carried["in"]
    found = READERS[reader](written[host.name])
    for key in keys:
        found = found[key]
    assert found == entry.carried["as"]
