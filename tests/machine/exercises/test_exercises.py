# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that the exercises' own text makes."""

from __future__ import annotations

from support import KEPT_TEXT, Dataset, Galaxy, Machine, Student


def test_all_programs_of_the_exercises_run(machine: Machine) -> None:
    assert machine.programs() == dict.fromkeys(("galaxy", "handler0", "handler1"), "RUNNING")
    # They are those of the participant's template, and not ours.
    assert machine.succeeds("grep -q 'programs = galaxy,handler$' /etc/supervisor/conf.d/galaxy.conf")


def test_galaxy_answers_behind_the_participants_nginx(machine: Machine, galaxy: Galaxy) -> None:
    assert galaxy.get("/api/version").json()["version_major"] == "26.1"
    assert machine.succeeds("grep -q 'The site of the exercises' /etc/nginx/sites-enabled/galaxy")
    assert machine.run("ls /etc/nginx/sites-enabled") == "galaxy"


def test_the_socket_and_the_workers_are_those_of_galaxy_config(machine: Machine) -> None:
    stats = machine.uwsgi_stats()
    assert [socket["name"] for socket in stats["sockets"]] == ["127.0.0.1:4001"]
    assert [len(worker["cores"]) for worker in stats["workers"]] == [2, 2]
    assert machine.run("stat -c %a /srv/galaxy/log/uwsgi.log") == "644"


def test_a_handler_of_the_copied_job_configuration_does_the_job(
    machine: Machine, student: Student, kept: Dataset
) -> None:
    assert kept.state == "ok"
    assert set(machine.sql("SELECT DISTINCT handler FROM job")) <= {"handler0", "handler1"}
    user = student.api("GET", "users/current")
    assert user["is_admin"]


def test_the_participants_directories_are_used(machine: Machine, student: Student, kept: Dataset) -> None:
    path = student.api("GET", f"datasets/{kept.id}")["file_name"]
    assert path.startswith("/srv/galaxy/data/")
    # nginx sends it, from where the participant's site says.
    assert student.download(kept).headers["X-Exercise"] == "sent by nginx"
    for directory in ("dependencies", "tool-data", "ftp"):
        assert machine.run(f"stat -c %U /srv/galaxy/{directory}") == "galaxy"


def test_what_galaxy_writes_is_not_its_configuration(machine: Machine) -> None:
    assert not machine.may("galaxy", "w", "/srv/galaxy/config")
    assert not machine.may("galaxy", "w", "/srv/galaxy/config/job_conf.xml")
    assert machine.may("galaxy", "r", "/srv/galaxy/config/job_conf.xml")
    assert not machine.may("nobody", "r", "/srv/galaxy/config/job_conf.xml")
    assert machine.succeeds("test -e /srv/galaxy/data/config/integrated_tool_panel.xml")


def test_what_has_no_meaning_any_more_is_left_out(machine: Machine) -> None:
    assert not machine.succeeds("grep -q nginx_upload /srv/galaxy/config/galaxy.ini")


def test_the_participants_own_tool_counts_lines(
    machine: Machine, galaxy: Galaxy, student: Student, kept: Dataset
) -> None:
    tool = student.api("GET", "tools/count_lines")
    assert tool["panel_section_name"] == "Exercises"
    # Beside those of the release.
    assert student.api("GET", "tools/upload1")["id"] == "upload1"
    history = student.history("Counted")
    inputs = {"input": {"src": "hda", "id": kept.id}}
    ran = student.api("POST", "tools", json={"tool_id": "count_lines", "history_id": history, "inputs": inputs})
    counted = student.finished(ran["outputs"][0]["id"])
    assert counted.state == "ok"
    assert student.download(counted).text == f"{KEPT_TEXT.count(chr(10))}\n"
    assert not machine.may("galaxy", "w", "/srv/galaxy/local_tools/count.xml")


def test_galaxy_main_is_where_a_checkout_has_it(machine: Machine) -> None:
    assert "--server-name" in machine.run(
        "cd /srv/galaxy/server && /srv/galaxy/venv/bin/python scripts/galaxy-main --help"
    )


def test_what_a_participants_task_has_notified_restarts_galaxy(machine: Machine) -> None:
    written = int(machine.run("stat -c %Y /srv/galaxy/tool-data/census.loc"))
    assert all(worker["last_spawn"] >= written for worker in machine.uwsgi_stats()["workers"])
