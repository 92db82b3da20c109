# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy 20.05: its page, its API, its workers, and a job that a webless handler takes."""

from __future__ import annotations

import re

import pytest
from support import Galaxy, Machine, Student

ROOT = "/srv/galaxy"


@pytest.fixture(scope="session")
def galaxy(machine: Machine) -> Galaxy:
    """Galaxy below its prefix."""
    galaxy = Galaxy(f"{machine.url()}/classic")
    galaxy.wait()
    return galaxy


def test_it_is_that_release(galaxy: Galaxy) -> None:
    assert galaxy.get("/api/version").json()["version_major"] == "20.05"


def test_the_first_page_is_galaxys_and_knows_where_it_is(galaxy: Galaxy) -> None:
    page = galaxy.get("/")
    assert page.status_code == 200
    assert "<title>" in page.text
    assert '"version_major": "20.05"' in page.text
    links = re.findall(r'(?:src|href)="(/[^"]*)', page.text)
    assert links
    assert {link.split("/")[1] for link in links} == {"classic"}
    assert "galaxysession=" in page.headers["set-cookie"]
    assert "path=/classic" in page.headers["set-cookie"].lower()


def test_static_files_come_from_nginx(galaxy: Galaxy) -> None:
    for path in ("/static/favicon.png", "/static/welcome.html", "/favicon.ico", "/robots.txt"):
        answer = galaxy.get(path)
        assert answer.status_code == 200, path
        assert answer.content, path
        assert "max-age" in answer.headers["cache-control"], path


def test_the_tools_are_there(galaxy: Galaxy) -> None:
    tools = {tool["id"] for tool in galaxy.get("/api/tools?in_panel=false").json()}
    assert {"upload1", "Grouping1"} <= tools


def test_uwsgi_runs_galaxys_own_application_in_each_worker(machine: Machine, galaxy: Galaxy) -> None:
    workers = machine.workers()
    assert len(workers) == 2
    for worker in workers.values():
        assert len(worker["apps"]) == 1
        assert worker["exceptions"] == 0
        assert len(worker["cores"]) == 2
    log = machine.run("cat %s", f"{ROOT}/log/uwsgi.log")
    # Galaxy's own hooks, run by uWSGI in each worker after the fork.
    for number in (1, 2):
        assert f"Galaxy server instance 'main.web.{number}' is running" in log
    assert machine.run(f"grep ^paste.app_factory {ROOT}/config/galaxy.ini").endswith("galaxy.web.buildapp:app_factory")
    assert not machine.succeeds(f"test -e {ROOT}/server/lib/galaxy_wsgi")


def test_its_processes_work_in_the_release(machine: Machine) -> None:
    release = machine.run(f"readlink -f {ROOT}/venv")
    pids = machine.run("supervisorctl pid gx:galaxy gx:handler0").split()
    assert len(pids) == 2
    for pid in pids:
        # Not even root of a container may look at the processes of others.
        assert machine.run(f"runuser -u galaxy -- readlink /proc/{pid}/cwd") == f"{release}/root"


def test_a_webless_handler_takes_the_job(machine: Machine, student: Student) -> None:
    text = "".join(f"{number}\tline {number}\n" for number in range(1000))
    history = student.history("Classic")
    dataset = student.upload(text, history, "classic.tabular", "tabular")
    assert dataset.state == "ok"
    answer = student.session.get(
        f"{student.galaxy.url}/api/histories/{history}/contents/{dataset.id}/display?to_ext=data", timeout=120
    )
    assert answer.status_code == 200
    assert answer.text == text
    rows = machine.sql("SELECT handler, state FROM job ORDER BY id DESC LIMIT 1")
    assert rows == ["handler0|ok"]
    # The program of a job that looks at its datasets runs as well.
    assert machine.sql("SELECT count(*) FROM job WHERE job_stderr LIKE '%Error%'") == ["0"]
    # A tool of the release works on it, by a job of its own.
    inputs = {
        "input1": {"src": "hda", "id": dataset.id},
        "groupcol": "2",
        "operations_0|optype": "length",
        "operations_0|opcol": "1",
        "operations_0|opround": "no",
    }
    body = {"history_id": history, "tool_id": "Grouping1", "inputs": inputs}
    grouped = student.finished(student.api("POST", "tools", json=body)["outputs"][0]["id"])
    assert grouped.state == "ok"
    content = student.session.get(
        f"{student.galaxy.url}/api/histories/{history}/contents/{grouped.id}/display?to_ext=data", timeout=120
    )
    assert sorted(content.text.splitlines()) == sorted(f"line {number}\t1" for number in range(1000))
    assert machine.sql("SELECT handler, job_stderr FROM job WHERE tool_id = 'Grouping1'") == ["handler0|"]


def test_stopping_and_reloading(machine: Machine, galaxy: Galaxy) -> None:
    before = set(machine.workers())
    machine.run("supervisorctl signal HUP gx:galaxy")
    answers = [galaxy.get("/api/version").status_code for _number in range(20)]
    assert set(answers) == {200}
    galaxy.wait()
    after = set(machine.workers())
    assert len(after) == 2
    assert not before & after
