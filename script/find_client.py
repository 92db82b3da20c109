# SPDX-License-Identifier: GPL-3.0-or-later
"""Say where the client of a Galaxy release is, if not on PyPI.

    python3 script/find_client.py 24.2.4
    python3 script/find_client.py --date 24.2.4     a month after the release was published

Prints nothing for a release whose client is on PyPI (galaxy-web-client), and otherwise the newest one of that release's
year and month in npm's @galaxyproject/galaxy-client, as JSON: version, url, and sha512 as a hexadecimal number.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "module_utils"))

import client

GALAXY = "https://pypi.org/pypi/galaxy-web-apps/json"


def fetch(url: str) -> Any:
    """Return the JSON at an address."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def month_after(published: str) -> str:
    """Return the day that is a month after a moment."""
    return (datetime.fromisoformat(published) + timedelta(days=30)).strftime("%Y-%m-%dT00:00:00Z")


def main() -> int:
    """Run the command."""
    release = sys.argv[-1]
    if sys.argv[1] == "--date":
        print(month_after(fetch(GALAXY)["releases"][release][0]["upload_time_iso_8601"]))
        return 0
    if client.on_pypi(release, fetch) == release:
        return 0
    try:
        print(json.dumps(client.in_npm(release, fetch), indent=1))
    except client.ClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
