# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finish a release: prove that it is whole, lay out what nginx serves, and mark it as ready.

Run by the Python of the release that was just installed::

    releases/26.1.2-0a1b2c3d/bin/python galaxy_release.py 26.1.2

Writes ``static/`` (links to the client and to Galaxy's own static files) and, as the last thing,
``release.json``. Fails with one sentence, and without the mark, if anything is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

# Whatever a web process or a handler needs at once; a missing one shows itself here and not in a log.
MODULES = ("galaxy.app", "galaxy.main", "galaxy.webapps.galaxy.fast_factory", "psycopg2", "paste.deploy")


def find_fault(release: Path, version: str) -> str | None:
    """Return what is wrong with a release, or None."""
    for module in MODULES:
        try:
            importlib.import_module(module)
        except Exception as error:
            return f"{module} cannot be imported: {type(error).__name__}: {error}"
    installed = importlib.import_module("galaxy.version").VERSION
    if installed != version:
        return f"the packages are of Galaxy {installed}, not {version}"
    client = Path(importlib.import_module("galaxy.web_client").__file__ or "").parent / "dist"
    if not any(client.glob("*.js")):
        # galaxy-web-client 26.1.0 was published without it.
        return f"galaxy-web-client {importlib.metadata.version('galaxy-web-client')} lacks the client ({client})"
    uwsgi = subprocess.run([release / "bin" / "uwsgi", "--version"], capture_output=True, text=True, check=False)
    if uwsgi.returncode:
        return f"uWSGI does not run: {uwsgi.stderr.strip()}"
    return None


def link(target: Path, name: Path) -> None:
    """Make ``name`` a relative link to ``target``, so that the release may be read below any mount."""
    if not name.is_symlink():
        name.symlink_to(os.path.relpath(target, name.parent))


def lay_out_static(static: Path) -> None:
    """Link the client (``dist``) and Galaxy's own static files into one directory."""
    static.mkdir(exist_ok=True)
    own = Path(importlib.import_module("galaxy.webapps.base").__file__ or "").parent / "static"
    for entry in sorted(own.iterdir()):
        link(entry, static / entry.name)
    link(Path(importlib.import_module("galaxy.web_client").__file__ or "").parent / "dist", static / "dist")


def main() -> int:
    """Run the command."""
    release, version = Path(sys.prefix), sys.argv[1]
    fault = find_fault(release, version)
    if fault:
        print(f"The release at {release} is not usable: {fault}.", file=sys.stderr)
        return 1
    lay_out_static(release / "static")
    # uv's, and open to everybody.
    for lock in (release / ".lock", release.parent / ".cache" / ".lock"):
        lock.unlink(missing_ok=True)
    packages = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    mark = {
        "galaxy": version,
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
    temporary = release / ".release.json"
    temporary.write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    temporary.chmod(0o644)
    temporary.rename(release / "release.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
