# SPDX-License-Identifier: GPL-3.0-or-later
"""Say where the client of a Galaxy release is, if not on PyPI.

    python3 script/find_client.py 24.2.4
    python3 script/find_client.py --date 24.2.4     a month after the release was published

Prints nothing for a release whose client is on PyPI (galaxy-web-client), and otherwise the newest one of that release's
year and month in npm's @galaxyproject/galaxy-client, as JSON: version, url, and sha512 as a hexadecimal number.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Any

PYPI = "https://pypi.org/pypi/galaxy-web-client/json"
GALAXY = "https://pypi.org/pypi/galaxy-web-apps/json"
NPM = "https://registry.npmjs.org/@galaxyproject%2fgalaxy-client"


def fetch(url: str) -> Any:
    """Return the JSON at an address."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def number(version: str) -> list[int]:
    """Return a version as numbers, to be compared."""
    return [int(part) for part in version.split(".")]


def main() -> int:
    """Run the command."""
    release = sys.argv[-1]
    if sys.argv[1] == "--date":
        published = fetch(GALAXY)["releases"][release][0]["upload_time_iso_8601"]
        print((datetime.fromisoformat(published) + timedelta(days=30)).strftime("%Y-%m-%dT00:00:00Z"))
        return 0
    if fetch(PYPI)["releases"].get(release):
        return 0
    start = release.rpartition(".")[0] + "."
    versions = fetch(NPM)["versions"]
    found = sorted((version for version in versions if version.startswith(start)), key=number)
    if not found:
        print(f"Neither PyPI nor npm has a client of Galaxy {start}*", file=sys.stderr)
        return 1
    dist = versions[found[-1]]["dist"]
    kind, _dash, digest = dist["integrity"].partition("-")
    if kind != "sha512":
        print(f"npm knows the client by {kind} and not by sha512", file=sys.stderr)
        return 1
    client = {"version": found[-1], "url": dist["tarball"], "sha512": base64.b64decode(digest).hex()}
    print(json.dumps(client, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
