# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dagobah.galaxy.plugins.filter.supervisor_environment import supervisor_environment


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, ""),
        ({"B": "2", "A": 1}, 'B="2",A="1"'),
        ({"RATE": "50%"}, 'RATE="50%%"'),
        ({"GONE": None, "EMPTY": ""}, 'EMPTY=""'),
        ({"PAIR": "a=b,c=d;e#f 'g'"}, "PAIR=\"a=b,c=d;e#f 'g'\""),
    ],
)
def test_renders(variables: dict[str, object], expected: str) -> None:
    assert supervisor_environment(variables) == expected


@pytest.mark.parametrize(
    "variables, named",
    [
        ({"A": 'say "hi"'}, "environment variable A"),
        ({"A": "x\n[program:evil]"}, "environment variable A"),
        ({"A": "x #y"}, "environment variable A"),
        ({"A": "x ;y"}, "environment variable A"),
        ({"A B": "x"}, "'A B'"),
        ({"1A": "x"}, "'1A'"),
    ],
)
def test_refuses_what_supervisor_cannot_read(variables: dict[str, object], named: str) -> None:
    with pytest.raises(AnsibleFilterError, match=named):
        supervisor_environment(variables)
