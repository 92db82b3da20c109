# SPDX-License-Identifier: GPL-3.0-or-later
"""Another run: what it would change, and what it shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support import CONFIG, Machine

PROJECT = Path(__file__).parents[3]


def dry_run(*arguments: str) -> str:
    scenario = PROJECT / "molecule" / os.environ.get("MOLECULE_SCENARIO_NAME", "default")
    result = subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={PROJECT / 'molecule/shared/inventory'}",
            f"--inventory={scenario / 'inventory'}",
            "--check",
            "--diff",
            *arguments,
            str(PROJECT / "site.yml"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def changes(output: str) -> list[str]:
    return re.findall(r"changed=([0-9]+)", output)


def test_a_provisioned_machine_would_not_change() -> None:
    output = dry_run()
    assert set(changes(output)) == {"0"}, output[-4000:]


def test_differences_show_no_secret(machine: Machine) -> None:
    output = dry_run("--extra-vars", '{"galaxy_config": {"app:main": {"brand": "Another"}}}')
    assert set(changes(output)) != {"0"}
    secret = machine.run(f"sed -n 's/^id_secret *= *//p' {CONFIG}")
    assert len(secret) >= 40
    assert secret not in output
