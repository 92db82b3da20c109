# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a Git repository as Galaxy's own is, from what PyPI has of two releases.

    python3 tests/checkouts/build.py DIRECTORY

The packages of a release are parts of one tree; here they are put together again, in the places where a checkout has
them. The branches are those of Galaxy's repository: release_26.1 (tag v26.1.2) and release_20.05 (tag v20.05). What is
made once is kept. Prints the path of the repository, which is bare.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "galaxy" / "files"
# Not of Galaxy's repository, although of that name.
FOREIGN = {"galaxy-sequence-utils"}
# What an administrator adds to Galaxy, and no checkout names.
ADDED = {"psycopg2-binary", "pyuwsgi"}
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==[^ \\]+(?: ; [^\\]+)?", re.MULTILINE)
IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Galaxy"), ("EMAIL", "galaxy@example.org"), ("DATE", "2026-01-01T00:00:00Z"))
}

# (directory of the packages, where a checkout has it); the packages find it by a link.
MODERN = (("webapps/base/static", "static"), ("webapps/base/templates", "templates"))
CLASSIC = (
    ("web/framework/static", "static"),
    ("web/framework/templates", "templates"),
    ("main.py", "scripts/galaxy-main"),
)


def is_own(name: str) -> bool:
    """Tell whether a package is a part of Galaxy's repository."""
    return name.startswith("galaxy-") and name not in FOREIGN


def put_together(release: str, tree: Path, moved: tuple[tuple[str, str], ...], wheels: Path) -> None:
    """Make a tree of the packages of a release."""
    entries = list(ENTRY.finditer((FILES / "releases" / release / "requirements.txt").read_text(encoding="utf-8")))
    own = [
        f"{found['name']}=={release}"
        for found in entries
        if is_own(found["name"]) and found["name"] != "galaxy-web-client"
    ]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    subprocess.run([*pip, "--dest", wheels, *own], check=True)
    for wheel in sorted(wheels.glob(f"*-{release}-*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tree / "lib", [name for name in archive.namelist() if ".dist-info/" not in name])
    galaxy = tree / "lib" / "galaxy"
    for place, target in (*moved, ("tools/bundled", "tools")):
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        (galaxy / place).rename(tree / target)
        if target != "tools":
            (galaxy / place).symlink_to(os.path.relpath(tree / target, (galaxy / place).parent))
    for sample in sorted((galaxy / "config" / "sample").iterdir()):
        (tree / "config").mkdir(exist_ok=True)
        (tree / "config" / sample.name).symlink_to(f"../lib/galaxy/config/sample/{sample.name}")
    for name in ("run.sh", "scripts/common_startup.sh", "tool-data/shared/README"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("# Made for the tests of dagobah.galaxy.\n", encoding="utf-8")
    # Which the packages of the classic release have left out.
    metadata = tree / "lib" / "galaxy_ext" / "metadata"
    if not metadata.exists():
        metadata.mkdir(parents=True)
        for package in (metadata, metadata.parent):
            (package / "__init__.py").touch()
        shutil.copy(FILES / "classic" / "set_metadata.py", metadata)
    pinned = [found[0].rstrip() for found in entries if not is_own(found["name"]) and found["name"] not in ADDED]
    target = galaxy / "dependencies" / "pinned-requirements.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(pinned) + "\n", encoding="utf-8")


def build(repository: Path) -> None:
    """Make the repository."""

    def git(*arguments: str, cwd: Path | None = None, **options: str) -> None:
        environment = {**os.environ, **IDENTITY, "GIT_DIR": str(repository), **options}
        subprocess.run(["git", *arguments], env=environment, cwd=cwd, check=True)

    git("init", "--quiet", "--bare", "--initial-branch=dev", str(repository))
    with tempfile.TemporaryDirectory(dir=repository.parent) as work:
        for release, branch, tag, moved in (
            ("26.1.2", "release_26.1", "v26.1.2", MODERN),
            ("20.5.0", "release_20.05", "v20.05", CLASSIC),
        ):
            tree = Path(work, release)
            wheels = Path(work, "wheels")
            tree.mkdir()
            wheels.mkdir(exist_ok=True)
            put_together(release, tree, moved, wheels)
            place = {"GIT_WORK_TREE": str(tree), "GIT_INDEX_FILE": str(Path(work, f"{release}.index"))}
            git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
            git("add", "--all", "--force", ".", cwd=tree, **place)
            git("commit", "--quiet", "-m", f"Galaxy {release}", **place)
            git("tag", "-a", "-m", tag, tag)
    # What a change to the maker of it invalidates.
    (repository / "made").touch()


def main() -> int:
    """Run the command."""
    directory = Path(sys.argv[1]).resolve()
    repository = directory / "galaxy.git"
    if not (repository / "made").exists():
        shutil.rmtree(repository, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        build(repository)
    print(repository)
    return 0


if __name__ == "__main__":
    sys.exit(main())
