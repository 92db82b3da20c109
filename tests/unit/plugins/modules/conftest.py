# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible runs it: in a process of its own, arguments on stdin, JSON on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

RunModule = Callable[..., dict[str, Any]]

CODE = """
import importlib, json, sys
from ansible.module_utils import basic
try:
    # ansible-core 2.19 and later want to know how the arguments are written.
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    patch_module_args = None
module = importlib.import_module("ansible_collections.dagobah.galaxy.plugins.modules." + sys.argv[1])
arguments = json.load(sys.stdin)
if patch_module_args is None:
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    module.main()
else:
    with patch_module_args(arguments):
        module.main()
"""


@pytest.fixture(scope="session")
def run_module() -> RunModule:
    """Return a function that runs a module of the collection and returns its result."""

    def run(name: str, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", CODE, name],
            input=json.dumps({**arguments, "_ansible_check_mode": check, "_ansible_diff": True}),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run
