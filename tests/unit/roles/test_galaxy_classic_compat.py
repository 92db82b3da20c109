# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What classic Galaxy asks of Python, asked of a Python that begins with the module as a release's does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[3] / "roles" / "galaxy" / "files" / "classic" / "galaxy_classic_compat.py"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return an interpreter of an environment of its own, with the module in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    shutil.copy(MODULE, site)
    (site / "galaxy_classic_compat.pth").write_text("import galaxy_classic_compat\n")
    return tmp_path / "venv" / "bin" / "python"


def run(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    # A fault in the module would be told there, and ignored.
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code, answer",
    [
        (
            "from collections import Callable, Mapping, MutableMapping, Sequence; print(issubclass(dict, Mapping))",
            "True",
        ),
        ("import collections; print(collections.Iterable is collections.abc.Iterable)", "True"),
        ("from fractions import gcd; print(gcd(12, 18))", "6"),
        (
            "import inspect\ndef f(a, b=1, *c, **d): pass\nprint(tuple(inspect.getargspec(f)))",
            "(['a', 'b'], 'c', 'd', (1,))",
        ),
        ("import inspect\ndef f(a): pass\nprint(inspect.getargspec(f).keywords)", "None"),
        (
            "import inspect\ndef f(*, a): pass\ntry: inspect.getargspec(f)\nexcept ValueError: print('refused')",
            "refused",
        ),
        # What Python has is left alone.
        ("import collections; print(collections.OrderedDict.__module__)", "collections"),
    ],
)
def test_what_classic_galaxy_asks_for(python: Path, code: str, answer: str) -> None:
    assert run(python, code) == answer


def test_python_lacks_it_without_the_module() -> None:
    code = "import collections, fractions; print(hasattr(collections, 'Mapping'), hasattr(fractions, 'gcd'))"
    assert run(Path(sys.executable), code) == "False False"
