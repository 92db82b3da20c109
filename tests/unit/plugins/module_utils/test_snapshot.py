# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.dagobah.galaxy.plugins.module_utils import snapshot


def test_files_are_put_back_as_they_were(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "galaxy.ini").write_text("old")
    (config / "galaxy.ini").chmod(0o640)
    (config / "same.yml").write_text("same")
    (config / "gone.xml").write_text("gone")
    (config / "link").symlink_to("galaxy.ini")
    supervisor, site = tmp_path / "galaxy.conf", tmp_path / "site"
    supervisor.write_text("programs")
    paths = [str(config), str(supervisor), str(site)]
    packed = snapshot.pack(paths)

    (config / "galaxy.ini").write_text("new")
    (config / "galaxy.ini").chmod(0o600)
    (config / "gone.xml").unlink()
    (config / "link").unlink()
    (config / "link").symlink_to("same.yml")
    (config / "of-the-administrator").write_text("kept")
    supervisor.unlink()
    site.symlink_to("/nowhere")
    untouched = (config / "same.yml").stat().st_ctime_ns

    assert sorted(snapshot.put_back(packed, paths)) == sorted(
        [str(config / "galaxy.ini"), str(config / "gone.xml"), str(config / "link"), str(supervisor), str(site)]
    )
    assert (config / "galaxy.ini").read_text() == "old"
    assert (config / "galaxy.ini").stat().st_mode & 0o777 == 0o640
    assert (config / "gone.xml").read_text() == "gone"
    assert os.readlink(config / "link") == "galaxy.ini"
    assert (config / "of-the-administrator").exists()
    assert supervisor.read_text() == "programs"
    assert not os.path.lexists(site)
    # What was started with it need not be started again.
    assert (config / "same.yml").stat().st_ctime_ns == untouched
    assert snapshot.put_back(packed, paths) == []


def test_byte_code_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "lib/__pycache__").mkdir(parents=True)
    (tmp_path / "lib/__pycache__/a.pyc").write_bytes(b"0")
    (tmp_path / "lib/a.py").write_text("pass")
    packed = snapshot.pack([str(tmp_path / "lib")])
    (tmp_path / "lib/__pycache__/a.pyc").write_bytes(b"1")
    assert snapshot.put_back(packed, [str(tmp_path / "lib")]) == []
