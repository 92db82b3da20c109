# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What supervisor's configuration can carry."""

from __future__ import annotations

import re
import shlex

from ansible_collections.dagobah.galaxy.plugins.module_utils.values import InputError, shown

# Its parser takes these for a comment, within quotes too (supervisor.options, inline_comment_prefixes).
COMMENT = re.compile(r"\s[;#]")
# Not a tab: that is a blank like any other.
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufeff]")


def fault_of(value: str) -> str | None:
    """Return why supervisor cannot carry a value of an environment variable, or None. Does not repeat the value."""
    if '"' in value:
        return "supervisor cannot carry a double quote in it"
    # After the quotes around it, it takes off all others that it finds there (supervisor.datatypes).
    if value != value.strip("'"):
        return "supervisor cannot carry a single quote at its beginning or end"
    if CONTROL_CHARACTER.search(value):
        return "supervisor cannot carry a line break or another control character in it"
    if COMMENT.search(value):
        return "supervisor takes a semicolon or a number sign after a space in it for a comment"
    return None


def command_line(words: list[str]) -> str:
    """Return a command as supervisor has to read it to start a program with these words.

    supervisor takes comments off first, then fills in its %(name)s, and takes the rest apart as a shell would.
    """
    quoted = []
    for word in words:
        if CONTROL_CHARACTER.search(word):
            raise InputError(f"{shown(word)}: supervisor cannot carry a line break or another control character")
        # Two pieces of a quoted text, with nothing between them, are one: no space stands before the sign any more.
        quoted.append(re.sub(r"(\s)(?=[;#])", r"\1''", shlex.quote(word)))
    return " ".join(quoted).replace("%", "%%")
