# SPDX-License-Identifier: GPL-3.0-or-later
"""Three Galaxies of one machine: each is whole, and none is in the way of another."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from support import Galaxy, Machine, Student, post_form

ROOT = Path(__file__).parents[3]
PASSWORD = "a-Password-0f-the-tests"


@dataclass
class Instance:
    """One of the Galaxies, as molecule/instances/inventory has it."""

    name: str
    release: str
    group: str
    prefix: str = ""
    host: str | None = None

    def galaxy(self, machine: Machine) -> Galaxy:
        galaxy = Galaxy(machine.url() + self.prefix, self.host)
        galaxy.wait()
        return galaxy

    def pids(self, machine: Machine) -> set[str]:
        """Return the processes of this instance, as supervisor knows them."""
        lines = machine.run(f"supervisorctl status {self.group}:*").splitlines()
        return {line.split("pid ")[1].split(",")[0] for line in lines}


FIRST = Instance("galaxy", "26.1.2", "gx")
SECOND = Instance("second", "26.1.1", "gx-second", prefix="/second")
THIRD = Instance("third", "26.1.2", "gx-third", host="third.example.org")
ALL = pytest.mark.parametrize("instance", [FIRST, SECOND, THIRD], ids=lambda instance: instance.name)
PAIRS = pytest.mark.parametrize(
    "one, other", [(a, b) for a in (FIRST, SECOND, THIRD) for b in (FIRST, SECOND, THIRD) if a is not b]
)


@ALL
def test_each_is_of_its_release(machine: Machine, instance: Instance) -> None:
    version = instance.galaxy(machine).get("/api/version").json()
    assert f"{version['version_major']}.{version['version_minor']}" == instance.release


@ALL
def test_each_does_the_jobs_of_its_own_users(machine: Machine, instance: Instance) -> None:
    email = f"student@{instance.name}.example.org"
    student = Student(instance.galaxy(machine), email, PASSWORD)
    dataset = student.upload(f"of {instance.name}\n", student.history("mine"), "mine.txt")
    assert dataset.state == "ok"
    assert student.download(dataset).text == f"of {instance.name}\n"
    query = (
        "SELECT handler FROM job JOIN galaxy_user u ON u.id = user_id WHERE email = '{}' AND tool_id = '__DATA_FETCH__'"
    )
    assert set(machine.sql(query.format(email), instance.name)) == {"handler0"}
    for other in (FIRST, SECOND, THIRD):
        if other is not instance:
            assert machine.sql(query.format(email), other.name) == []


@ALL
def test_links_stay_with_the_instance(machine: Machine, instance: Instance) -> None:
    galaxy = instance.galaxy(machine)
    page = galaxy.get("/").text
    assert f'"{instance.prefix}/static/' in page
    assert galaxy.get("/static/dist/base.css").headers["content-type"] == "text/css"
    location = galaxy.get("/api", allow_redirects=False).headers.get("location", "")
    assert location in ("", f"{instance.prefix}/api/")


def test_one_browser_is_logged_in_to_two_galaxies_of_one_name(machine: Machine) -> None:
    """Their session cookies have one name, and that of / is sent to both."""
    browser = requests.Session()
    first, second = FIRST.galaxy(machine), SECOND.galaxy(machine)
    for galaxy, instance in ((first, FIRST), (second, SECOND), (first, FIRST)):
        email = f"student@{instance.name}.example.org"
        Student(galaxy, email, PASSWORD)
        post_form(galaxy, browser, "user/login", {"login": email, "password": PASSWORD})
    for galaxy, instance in ((first, FIRST), (second, SECOND)):
        user = browser.get(f"{galaxy.url}/api/users/current", timeout=120).json()
        assert user["email"] == f"student@{instance.name}.example.org"


@PAIRS
def test_none_reaches_into_another(machine: Machine, one: Instance, other: Instance) -> None:
    for path in ("config/galaxy.ini", "config/secrets.json", "data/objects", "log/uwsgi.log"):
        assert machine.succeeds("test -e %s", f"/srv/{other.name}/{path}")
        assert not machine.may(one.name, "r", f"/srv/{other.name}/{path}")
    assert not machine.may(one.name, "w", f"/srv/{other.name}/run")
    asked = f"runuser -u {one.name} -- psql --dbname {other.name} --command 'SELECT email FROM galaxy_user'"
    assert not machine.succeeds(asked)


def provision(instance: str, *arguments: str, **variables: Any) -> None:
    """Provision one of them, with variables that are its own and not everybody's."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as own:
        json.dump({"galaxy": {"hosts": {instance: variables}}}, own)
        own.flush()
        inventories = ("-i", "molecule/shared/inventory", "-i", "molecule/instances/inventory", "-i", own.name)
        command = ["ansible-playbook", *inventories, "--limit", instance, *arguments, "site.yml"]
        subprocess.run(command, cwd=ROOT, check=True)


def test_a_change_of_one_leaves_the_others_alone(machine: Machine) -> None:
    before = {instance.name: instance.pids(machine) for instance in (FIRST, SECOND, THIRD)}
    nginx = machine.run("cat /run/nginx.pid")
    provision("second", galaxy_config={"galaxy": {"brand": "The second one"}})
    after = {instance.name: instance.pids(machine) for instance in (FIRST, SECOND, THIRD)}
    # The handler is another process. The program of the web processes stays, and hands over to a second uWSGI.
    assert len(after["second"] - before["second"]) == 1
    assert (after["galaxy"], after["third"]) == (before["galaxy"], before["third"])
    assert machine.run("cat /run/nginx.pid") == nginx
    assert "The second one" in SECOND.galaxy(machine).get("/api/configuration").text


def test_a_site_under_another_name_leaves_none_behind(machine: Machine) -> None:
    sites = machine.run("ls /etc/nginx/sites-enabled").split()
    provision("third", "--tags", "nginx", nginx_site="elsewhere")
    moved = machine.run("ls /etc/nginx/sites-enabled").split()
    assert sorted(moved) == sorted({*sites, "elsewhere"} - {"third"})
    assert THIRD.galaxy(machine).get("/api/version").ok
    provision("third", "--tags", "nginx")
    assert machine.run("ls /etc/nginx/sites-enabled").split() == sites
    assert machine.run("find /etc/nginx/galaxy /etc/nginx/sites-available -name 'elsewhere*.conf'") == ""
