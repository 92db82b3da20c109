# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read and write what: the table of everything that the collection writes, reviewed by hand.

A file that is not in the table fails the test, so that whoever adds one says who may do what with it.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from support import CONFIG, Machine

# The directories that are the collection's, and its files in those of others.
OURS = (
    "/srv/galaxy",
    "/etc/nginx/galaxy",
    "/etc/nginx/tls",
    "/etc/nginx/sites-enabled",
    "/etc/nginx/sites-available/galaxy",
    "/etc/supervisor/conf.d",
    "/etc/logrotate.d/galaxy",
    "/var/lib/nginx/galaxy.read",
    "/var/lib/galaxy-acme",
)
# Galaxy's own, and the release's, are looked at as a whole below.
WITHOUT = ("/srv/galaxy/data/*/*", "/srv/galaxy/home/*", "/srv/galaxy/releases/*/*")

TABLE = {
    # Nobody but root writes what is run.
    "/srv/galaxy": "d 755 root root",
    "/srv/galaxy/releases": "d 755 root root",
    "/srv/galaxy/releases/.cache": "d 700 root root",
    "/srv/galaxy/releases/.uv": "d 755 root root",
    "/srv/galaxy/releases/26.*": "d 755 root root",
    "/srv/galaxy/venv": "l 777 root root",
    "/srv/galaxy/server": "d 755 root root",
    "/srv/galaxy/server/bin": "d 755 root root",
    "/srv/galaxy/server/bin/galaxy-run": "f 755 root root",
    "/srv/galaxy/server/bin/*.py": "f 644 root root",
    "/srv/galaxy/server/lib": "d 755 root root",
    "/srv/galaxy/server/lib/galaxy_wsgi": "d 755 root root",
    "/srv/galaxy/server/lib/galaxy_wsgi/*.py": "f 644 root root",
    "/srv/galaxy/server/scripts": "d 755 root root",
    "/srv/galaxy/server/scripts/galaxy-main": "l 777 root root",
    "/srv/galaxy/server/static": "l 777 root root",
    "/srv/galaxy/server/welcome.html": "f 644 root root",
    # A dump of the database has everybody's mail addresses in it.
    "/srv/galaxy/backups": "d 700 root root",
    # The configuration is for Galaxy's user to read. The generated secrets, as they are kept, are not.
    "/srv/galaxy/config": "d 750 root galaxy-config",
    "/srv/galaxy/config/galaxy.ini": "f 640 root galaxy-config",
    "/srv/galaxy/config/job_conf.yml": "f 640 root galaxy-config",
    "/srv/galaxy/config/secrets.json": "f 600 root root",
    "/srv/galaxy/config/.proof.json": "f 600 root root",
    "/srv/galaxy/config/.web_jobs.json": "f 640 root galaxy-config",
    # Logs are in a directory of root's, where no job makes a link of them.
    "/srv/galaxy/log": "d 750 root galaxy",
    "/srv/galaxy/log/handler?.log": "f 644 root root",
    "/srv/galaxy/log/uwsgi.start.log": "f 644 root root",
    "/srv/galaxy/log/uwsgi.log": "f 640 galaxy galaxy",
    # nginx, of Galaxy's group, reads datasets and writes to the socket.
    "/srv/galaxy/data": "d 750 galaxy galaxy",
    "/srv/galaxy/data/*": "d 750 galaxy galaxy",
    "/srv/galaxy/home": "d 750 galaxy galaxy",
    "/srv/galaxy/run": "d 750 galaxy galaxy",
    "/srv/galaxy/run/uwsgi.sock": "s 660 galaxy galaxy",
    "/srv/galaxy/run/uwsgi.stats*": "s 660 galaxy galaxy",
    "/srv/galaxy/run/handover.json": "f 640 galaxy galaxy",
    "/etc/nginx/galaxy": "d 755 root root",
    "/etc/nginx/galaxy/galaxy": "d 755 root root",
    "/etc/nginx/galaxy/galaxy/galaxy.conf": "f 644 root root",
    "/etc/nginx/sites-available/galaxy": "f 644 root root",
    "/etc/nginx/sites-enabled": "d 755 root root",
    "/etc/nginx/sites-enabled/galaxy": "l 777 root root",
    "/etc/nginx/tls": "d 755 root root",
    "/etc/nginx/tls/galaxy.crt": "f 644 root root",
    "/etc/nginx/tls/galaxy.key": "f 600 root root",
    "/var/lib/nginx/galaxy.read": "f 644 root root",
    "/var/lib/galaxy-acme": "d 755 root root",
    "/var/lib/galaxy-acme/.well-known": "d 755 root root",
    "/var/lib/galaxy-acme/.well-known/acme-challenge": "d 755 root root",
    # supervisor_environment may hold secrets.
    "/etc/supervisor/conf.d": "d 755 root root",
    "/etc/supervisor/conf.d/galaxy.conf": "f 600 root root",
    "/etc/supervisor/conf.d/dagobah.galaxy.conf": "f 644 root root",
    "/etc/logrotate.d/galaxy": "f 644 root root",
}


