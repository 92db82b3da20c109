# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what was done to the machine, and what those who used it have seen."""

from __future__ import annotations

from typing import Any

import pytest

# Each run: what was done, how it ended, which release serves, and what those who asked all the time have seen.
Row = tuple[str, str, str, str]
TITLES: Row = ("what", "end", "serves", "seen meanwhile")

ROWS: list[Row] = []


@pytest.fixture(scope="session")
def table() -> list[Row]:
    return ROWS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    widths = [max(len(row[column]) for row in (TITLES, *ROWS)) for column in range(4)]
    terminalreporter.section("upgrades, and the way back")
    for row in (TITLES, *ROWS):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
