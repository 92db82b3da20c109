# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the built client of a Galaxy release is: on PyPI, or in npm's registry.

Imports nothing of Ansible's: script/find_client.py runs it, too.
"""

from __future__ import annotations

import base64
import re
import typing as t
from collections.abc import Callable, Iterable

PYPI = "https://pypi.org/pypi/galaxy-web-client/json"
NPM = "https://registry.npmjs.org/@galaxyproject%2fgalaxy-client"

Fetch = Callable[[str], t.Any]


class ClientError(Exception):
    """There is none; the message is for a person."""


def line_of(release: str) -> str:
    """Return what all versions of a release's year and month begin with."""
    return ".".join(release.split(".")[:2]) + "."


def newest(release: str, versions: Iterable[str]) -> str | None:
    """Return the release itself if it is among the versions, or the newest of its year and month, or None."""
    line = re.compile(re.escape(line_of(release)) + r"[\d.]+")
    found = [version for version in versions if line.fullmatch(version)]
    if release in found:
        return release
    return max(found, key=lambda version: [int(part) for part in version.split(".")], default=None)


def on_pypi(release: str, fetch: Fetch) -> str | None:
    """Return the version of galaxy-web-client for a release, or None."""
    return newest(release, [version for version, files in fetch(PYPI)["releases"].items() if files])


def in_npm(release: str, fetch: Fetch) -> dict[str, str]:
    """Return version, url and sha512 (as a hexadecimal number) of npm's client for a release."""
    versions = fetch(NPM)["versions"]
    found = newest(release, versions)
    if found is None:
        raise ClientError("neither PyPI nor npm has a built client of Galaxy %s*" % line_of(release))
    dist = versions[found]["dist"]
    kind, _dash, digest = dist["integrity"].partition("-")
    if kind != "sha512":
        raise ClientError("npm knows the client %s by %s and not by sha512" % (found, kind))
    return {"version": found, "url": dist["tarball"], "sha512": base64.b64decode(digest).hex()}


def find_client(release: str, fetch: Fetch) -> dict[str, str]:
    """Return PyPI's client for a release as a requirement (package), or npm's as an address (url, sha512)."""
    version = on_pypi(release, fetch)
    return {"package": "galaxy-web-client==" + version} if version else in_npm(release, fetch)
