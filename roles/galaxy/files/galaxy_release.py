# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finish a release: prove that it is whole, lay out what nginx serves, and mark it as ready.

Run by the Python of the release that was just installed::

    releases/26.1.2-0a1b2c3d/bin/python galaxy_release.py 26.1.2 wheel {}

with the release, the way in which uWSGI is installed (wheel, source, or apt: then it is not in the release), and what
the mark is to tell of a checkout (commit, client; empty for a release from PyPI). The files of a checkout are in
``galaxy/``; it gets the scripts that a package would have brought.

Writes ``static/`` (a link to the client, and Galaxy's own static files) and, as the last thing,
``release.json``. Fails with one sentence, and without the mark, if anything is missing.

A classic release (up to 22.01) gets ``root/`` besides: the directory that its processes run in, laid out as in a
checkout of Galaxy (``lib``, ``templates``, ``tools``, ``static``, ``tool-data``, ``config``). What its sources say that
Python no longer reads is put right, in the release's own copy of them.
"""

from __future__ import annotations

import compileall
import gzip
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# Whatever a web process or a handler needs at once; a missing one shows itself here and not in a log.
MODULES = ("galaxy.app", "galaxy.main", "galaxy.webapps.galaxy.fast_factory", "psycopg2", "paste.deploy")
CLASSIC_MODULES = ("galaxy.app", "galaxy.main", "galaxy.webapps.galaxy.buildapp", "psycopg2", "paste.deploy")
FIRST_MODERN = (22, 5)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, which PyPI writes 20.5.0 and classic Galaxy itself 20.05."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def is_classic(version: str) -> bool:
    """Tell whether a release serves WSGI by itself, which uWSGI then runs without the bridge."""
    return numbers(version)[:2] < FIRST_MODERN


# Options by which the parts of uWSGI show themselves that its build leaves out if it finds no library for them.
UWSGI_PARTS = {"json": "JSON", "xml": "XML", "yaml": "YAML", "route": "PCRE", "http-auto-gzip": "zlib"}


def find_uwsgi_fault(program: Path) -> str | None:
    """Return what is wrong with the uWSGI of a release, or None."""
    try:
        answer = subprocess.run([program, "--dump-options"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"uWSGI does not run: {error}"
    if answer.returncode:
        return f"uWSGI does not run: {answer.stderr.strip()}"
    missing = [part for option, part in UWSGI_PARTS.items() if option not in answer.stdout.split()]
    return f"uWSGI was built without {', '.join(missing)}" if missing else None


def find_fault(release: Path, version: str, uwsgi: str) -> str | None:
    """Return what is wrong with a release, or None."""
    for module in CLASSIC_MODULES if is_classic(version) else MODULES:
        try:
            importlib.import_module(module)
        except Exception as error:
            return f"{module} cannot be imported: {type(error).__name__}: {error}"
    installed = importlib.import_module("galaxy.version").VERSION
    alike = is_classic(version) or checkout_of(release).is_dir()
    if numbers(installed)[:2] != numbers(version)[:2] if alike else installed != version:
        return f"the packages are of Galaxy {installed}, not {version}"
    fault = None if is_classic(version) else find_client_fault(release)
    return fault or (None if uwsgi == "apt" else find_uwsgi_fault(release / "bin" / "uwsgi"))


def find_client_fault(release: Path) -> str | None:
    """Return what the client lacks, or None."""
    client = client_of(release)
    if client is None or not any(client.glob("*.js")):
        # galaxy-web-client 26.1.0 was published without it.
        return f"it lacks the client ({client or 'neither galaxy-web-client nor one from npm is installed'})"
    return None


def client_of(release: Path) -> Path | None:
    """Return the directory of the client: a checkout's own, npm's, which is beside the packages, or PyPI's."""
    pypi = Path(sysconfig.get_path("purelib", vars={"base": str(release)})) / "galaxy" / "web_client" / "dist"
    places = (checkout_of(release) / "static" / "dist", release / "client" / "package" / "dist", pypi)
    return next((place for place in places if place.is_dir()), None)


def checkout_of(release: Path) -> Path:
    """Return where a release has the files of a checkout, if it was made of one."""
    return release / "galaxy"


def link(target: Path, name: Path) -> None:
    """Make ``name`` a relative link to ``target``, so that the release may be read below any mount."""
    if not name.is_symlink():
        name.symlink_to(os.path.relpath(target, name.parent))


def lay_out_static(static: Path) -> None:
    """Put the client (``dist``, a link) and Galaxy's own static files into one directory.

    uWSGI serves no file that a link leads out of the directory to, so that Galaxy's own are there under a second name.
    """
    checkout = checkout_of(static.parent)
    package = Path(importlib.import_module("galaxy.webapps.base").__file__ or "").parent
    own = checkout / "static" if checkout.is_dir() else package / "static"
    shutil.copytree(own, static, copy_function=os.link, ignore=shutil.ignore_patterns("dist"))
    client = client_of(static.parent)
    if client:
        link(client, static / "dist")


# What Galaxy's packages have as commands, and its repository in other places or not at all.
SCRIPTS = {
    "galaxy-main": "galaxy.main:main",
    "galaxy-manage-db": "galaxy.model.orm.scripts:manage_db",
    "galaxy-config": "galaxy.config.script:main",
}


def complete_checkout(release: Path) -> None:
    """Give a modern checkout what packages would have: commands, and the tools where Galaxy looks for them."""
    checkout = checkout_of(release)
    bundled = checkout / "lib" / "galaxy" / "tools" / "bundled"
    if not bundled.exists():
        link(checkout / "tools", bundled)
    for name, target in SCRIPTS.items():
        module, function = target.split(":")
        script = release / "bin" / name
        script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        script.chmod(0o755)


def put_flags_first(source: str) -> str:
    """Move a flag of a whole pattern to its beginning, where Python 3.11 wants it."""
    return source.replace("'^(?i)", "'(?i)^")


def mend_sources(package: Path) -> None:
    """Put right in a classic release's sources what Python no longer reads."""
    inflection = package / "util" / "inflection.py"
    before = inflection.read_text(encoding="utf-8")
    after = put_flags_first(before)
    if after != before:
        # Another file in its place: uv may have linked this one to its cache.
        temporary = inflection.with_name(".inflection.py")
        temporary.write_text(after, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.rename(inflection)


def lay_out_classic(release: Path, package: Path) -> None:
    """Make the directory that a classic Galaxy runs in, and ``static``. PyPI has no client of those releases."""
    checkout = checkout_of(release)
    if checkout.is_dir():
        shutil.copytree(checkout / "static", release / "static", copy_function=os.link)
        link(checkout, release / "root")
        (checkout / "scripts" / "galaxy-main").chmod(0o755)
        link(checkout / "scripts" / "galaxy-main", release / "bin" / "galaxy-main")
        return
    shutil.copytree(package / "web" / "framework" / "static", release / "static", copy_function=os.link)
    root = release / "root"
    for name in ("config", "tool-data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    link(package.parent, root / "lib")
    link(package / "web" / "framework" / "templates", root / "templates")
    link(package / "tools" / "bundled", root / "tools")
    link(release / "static", root / "static")


# What is worth compressing, from this size on.
TEXTS = {".css", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".ttf", ".txt", ".wasm", ".xml"}
COMPRESS_SIZE = 1000


def compress(static: Path) -> None:
    """Lay a compressed copy beside each text, once and not for each request.

    For nginx's gzip_static, and uWSGI's static-gzip-all.
    """
    for directory in (static, static / "dist"):
        for path in directory.rglob("*"):
            if path.suffix in TEXTS and path.is_file() and path.stat().st_size >= COMPRESS_SIZE:
                data = gzip.compress(path.read_bytes(), 6, mtime=0)
                copy = path.with_name(f"{path.name}.gz")
                copy.write_bytes(data)
                # Of the same date, by which browsers ask for changes.
                os.utime(copy, (path.stat().st_mtime, path.stat().st_mtime))


def main() -> int:
    """Run the command."""
    release, version, uwsgi = Path(sys.prefix), *sys.argv[1:3]
    checkout = json.loads(sys.argv[3])
    if checkout:
        package = checkout_of(release) / "lib" / "galaxy"
    else:
        package = Path(next(iter(importlib.import_module("galaxy").__path__)))
    if is_classic(version):
        mend_sources(package)
    elif checkout:
        complete_checkout(release)
    fault = find_fault(release, version, uwsgi)
    if fault:
        print(f"The release at {release} is not usable: {fault}.", file=sys.stderr)
        return 1
    if checkout:
        # As uv does it for packages. Galaxy's processes may not, and would compile it all at each start.
        compileall.compile_dir(checkout_of(release) / "lib", quiet=2, workers=0)
    shutil.rmtree(release / "static", ignore_errors=True)
    if is_classic(version):
        lay_out_classic(release, package)
    else:
        lay_out_static(release / "static")
        # Where a Galaxy that is told of further tools finds its own.
        link(package / "config" / "sample" / "tool_conf.xml.sample", release / "tool_conf.xml")
    compress(release / "static")
    # uv's, and open to everybody.
    for lock in (release / ".lock", release.parent / ".cache" / ".lock"):
        lock.unlink(missing_ok=True)
    packages = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    mark = {
        "galaxy": version,
        "python": platform.python_version(),
        "uwsgi": uwsgi,
        "checkout": checkout,
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
    temporary = release / ".release.json"
    temporary.write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    temporary.chmod(0o644)
    temporary.rename(release / "release.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
