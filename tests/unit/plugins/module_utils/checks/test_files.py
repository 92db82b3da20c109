# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where files of the user's may go."""

from __future__ import annotations

import pytest
from ansible_collections.dagobah.galaxy.plugins.module_utils.checks.files import check_files


def messages(*dests: str) -> list[str]:
    entries = [{"src": "x", "dest": dest} for dest in dests]
    return [
        found.text for found in check_files({"galaxy_config_dir": "/srv/galaxy/config", "galaxy_config_files": entries})
    ]


def test_files_of_the_exercises() -> None:
    assert messages("/srv/galaxy/config/job_conf.xml", "/srv/galaxy/config/more/auth_conf.xml") == []


@pytest.mark.parametrize(
    "dests, words",
    [
        (["job_conf.xml"], 'galaxy_config_files[0].dest: "job_conf.xml": has to be an absolute path'),
        (["/etc/passwd"], "has to be a file below galaxy_config_dir, /srv/galaxy/config"),
        (["/srv/galaxy/config"], "has to be a file below"),
        (["/srv/galaxy/config/../x"], "without ., .."),
        (["/srv/galaxy/config/galaxy.ini"], "the collection writes; give its options as galaxy_config"),
        (["/srv/galaxy/config/secrets.json"], "the collection writes"),
        (["/srv/galaxy/config/uwsgi.yml"], "give uWSGI's options as uwsgi_options"),
        (["/srv/galaxy/config/a", "/srv/galaxy/config/a"], "is given twice"),
    ],
)
def test_where_they_must_not_go(dests: list[str], words: str) -> None:
    assert any(words in text for text in messages(*dests)), messages(*dests)
