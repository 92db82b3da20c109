# SPDX-License-Identifier: GPL-3.0-or-later
"""Make roles/uwsgi/files/options.json: the names of uWSGI's options, and which of them take a value.

    python3 script/uwsgi_options.py 2.0.31 [path of an installed uwsgi]

Reads the tables of options in uWSGI's source, which pip downloads from PyPI. With an installed uWSGI (the wheel's),
options that this one lacks are listed by the plugin that has them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TABLE = Path(__file__).parents[1] / "roles/uwsgi/files/options.json"
# A row of a table of getopt's: {"socket", required_argument, 's', "bind to the specified ...", ...}
ROW = re.compile(r'\{\s*(?:\(char \*\)\s*)?"([A-Za-z0-9_-]+)"\s*,\s*(no|required|optional)_argument')
DOWNLOAD = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:")


def read_source(version: str) -> dict[str, tuple[str, str]]:
    """Return each option's kind of argument and its plugin ("core" if it has none)."""
    options: dict[str, tuple[str, str]] = {}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*DOWNLOAD, "--dest", directory, f"uwsgi=={version}"], check=True)
        (archive,) = Path(directory).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
        root = next(path for path in Path(directory).iterdir() if path.is_dir())
        # core/ before plugins/.
        for path in sorted(root.rglob("*.c")):
            parts = path.relative_to(root).parts
            plugin = parts[1] if parts[0] == "plugins" else "core"
            for name, kind in ROW.findall(path.read_text(encoding="utf-8", errors="replace")):
                options.setdefault(name, (kind, plugin))
    return options


def main() -> int:
    """Run the command."""
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    options = read_source(sys.argv[1])
    missing: dict[str, str] = {}
    if len(sys.argv) == 3:
        answer = subprocess.run([sys.argv[2], "--dump-options"], capture_output=True, text=True, check=True)
        present = set(answer.stdout.split())
        if present - set(options):
            print(f"Not found in the source: {', '.join(sorted(present - set(options)))}", file=sys.stderr)
            return 1
        missing = {name: plugin for name, (_kind, plugin) in sorted(options.items()) if name not in present}
    table = {
        "version": sys.argv[1],
        "flags": sorted(name for name, (kind, _plugin) in options.items() if kind == "no"),
        "values": sorted(name for name, (kind, _plugin) in options.items() if kind != "no"),
        "not_in_the_wheel": missing,
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
