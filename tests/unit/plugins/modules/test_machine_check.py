# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module machine_check says everything that is in the way at once."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_ports_that_are_held(run_module: Callable[..., dict[str, Any]]) -> None:
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.bind(("127.0.0.1", 0))
            held.listen()
        one, two = (str(held.getsockname()[1]) for held in (first, second))
        result = run_module(
            "machine_check",
            {
                "uwsgi": [{"variable": "uwsgi_http", "address": f"127.0.0.1:{one}"}],
                "nginx": [{"variable": "nginx_listen", "address": two}],
                "directory": "/srv/galaxy/server",
                "user": "galaxy",
            },
        )
    assert result["failed"]
    assert result["msg"].startswith("2 things are in the way; nothing has been changed.\n")
    for line, words in zip(
        result["problems"], ((f'uwsgi_http: "127.0.0.1:{one}"'), (f'nginx_listen: "{two}"')), strict=True
    ):
        assert line.startswith(words)
        assert f"process {os.getpid()} (" in line


def test_nothing_in_the_way(run_module: Callable[..., dict[str, Any]]) -> None:
    assert (
        run_module("machine_check", {"directory": "/srv/galaxy/server", "user": "galaxy"}, check=True)["changed"]
        is False
    )


def test_a_restore_that_was_cut_off(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    record = tmp_path / "galaxy.restore.json"
    arguments = {"directory": "/srv/galaxy/server", "user": "galaxy", "restore": str(record)}
    assert "failed" not in run_module("machine_check", arguments)
    record.write_text(json.dumps({"backup": "/var/backups/galaxy/20261124T141500Z", "trees": []}))
    result = run_module("machine_check", arguments)
    assert result["problems"] == ["the restore of 20261124T141500Z was cut off; playbooks/restore.yml finishes it"]
