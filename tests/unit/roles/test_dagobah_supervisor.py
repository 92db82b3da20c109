# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin of supervisord. The scenario restart has it in a real one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PLUGIN = Path(__file__).parents[3] / "roles/supervisor/files/dagobah_supervisor.py"


@dataclass
class Configuration:
    """Of a process, or with processes of a group."""

    name: str
    command: str = ""
    process_configs: list[Configuration] = field(default_factory=list)


def stale(running: list[Configuration], wanted: list[Configuration]) -> list[str]:
    spec = importlib.util.spec_from_file_location("dagobah_supervisor", PLUGIN)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    group = SimpleNamespace(processes={process.name: SimpleNamespace(config=process) for process in running})
    options = SimpleNamespace(process_group_configs=[Configuration("other"), Configuration("gx", "", wanted)])
    supervisord = SimpleNamespace(process_groups={"gx": group}, options=options)
    found: list[str] = module.make_interface(supervisord, option="none").stale("gx")
    return found


def test_what_is_gone_or_changed_is_stale() -> None:
    running = [Configuration("galaxy", "uwsgi"), Configuration("handler0", "a"), Configuration("handler1", "b")]
    wanted = [Configuration("galaxy", "uwsgi"), Configuration("handler0", "c"), Configuration("handler2", "b")]
    assert stale(running, wanted) == ["handler0", "handler1"]
    assert stale(running, running) == []
