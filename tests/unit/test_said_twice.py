# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that both a role and the checks of its input have to know say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.galaxy import DIRECTORY_OPTIONS
from ansible_collections.dagobah.galaxy.plugins.module_utils.uwsgi_config import FILE_NAMES

ROLES = Path(__file__).parents[2] / "roles"


def internal(role: str) -> dict[str, Any]:
    """The internal variables of a role, with their templates as they are written."""
    variables: dict[str, Any] = yaml.safe_load((ROLES / role / "vars/main.yml").read_text())
    return variables


def test_directories_that_galaxy_writes_in() -> None:
    assert internal("_common")["__galaxy_directory_options"] == list(DIRECTORY_OPTIONS)


def test_files_that_uwsgi_is_configured_by() -> None:
    assert re.findall(r"'(uwsgi\.\w+)'", internal("uwsgi")["__uwsgi_stale_files"]) == list(FILE_NAMES.values())
