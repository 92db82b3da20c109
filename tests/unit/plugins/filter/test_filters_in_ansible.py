# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters in a real run of ansible-playbook: lazy and tagged values, templates and vaulted strings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"

PLAYBOOK = """
- hosts: all
  gather_facts: false
  vars:
    brand: My Galaxy
    defaults:
      uwsgi:
        processes: "{{ 1 + 1 }}"
        static-map: ["/a=/b", "/c={{ brand }}"]
      app:main:
        brand: Galaxy
        id_secret: default
    galaxy_config:
      galaxy:
        brand: "{{ brand }} 100%"
        flag: yes
        since: 2026-01-01
        id_secret: !vault |
VAULTED
        gone: null
    awkward: {route: "%n $(A)", route-run: "%n"}
    handlers: [one, {name: two, tags: [big]}]
    jobs: {handling: {max_grab: 4}}
    result:
      ini: "{{ defaults | dagobah.galaxy.combine_sections(galaxy_config) | dagobah.galaxy.to_paste_deploy }}"
      placeholders: "{{ {'uwsgi': awkward} | dagobah.galaxy.to_paste_deploy(placeholders=['route']) }}"
      uwsgi: "{{ awkward | dagobah.galaxy.uwsgi_config('ini', '/c', '/c/galaxy.ini', placeholders=['route']) }}"
      handlers: "{{ handlers | dagobah.galaxy.handler_list }}"
      jobs: "{{ handlers | dagobah.galaxy.job_config(jobs, workers='3') }}"
  tasks:
    - name: Write what the filters give
      ansible.builtin.copy:
        content: "{{ result | to_json }}"
        dest: "{{ playbook_dir }}/result.json"
        mode: "0600"
    - name: Name what is wrong
      ansible.builtin.debug:
        msg: "{{ {'app:main': {'a': 'x\\n[uwsgi]'}} | dagobah.galaxy.to_paste_deploy }}"
      when: wrong | bool
"""

pytestmark = pytest.mark.skipif(not COLLECTIONS.is_dir(), reason="needs a checkout")


def run(directory: Path, wrong: bool) -> subprocess.CompletedProcess[str]:
    vaulted = VaultLib([("default", VaultSecret(b"password"))]).encrypt("from the vault").decode()
    indented = "\n".join(" " * 10 + line for line in vaulted.strip().splitlines())
    (directory / "password").write_text("password")
    (directory / "playbook.yml").write_text(PLAYBOOK.replace("VAULTED", indented))
    return subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"),
            *("--vault-password-file", str(directory / "password"), "-e", json.dumps({"wrong": wrong})),
            str(directory / "playbook.yml"),
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_HOME": str(directory),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_filters(tmp_path: Path) -> None:
    done = run(tmp_path, wrong=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["ini"] == (
        "[uwsgi]\nprocesses = 2\nstatic-map = /a=/b\n    static-map = /c=My Galaxy\n\n"
        "[app:main]\nbrand = My Galaxy 100%%\nid_secret = from the vault\nflag = true\nsince = 2026-01-01\n"
    )
    assert result["placeholders"] == "[uwsgi]\nroute = %n $(A)\nroute-run = %%n\n"
    assert result["uwsgi"] == {
        "arguments": ["--ini", "/c/uwsgi.ini"],
        "environment": {},
        "file": "/c/uwsgi.ini",
        "listing": ["--dump-options"],
        "names": ["paste", "route", "route-run"],
        "text": "[uwsgi]\npaste = config:/c/galaxy.ini\nroute = %n $(A)\nroute-run = %%n\n",
    }
    assert result["handlers"] == [{"name": "one", "tags": ["handlers"]}, {"name": "two", "tags": ["big"]}]
    assert result["jobs"]["handling"]["processes"] == {"one": {"tags": ["handlers"]}, "two": {"tags": ["big"]}}
    assert result["jobs"]["handling"]["max_grab"] == 4
    assert result["jobs"]["runners"]["local"]["workers"] == 3


def test_an_error_names_section_and_key(tmp_path: Path) -> None:
    done = run(tmp_path, wrong=True)
    assert done.returncode == 2
    assert "galaxy.ini [app:main] a:" in done.stdout + done.stderr
