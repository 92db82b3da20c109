# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what the restarts showed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from load import ROWS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    lines = [f"{'':16}  requests  failed  longest s  kind           seconds", *ROWS]
    terminalreporter.section("restarts that nobody notices")
    for line in lines:
        terminalreporter.write_line(line)
    artifacts = os.environ.get("GALAXY_TEST_ARTIFACTS")
    if artifacts:
        Path(artifacts, "restart.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