def wanted(path: str) -> str:
    exact = TABLE.get(path)
    return exact or next((what for pattern, what in TABLE.items() if fnmatchcase(path, pattern)), "not in the table")


def secrets_of(machine: Machine) -> list[str]:
    made = json.loads(machine.run("cat /srv/galaxy/config/secrets.json"))
    assert made
    return [*made.values(), machine.run("sed -n 2p /etc/nginx/tls/galaxy.key")]


def test_every_file_is_as_the_table_says(machine: Machine) -> None:
    command = f"find {' '.join(OURS)} -printf '%y %m %u %g %p\\n'"
    found = [line.split(" ", 4) for line in machine.run(command).splitlines()]
    seen = {path: " ".join(what) for *what, path in found if not any(fnmatchcase(path, pattern) for pattern in WITHOUT)}
    assert len(seen) > 40
    assert {path: what for path, what in seen.items() if what != wanted(path)} == {}


def test_nothing_that_is_run_can_be_changed_by_whoever_runs_it(machine: Machine) -> None:
    for directory in ("/srv/galaxy/releases", "/srv/galaxy/server", "/srv/galaxy/config"):
        # uv's own cache is for nobody but root to enter.
        foreign = f"find {directory} -name .cache -prune -o -not -type l \\( -not -user root -o -perm /022 \\) -print"
        assert machine.run(foreign) == ""


def test_no_secret_is_in_a_file_that_others_read(machine: Machine) -> None:
    places = "/etc /srv /opt /home /root /tmp /run /var/lib /var/log /var/tmp /var/backups"
    for secret in secrets_of(machine):
        # As whoever has an account here.
        command = f"printf %s '{secret}' | runuser -u nobody -- grep -rsFl -f - {places} 2>/dev/null || true"
        assert machine.run(command) == ""
        assert machine.succeeds(f"grep -rsFq -- '{secret}' /srv/galaxy/config /etc/nginx/tls")


def test_no_secret_is_in_the_list_of_processes(machine: Machine) -> None:
    processes = machine.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' || true")
    assert "galaxy-main" in processes
    for secret in secrets_of(machine):
        assert secret not in processes


def test_no_secret_is_in_a_log(machine: Machine) -> None:
    for secret in secrets_of(machine):
        assert not machine.succeeds(f"grep -rsFq -- '{secret}' /srv/galaxy/log /var/log")
        assert not machine.succeeds(f"journalctl --no-pager | grep -Fq -- '{secret}'")


CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.mark.parametrize(
    "socket", ["/srv/galaxy/run/uwsgi.sock", "/srv/galaxy/run/uwsgi.stats", "/run/supervisor.sock"]
)
def test_no_other_user_reaches_a_socket(machine: Machine, socket: str) -> None:
    assert machine.succeeds(f'python3 -c "{CONNECT}" {socket}')
    assert not machine.succeeds(f'runuser -u nobody -- python3 -c "{CONNECT}" {socket}')


def test_nginx_reaches_galaxy_and_not_how_it_is_run(machine: Machine) -> None:
    assert machine.succeeds(f'runuser -u www-data -- python3 -c "{CONNECT}" /srv/galaxy/run/uwsgi.sock')
    assert not machine.succeeds(f'runuser -u www-data -- python3 -c "{CONNECT}" /run/supervisor.sock')
    assert not machine.may("www-data", "r", CONFIG)


@pytest.mark.parametrize("user", ["nobody", "www-data"])
def test_nobody_else_is_galaxy_for_postgresql(machine: Machine, user: str) -> None:
    assert machine.succeeds("runuser -u galaxy -- psql --dbname galaxy --command 'SELECT 1'")
    for options in ("", "--username galaxy", "--host localhost --username galaxy --no-password"):
        asked = f"runuser -u {user} -- psql {options} --dbname galaxy --command 'SELECT email FROM galaxy_user'"
        assert not machine.succeeds(asked)


def test_galaxys_user_writes_neither_its_code_nor_its_configuration(machine: Machine) -> None:
    for path in ("server", "server/lib/galaxy_wsgi", "config", "config/galaxy.ini", "releases", "venv/bin", "log"):
        assert not machine.may("galaxy", "w", f"/srv/galaxy/{path}")
