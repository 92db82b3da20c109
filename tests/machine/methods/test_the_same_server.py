# SPDX-License-Identifier: GPL-3.0-or-later
"""However uWSGI is configured, it is the same server: it says so itself, and it serves the same."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import requests
from support import KEPT_TEXT, ROOT, START, Dataset, Galaxy, Machine, Student, wait_for
from uwsgi_cases import Deployed, Reference, play

# What the ways differ in: how uWSGI gets at its options, and placeholders for what a way cannot carry.
OF_THE_WAY = ("ini-paste", "paste", "ini", "yaml", "xml", "json")
FILES = {"ini": "uwsgi.ini", "yaml": "uwsgi.yml", "xml": "uwsgi.xml", "json": "uwsgi.json"}


def reported(machine: Machine) -> list[tuple[str, str]]:
    """Return the options that uWSGI, when it was last started or reloaded, wrote into its log."""
    log = machine.run(f"cat {ROOT}/log/uwsgi.log")
    text = log.rpartition(";uWSGI instance configuration\n[uwsgi]\n")[2].partition("\n;end of configuration")[0]
    pairs = [(name, value) for name, _equals, value in (line.partition(" = ") for line in text.split("\n"))]
    # On the command line, a flag that is false is told with "set", which uWSGI reports besides.
    carriers = {("set", f"{name}={value}") for name, value in pairs}
    pairs = [pair for pair in pairs if pair not in carriers]
    return [
        (name, value)
        for name, value in pairs
        if name not in OF_THE_WAY
        and not name.startswith("galaxy-")
        and not (name == "set-placeholder" and value.startswith("galaxy-"))
    ]


def given(options: dict[str, Any], name: str) -> list[str]:
    value = options[name]
    return [
        str(item).lower() if isinstance(item, bool) else str(item)
        for item in (value if isinstance(value, list) else [value])
    ]


def test_a_job_has_run(deployed: Deployed) -> None:
    """The proof at the end of the run sends one, besides asking every worker and every mapped URL."""
    assert re.search(r"- job +[\d.]+ s +job \d+ by handler0", deployed.output), deployed.output[-3000:]


def test_it_reports_the_same_options(
    machine: Machine, deployed: Deployed, galaxy: Galaxy, reference: Reference
) -> None:
    found = reported(machine)
    options = deployed.case.variables["uwsgi_options"]
    assert len(found) > 20
    for name in options:
        values = [value for key, value in found if key == name]
        if name in deployed.case.variables["uwsgi_placeholders"]:
            assert values == [given(options, name)[0].replace("$(USER)", "galaxy")]
        else:
            assert values == given(options, name)
    reference.same("options", found)


def test_it_has_the_same_workers(machine: Machine, galaxy: Galaxy, reference: Reference) -> None:
    workers = machine.uwsgi_stats()["workers"]
    assert len(workers) == 2
    reference.same("workers", [(len(worker["cores"]), len(worker["apps"]), worker["accepting"]) for worker in workers])


def test_it_gives_the_same_answers(galaxy: Galaxy, reference: Reference) -> None:
    """Pages, the API, an error, static files; headers too, but for those that are of the moment."""

    def seen(path: str) -> tuple[int, dict[str, str], bytes]:
        answer = galaxy.get(path)
        of_the_moment = ("date", "x-request-id", "set-cookie", "expires", "last-modified", "etag", "content-length")
        headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in of_the_moment}
        # A page holds the token of its session.
        return answer.status_code, headers, b"" if "text/html" in headers["content-type"] else answer.content

    paths = (
        *("/", "/api/version", "/api/tools/upload1", "/api/histories/none", "/login/start", "/missing"),
        *("/static/dist/base.css", "/static/welcome.html", "/favicon.ico", "/robots.txt"),
    )
    found = {path: seen(path) for path in paths}
    assert {found[path][0] for path in ("/", "/api/version", "/static/dist/base.css")} == {200}
    reference.same("answers", found)


def test_it_redirects_as_a_route_says(galaxy: Galaxy) -> None:
    answer = galaxy.get("/old/a%20b", allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "/new/a b")


def test_it_serves_files_of_a_repeated_option(machine: Machine, galaxy: Galaxy) -> None:
    welcome = machine.run(f"cat {ROOT}/server/welcome.html")
    for path in ("/about", "/imprint"):
        answer = galaxy.get(path)
        assert answer.status_code == 200, path
        assert answer.text.strip() == welcome.strip(), path


def test_awkward_text_arrives(deployed: Deployed, galaxy: Galaxy) -> None:
    name, _colon, value = deployed.case.variables["uwsgi_options"]["add-header"].partition(": ")
    assert galaxy.get("/api/version").headers[name] == value


def test_a_placeholder_is_filled_in_on_purpose(galaxy: Galaxy) -> None:
    assert galaxy.get("/api/version").headers["x-run-by"] == "galaxy"


def test_a_download_comes_whole_and_in_part(student: Student, kept: Dataset) -> None:
    assert student.download(kept).text == KEPT_TEXT
    part = student.download(kept, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.text) == (206, KEPT_TEXT[100:300])


def test_upload_of_unknown_length(student: Student) -> None:
    history = student.history("Chunked")
    body = json.dumps({"name": "Chunked again"}).encode()
    answer = student.session.put(
        f"{student.galaxy.url}/api/histories/{history}",
        data=(body[i : i + 7] for i in range(0, len(body), 7)),
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.json()["name"] == "Chunked again"


def test_only_its_own_file_is_there(machine: Machine, deployed: Deployed) -> None:
    method = deployed.case.variables.get("uwsgi_config_method", "paste_deploy")
    files = {
        path.rsplit("/", 1)[1]: about
        for path, about in (
            line.split(" ", 1) for line in machine.run(f"stat --format '%n %a %U %G' {ROOT}/config/*").splitlines()
        )
    }
    assert set(files) & set(FILES.values()) == ({FILES[method]} if method in FILES else set())
    for name in sorted({FILES.get(method, "galaxy.ini"), "galaxy.ini"}):
        assert files[name] == "640 root galaxy-config"
    assert ("[uwsgi]" in machine.run(f"cat {ROOT}/config/galaxy.ini").splitlines()) == (method == "paste_deploy")


def test_a_graceful_reload_fails_no_request(machine: Machine, galaxy: Galaxy) -> None:
    told = reported(machine)
    old = set(machine.workers())
    master = machine.run("supervisorctl pid gx:galaxy")
    statuses: list[object] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.5):
            try:
                statuses.append(galaxy.get("/api/version").status_code)
            except requests.RequestException as error:
                statuses.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        machine.run("supervisorctl signal HUP gx:galaxy")
        wait_for(
            "the old workers end",
            lambda: not [pid for pid in old if machine.succeeds(f"test -e /proc/{pid}")],
            START,
        )
        galaxy.wait()
    finally:
        over.set()
        asking.join(START)
    assert set(statuses) == {200}
    assert machine.run("supervisorctl pid gx:galaxy") == master
    assert not old & set(machine.workers())
    # What it was told the first time, it was told again.
    assert reported(machine) == told


def test_another_run_changes_nothing(deployed: Deployed) -> None:
    output = play(deployed.case.variables, "--tags", "galaxy_config_files,uwsgi,supervisor,nginx")
    recap = output.rpartition("PLAY RECAP")[2]
    assert re.search(r"changed=0 ", recap), output[-4000:]
