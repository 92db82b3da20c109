# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose parameters do not go into the system's log."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class UnloggedModule(AnsibleModule):  # type: ignore[misc]
    """A module whose parameters hold the contents of files, and secrets in them.

    AnsibleModule has no_log for that, but Ansible sets it back to what the task says. With no_log of the task, or of
    the parameter, nobody would be told what has changed.
    """

    def _log_invocation(self) -> None:
        """Log nothing."""
