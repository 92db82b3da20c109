# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember which processes a job has gone through, so that the same ones need not be asked for another at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import Any

from ansible_collections.dagobah.galaxy.plugins.module_utils.supervisor_programs import last_change

# Seconds after which a job is asked for again, whatever runs: disks fill and certificates end.
LONGEST = 24 * 3600


def identity(pids: Iterable[int]) -> list[str]:
    """Return what no other process will ever be called: the boot, the pid, and when it started (``proc(5)``)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        boot = stream.read().strip()
    found = []
    for pid in sorted(pids):
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            # The second field is the name, in parentheses, and may hold anything; the start is the 22nd.
            started = stream.read().rpartition(")")[2].split()[19]
        found.append(f"{boot}/{pid}/{started}")
    return found


def read(path: str, pids: Iterable[int], inputs: Iterable[str]) -> dict[str, Any] | None:
    """Return the facts of the last job if it went through these very processes and nothing has changed since."""
    try:
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
        fresh = 0 <= time.time() - record["time"] < LONGEST and last_change(inputs)[0] < record["time"]
        if fresh and record["processes"] == identity(pids):
            facts: dict[str, Any] = record["facts"]
            return facts
    except (OSError, ValueError, KeyError, TypeError):
        # No record, or none that can be read: ask for a job.
        return None
    return None


def write(path: str, pids: Iterable[int], facts: dict[str, Any]) -> None:
    """Record that a job went through these processes."""
    record = {"time": time.time(), "processes": identity(pids), "facts": facts}
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        json.dump(record, stream)
    os.rename(temporary, path)
