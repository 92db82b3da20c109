# SPDX-License-Identifier: GPL-3.0-or-later
"""Run BioBlend's tests against both servers, and compare how they end. See tests/conformance/bioblend."""

from __future__ import annotations

import secrets
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from stand import Server, nginx, register, workplace

HOME = Path("/opt/bioblend")
BIOBLEND = "bioblend==1.9.0"
KINDS = ("gunicorn", "uwsgi")


def install() -> None:
    """Put BioBlend and pytest into an environment of their own."""
    if not (HOME / "bin/pytest").exists():
        subprocess.run(["python3", "-m", "venv", HOME], check=True)
        subprocess.run([HOME / "bin/pip", "install", "--quiet", BIOBLEND, "pytest", "pytest-timeout"], check=True)


def outcomes(server: Server, key: str, directory: Path, words: list[str]) -> dict[str, str]:
    """Run the tests, and return how each has ended."""
    report = directory / f"{server.kind}.xml"
    command = [
        *(f"{HOME}/bin/pytest", "--pyargs", "bioblend._tests", "-o", "python_files=TestGalaxy*.py"),
        *("-q", "-p", "no:cacheprovider", "--timeout", "300", "--tb", "line", "--junit-xml", str(report), *words),
    ]
    environment = {
        "PATH": "/usr/bin:/bin",
        "BIOBLEND_GALAXY_URL": server.url,
        "BIOBLEND_GALAXY_API_KEY": key,
        "GALAXY_VERSION": "release_26.1",
    }
    subprocess.run(command, env=environment, cwd=directory, check=False)
    found = {}
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        found[f"{case.get('classname')}.{case.get('name')}"] = min(kinds, default="passed")
    return found


def main() -> int:
    """Return 0 if what passes against gunicorn passes against uWSGI."""
    install()
    name = f"bioblend-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        directory = stack.enter_context(workplace())
        settings = {"admin_users": f"{name}@example.org"}
        servers = [Server(kind, number, settings=settings) for number, kind in enumerate(KINDS)]
        stack.enter_context(nginx(servers, directory))
        for server in servers:
            server.wait(stack.enter_context(server.running(directory)))
        key = register(servers[0].url, name)
        found = {server.kind: outcomes(server, key, directory, sys.argv[1:]) for server in servers}
    for kind in KINDS:
        print(f"{kind}: {dict(Counter(found[kind].values()))}")
    different = {test for test in found["gunicorn"] if found["gunicorn"][test] != found["uwsgi"].get(test)}
    for test in sorted(different):
        print(f"{test}: gunicorn {found['gunicorn'][test]}, uWSGI {found['uwsgi'].get(test)}")
    worse = [test for test in different if found["gunicorn"][test] == "passed"]
    print(
        f"{len(found['gunicorn'])} tests, {len(different)} end in another way, {len(worse)} pass against gunicorn alone"
    )
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
