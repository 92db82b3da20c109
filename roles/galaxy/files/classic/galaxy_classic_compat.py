# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give today's Python the names that classic Galaxy, and packages of its time, still ask for.

A classic release has this module and galaxy_classic_compat.pth beside its packages, so that every Python of the
release begins with it: the web processes, the handlers, and the programs that jobs run.

- The abstract classes of ``collections`` live in ``collections.abc`` only, since Python 3.10.
- ``inspect.getargspec`` ended with Python 3.10, ``fractions.gcd`` with Python 3.8.

Nothing that Python has is replaced.
"""

from __future__ import annotations

import collections
import collections.abc
import fractions
import inspect
import math
from typing import Any

ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")


def getargspec(function: Any) -> ArgSpec:
    """Return the four parts of a signature that ``inspect.getargspec`` knew, and refuse what it refused."""
    spec = inspect.getfullargspec(function)
    if spec.kwonlyargs or spec.annotations:
        raise ValueError("the function has keyword-only parameters or annotations: use inspect.signature()")
    return ArgSpec(spec.args, spec.varargs, spec.varkw, spec.defaults)


def install() -> None:
    """Add the names that are missing."""
    for name in collections.abc.__all__:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    if not hasattr(inspect, "getargspec"):
        inspect.ArgSpec = ArgSpec  # type: ignore[attr-defined]
        inspect.getargspec = getargspec  # type: ignore[attr-defined]
    if not hasattr(fractions, "gcd"):
        fractions.gcd = math.gcd  # type: ignore[attr-defined]


install()
