# SPDX-License-Identifier: GPL-3.0-or-later
"""What asks the machine from within, as a browser does that knows the authority."""

from __future__ import annotations

import pytest
from support import Machine


@pytest.fixture(scope="session", autouse=True)
def browser(machine: Machine) -> None:
    """curl, and the root certificate of the authority, which it makes anew at each start."""
    machine.run("test -x /usr/bin/curl || apt-get install -qy --no-install-recommends curl >/dev/null")
    machine.run("curl --silent --insecure https://localhost:15000/roots/0 >/tmp/root.pem")
