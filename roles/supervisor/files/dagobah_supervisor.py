# SPDX-FileCopyrightText: 2026 dagobah.galaxy contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of supervisord: takes up a group's new configuration, and leaves alone the processes that it leaves alone.

supervisord itself knows no smaller unit than a group: of one that changed in any way, it stops all processes. With
this, a job handler comes or goes, and the web processes go on.
"""

from __future__ import annotations

from typing import Any


class Groups:
    """What is called as ``dagobah.stale`` and ``dagobah.update``."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord

    def stale(self, name: str) -> list[str]:
        """Return which processes of a group are not, or not as they are, in the configuration that was read last."""
        group, wanted = self._find(name)
        return sorted(process for process, running in group.processes.items() if running.config != wanted.get(process))

    def update(self, name: str) -> list[str]:
        """Drop these, which have to be stopped; add those that are new, which start, and return their names."""
        from supervisor.states import STOPPED_STATES
        from supervisor.xmlrpc import Faults, RPCError

        group, wanted = self._find(name)
        stale = self.stale(name)
        for process in stale:
            if group.processes[process].get_state() not in STOPPED_STATES:
                raise RPCError(Faults.STILL_RUNNING, process)
        for process in stale:
            del group.processes[process]
        added = sorted(wanted.keys() - group.processes.keys())
        for process in added:
            wanted[process].create_autochildlogs()
            group.processes[process] = wanted[process].make_process(group)
        group.config = self._configuration(name)
        return added

    def _find(self, name: str) -> tuple[Any, dict[str, Any]]:
        """Return a group, and the configurations that its processes are to have."""
        return self._supervisord.process_groups[name], {
            process.name: process for process in self._configuration(name).process_configs
        }

    def _configuration(self, name: str) -> Any:
        return next(group for group in self._supervisord.options.process_group_configs if group.name == name)


def make_interface(supervisord: Any, **_options: str) -> Groups:
    """Return what supervisord makes callable."""
    return Groups(supervisord)
