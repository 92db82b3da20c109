# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI's workers and supervisor's programs: they work, and they stop and start in time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import CONFIG, ROOT, START, Galaxy, Machine, wait_for


def test_the_configuration_is_what_each_of_its_readers_understands(machine: Machine) -> None:
    """Galaxy reads it with a strict parser; uWSGI has become what it says."""
    settings = machine.python(
        """
import json, sys
from galaxy.util.properties import load_app_properties
print(json.dumps(load_app_properties(config_file=sys.argv[1], config_section="app:main"), default=str))
""",
        CONFIG,
        interpreter=f"{ROOT}/venv/bin/python",
    )
    assert settings["data_dir"] == f"{ROOT}/data"
    assert len(settings["id_secret"]) >= 40
    workers = machine.uwsgi_stats()["workers"]
    assert len(workers) == int(machine.uwsgi_option("processes"))
    assert {len(worker["cores"]) for worker in workers} == {int(machine.uwsgi_option("threads"))}


def test_every_worker_answers(machine: Machine, galaxy: Galaxy) -> None:
    before = machine.workers()

    def idle() -> list[int]:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(galaxy.get, ["/api/configuration"] * 32))
        assert {answer.status_code for answer in answers} == {200}
        now = machine.workers()
        assert now.keys() == before.keys(), "a worker died"
        return [pid for pid in now if now[pid]["requests"] == before[pid]["requests"]]

    wait_for("each worker has answered something", lambda: not idle(), 60)


def test_every_worker_has_the_application(machine: Machine) -> None:
    for pid, worker in machine.workers().items():
        assert worker["accepting"] == 1, pid
        assert worker["exceptions"] == 0, pid
        assert len(worker["apps"]) == 1, pid


def test_the_application_is_loaded_once(machine: Machine) -> None:
    """In the master: what it has read, the workers share."""
    shared = machine.python(
        """
import json, re, sys
def number(text, key):
    return int(re.search(r"^" + key + r":\\s+(\\d+)", text, re.M)[1])
result = {}
for pid in sys.argv[1:]:
    text = open(f"/proc/{pid}/smaps_rollup").read()
    result[pid] = [number(text, "Rss"), number(text, "Pss")]
print(json.dumps(result))
""",
        *map(str, machine.workers()),
    )
    for pid, (resident, proportional) in shared.items():
        assert proportional < 0.8 * resident, pid


def test_supervisor_runs_everything(machine: Machine) -> None:
    programs = machine.programs()
    assert set(programs) == {"galaxy", "handler0", "handler1"}
    assert set(programs.values()) == {"RUNNING"}


class TestRestart:
    """The last ones, for they stop what the others need."""

    @pytest.fixture(autouse=True)
    def running_again(self, machine: Machine, galaxy: Galaxy) -> object:
        yield
        machine.host.run("supervisorctl start gx:*")
        galaxy.wait()

    def test_a_graceful_restart(self, machine: Machine, galaxy: Galaxy) -> None:
        old = machine.workers().keys()
        program = machine.run("supervisorctl pid gx:galaxy")
        machine.run("supervisorctl signal HUP gx:galaxy")

        def left() -> bool:
            # The old ones answer until the new ones do.
            assert galaxy.answers()
            return not [pid for pid in old if machine.succeeds(f"test -e /proc/{pid}")]

        wait_for("the old workers end", left, START)
        assert not old & machine.workers().keys()
        # What has the listening sockets lived on.
        assert machine.run("supervisorctl pid gx:galaxy") == program

    @pytest.mark.parametrize("program", ["galaxy", "handler0"])
    def test_stopping_ends_in_time(self, machine: Machine, program: str) -> None:
        limit = machine.stop_time(program)
        begun = machine.run("date '+%Y-%m-%d %H:%M:%S'")
        started = time.monotonic()
        machine.run(f"supervisorctl stop gx:{program}")
        assert time.monotonic() - started < limit
        log = machine.run("cat /var/log/supervisor/supervisord.log").splitlines()
        assert [line for line in log if line >= begun and "SIGKILL" in line] == []
        assert machine.programs()[program] == "STOPPED"
        # Nothing of it lives on.
        word = "--ini-paste" if program == "galaxy" else f"--server-name={program}"
        assert machine.host.run(f"grep -lz -- '^{word}$' /proc/[0-9]*/cmdline").stdout == ""
