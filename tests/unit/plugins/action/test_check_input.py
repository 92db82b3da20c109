# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action check_input, in a real run of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Check
      dagobah.galaxy.check_input:
"""

# With real processes, which take their time.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not COLLECTIONS.is_dir(), reason="needs a checkout")]


INVENTORY = "here ansible_host=127.0.0.1 ansible_port=1\n"


def run(
    directory: Path, *arguments: str, playbook: str = PLAYBOOK, inventory: str = INVENTORY, **variables: t.Any
) -> tuple[int, str]:
    (directory / "playbook.yml").write_text(playbook)
    (directory / "inventory").write_text(inventory)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook"),
            *("-i", str(directory / "inventory"), "-e", json.dumps(variables), *arguments),
            str(directory / "playbook.yml"),
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_HOME": str(directory),
            "ANSIBLE_NOCOLOR": "1",
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_defaults_are_in_order_and_nothing_is_changed(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--check")
    assert code == 0, output
    assert "ok=1    changed=0" in output
    assert "WARNING" not in output


def test_templates_are_filled_in(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        mine="/opt/galaxy",
        galaxy_root="{{ mine }}",
        uwsgi_processes="{{ 1 + 1 }}",
        galaxy_config={"app:main": {"brand": "{{ mine }}", "admin_users": ["{{ mine }}"]}},
    )
    assert code == 0, output


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        uwsgi_processes="{{ 1 - 1 }}",
        uwsgi_threads="{{ nobody_knows }}",
        galaxy_database_connection="mysql://galaxy:hunter2@db/galaxy",
        galaxy_config={"galaxy": {"brnd": "x"}},
        galaxy_handler=2,
        postgresql_objects_users=[{"name": "a", "password": "hunter2", "flags": "x"}],
    )
    assert code == 2, output
    for words in (
        "6 things are wrong with the input for here; nothing has been changed.",
        "- uwsgi_processes: 0: has to be a number from 1",
        "- uwsgi_threads: its template cannot be filled in: 'nobody_knows' is undefined",
        '- galaxy_database_connection: "mysql://galaxy:********@db/galaxy"',
        '- galaxy_config app:main.brnd: "x": Galaxy has no option brnd; did you mean brand?',
        "- galaxy_handler: no role has such a variable; did you mean galaxy_handlers?",
        "- postgresql_objects_users: ",
    ):
        assert words in output
    assert "hunter2" not in output


def test_files_on_the_controller(tmp_path: Path) -> None:
    (tmp_path / "welcome.html").write_text("Welcome")
    code, output = run(tmp_path, galaxy_welcome_file="welcome.html")
    assert code == 0, output
    code, output = run(tmp_path, galaxy_welcome_file="welcom.html", galaxy_requirements_file="/missing.txt")
    assert code == 2
    assert 'galaxy_welcome_file: "welcom.html": there is no such file' in output
    assert 'galaxy_requirements_file: "/missing.txt": there is no such file' in output


JOB_CONF = """<job_conf>
    <plugins><plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner"/></plugins>
    <handlers default="handlers" assign_with="db-skip-locked">
    {% for number in range(how_many) %}
        <handler id="handler{{ number }}" tags="handlers"/>
    {% endfor %}
    </handlers>
    <destinations default="local"><destination id="local" runner="local"/></destinations>
</job_conf>
"""


def test_the_users_own_job_configuration(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "job_conf.xml.j2").write_text(JOB_CONF)
    code, output = run(tmp_path, galaxy_job_config_template="job_conf.xml.j2", how_many=2)
    assert code == 0, output
    code, output = run(tmp_path, galaxy_job_config_template="job_conf.xml.j2", how_many=3)
    assert code == 2
    assert '"handler2": no such handler runs: galaxy_handlers names handler0, handler1; name it there, too' in output
    code, output = run(tmp_path, galaxy_job_config_template="job_conf.xml.j2")
    assert code == 2
    assert "galaxy_job_config_template: job_conf.xml.j2: its template cannot be filled in" in output
    code, output = run(tmp_path, galaxy_job_config_template="job_conf.yml")
    assert code == 2
    assert 'galaxy_job_config_template: "job_conf.yml": there is no such file' in output


def test_warnings_do_not_stop_the_run(tmp_path: Path) -> None:
    code, output = run(tmp_path, galaxy_systemd_mode="x")
    assert code == 0, output
    assert "galaxy_systemd_mode" in output
    assert "no effect" in output


def test_a_schema_takes_the_place_of_the_table(tmp_path: Path) -> None:
    playbook = PLAYBOOK.replace("check_input:", "check_input:\n        schema: {options: {mine: {type: int}}}")
    code, output = run(tmp_path, playbook=playbook, galaxy_config={"galaxy": {"mine": "x", "brand": "y"}})
    assert code == 2, output
    assert 'app:main.mine: "x": has to be a whole number' in output
    assert "Galaxy has no option brand" in output


TWO = """
[galaxy]
one ansible_host=192.0.2.1
two ansible_host=192.0.2.1 galaxy_instance_name=two uwsgi_socket=127.0.0.1:4002 nginx_site=galaxy
elsewhere ansible_host=192.0.2.2
[other]
database ansible_host=192.0.2.1
"""
OF_THE_GROUP = PLAYBOOK.replace("hosts: all", "hosts: galaxy")


def test_instances_on_one_machine_are_checked_against_each_other(tmp_path: Path) -> None:
    code, output = run(tmp_path, playbook=OF_THE_GROUP, inventory=TWO)
    assert code == 2, output
    assert "things are wrong with the input for one" in output
    assert '- one and two are on one machine: galaxy_supervisor_group: "gx": each needs one of its own' in output
    assert '- one and two are on one machine: galaxy_url_prefix: "/": both are in one site' in output
    assert "elsewhere" not in output.split("2 things are wrong")[1].split("PLAY RECAP")[0].replace(
        "ok: [elsewhere]", ""
    )


def test_an_instance_that_is_left_out_of_the_run_counts_too(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--limit", "two", playbook=OF_THE_GROUP, inventory=TWO)
    assert code == 2, output
    assert "one and two are on one machine" in output


def test_the_inventory_of_the_documentation(tmp_path: Path) -> None:
    inventory = (COLLECTIONS.parent / "inventories/side-by-side/hosts.yml").read_text()
    (tmp_path / "side-by-side.yml").write_text(inventory)
    code, output = run(tmp_path, "-i", str(tmp_path / "side-by-side.yml"), playbook=OF_THE_GROUP)
    assert code == 0, output
    assert output.count("ok: [") == 3


def test_instances_that_get_along(tmp_path: Path) -> None:
    inventory = TWO.replace("nginx_site=galaxy", "nginx_site=galaxy galaxy_url_prefix=/two galaxy_supervisor_group=gx2")
    code, output = run(tmp_path, playbook=OF_THE_GROUP, inventory=inventory)
    assert code == 0, output
