# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong and hostile input, given to the playbook itself: it refuses it before any change, and says what is wrong.

One run of playbooks/site.yml, on this machine, with some entries of the corpus on each host. It ends with the
preflight, since some are wrong.
"""

from __future__ import annotations

import typing as t

import corpus
import pytest
from corpus import Entry, Host

ENTRIES = corpus.entries()
HOSTS = corpus.hosts(ENTRIES, most=12)
REFUSED = [(host, entry) for host in HOSTS for entry in host.entries if entry.error is not None]
CHECK = "dagobah.galaxy._common : preflight | Check the variables"


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """What Ansible says of the run."""
    playbook = corpus.ROOT / "playbooks/site.yml"
    # The second play would provision this machine. It is not reached; and if it were, it has no such tags.
    return corpus.run(tmp_path_factory.mktemp("preflight"), playbook, HOSTS, "--tags", "always", "--forks", "4")


@pytest.fixture(scope="session")
def results(told: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """What the check says of each host."""
    tasks = [task for play in told["plays"] for task in play["tasks"]]
    (check,) = [task for task in tasks if task["task"]["name"] == CHECK]
    found: dict[str, dict[str, t.Any]] = check["hosts"]
    return found


def problems(result: dict[str, t.Any]) -> list[str]:
    """The lines that refuse something."""
    lines = result["msg"].split("\n")
    assert all(line.startswith("- ") for line in lines[1:]), lines
    return [line.removeprefix("- ") for line in lines[1:]]


@pytest.mark.parametrize("host, entry", [pytest.param(*case, id=case[1].name) for case in REFUSED])
def test_it_is_refused_in_one_line(results: dict[str, dict[str, t.Any]], host: Host, entry: Entry) -> None:
    found = problems(results[host.name])
    assert len([line for line in found if str(entry.error) in line]) == 1, "\n".join(found)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_nothing_else_is_refused(results: dict[str, dict[str, t.Any]], host: Host) -> None:
    result = results[host.name]
    wrong = [str(entry.error) for entry in host.entries if entry.error is not None]
    assert bool(result.get("failed")) == bool(wrong)
    assert [line for line in problems(result) if not any(error in line for error in wrong)] == []


def test_nothing_has_been_changed(told: dict[str, t.Any]) -> None:
    assert [play["play"]["name"] for play in told["plays"]] == ["Check the input"]
    assert [task["task"]["name"] for task in told["plays"][0]["tasks"]][-1] == CHECK
    assert told["stats"].keys() == {host.name for host in HOSTS}
    assert {name: of["changed"] for name, of in told["stats"].items() if of["changed"]} == {}
