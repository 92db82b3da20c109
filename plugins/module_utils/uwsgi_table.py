# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of uWSGI's options (roles/uwsgi/files/options.json, made by script/uwsgi_options.py)."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = os.path.join(COLLECTION, "roles", "uwsgi", "files", "options.json")


@dataclass(frozen=True)
class Table:
    """What a version of uWSGI knows."""

    version: str
    # Options that take no value on the command line, and those that do.
    flags: frozenset[str]
    values: frozenset[str]
    # Options that the wheel lacks, and the plugin that has them ("core": a part that was left out).
    not_in_the_wheel: dict[str, str]

    @property
    def names(self) -> frozenset[str]:
        """Every option."""
        return self.flags | self.values


@functools.cache
def read_table() -> Table:
    """Return the table that the collection ships."""
    with open(PATH, encoding="utf-8") as file:
        table = json.load(file)
    return Table(table["version"], frozenset(table["flags"]), frozenset(table["values"]), table["not_in_the_wheel"])
