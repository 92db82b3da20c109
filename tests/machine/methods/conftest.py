# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine that is configured and served in one way after the other, and the table of what is the same.

    pytest tests/machine/methods -k "paste_deploy or yaml"

asks a machine that is running (script/test --keep --scenario methods leaves one) for some of the cases only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from support import Galaxy, Machine
from uwsgi_cases import Case, Deployed, Reference, play, read_cases


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Take all tests of a case together, so that it is provisioned once."""
    names = [case.name for case in read_cases()]

    def place(item: pytest.Function) -> int:
        case = item.callspec.params["deployed"]
        assert isinstance(case, Case)
        return names.index(case.name)

    items.sort(key=place)


@pytest.fixture(scope="session", params=read_cases(), ids=lambda case: case.name)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """Each case in its turn."""
    begun = time.monotonic()
    output = play(request.param.variables)
    found = Deployed(request.param, output, time.monotonic() - begun)
    TABLE.setdefault("(seconds to provision)", {})[request.param.name] = f"{found.seconds:.0f}"
    return found


@pytest.fixture(scope="session")
def galaxy(machine: Machine, deployed: Deployed) -> Galaxy:
    """Galaxy as people reach it in this case."""
    galaxy = Galaxy(machine.url(deployed.case.port))
    galaxy.wait()
    return galaxy


@pytest.fixture(autouse=True)
def wanted(request: pytest.FixtureRequest, deployed: Deployed) -> None:
    """Leave out what a case says that it does differently."""
    reason = deployed.case.different.get(request.function.__name__.removeprefix("test_"))
    if reason:
        TABLE.setdefault(label(request.function.__name__), {})[deployed.case.name] = "other"
        pytest.skip(reason)


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()


# --- The table -------------------------------------------------------------------------------------

# By what was asked and by case.
TABLE: dict[str, dict[str, str]] = {}


def label(function: str) -> str:
    return function.removeprefix("test_").replace("_", " ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    case = getattr(item, "callspec", None) and item.callspec.params.get("deployed")
    # What only one case has is compared with nothing.
    compared = len(item.parent.own_markers if item.parent else ()) == 0
    if isinstance(case, Case) and compared and (report.when == "call" or report.failed):
        TABLE.setdefault(label(item.originalname), {})[case.name] = "same" if report.passed else "FAILED"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what is the same in each case."""
    if not TABLE:
        return
    names = list(dict.fromkeys(name for row in TABLE.values() for name in row))
    width = max(map(len, TABLE))
    lines = [" " * width + "  " + "  ".join(names)]
    for what, row in TABLE.items():
        lines.append(f"{what:{width}}  " + "  ".join(f"{row.get(name, '-'):{len(name)}}" for name in names))
    terminalreporter.section("the same server in every way")
    for line in lines:
        terminalreporter.write_line(line.rstrip())
    artifacts = os.environ.get("GALAXY_TEST_ARTIFACTS")
    if artifacts:
        Path(artifacts, "equivalence.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
