# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what the backups and restores have taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from load import ROWS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    terminalreporter.section("backups, and how they are put back")
    for line in ROWS:
        terminalreporter.write_line(line)
    artifacts = os.environ.get("GALAXY_TEST_ARTIFACTS")
    if artifacts:
        Path(artifacts, "backup.txt").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
