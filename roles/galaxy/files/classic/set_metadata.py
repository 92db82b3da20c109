# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name by which a job's script asks for what Galaxy has under another (galaxy_ext.metadata.set_metadata)."""

from galaxy.metadata.set_metadata import set_metadata

__all__ = ("set_metadata",)
