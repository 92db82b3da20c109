# Copyright: The dagobah.galaxy developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module: order of the links, where it stops, what it says."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.dagobah.galaxy.plugins.module_utils import proof
from ansible_collections.dagobah.galaxy.plugins.modules import instance_proof

ME = pwd.getpwuid(os.geteuid()).pw_name

CANARY = """
import json, sys
from pathlib import Path
Path(__file__).with_name("told").write_text(" ".join(sys.argv[2:]))
if sys.argv[1] == "database":
    print(json.dumps({"ok": True, "server": "postgresql 15", "revisions": ["abc"]}))
else:
    print(json.dumps({"ok": False, "stage": "job", "expected": "ok", "seen": "password=hunter22 and hush-hush-hush"}))
"""


@pytest.fixture
def run(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that proves the links it is given, of a Galaxy whose canary is the one above."""
    (tmp_path / "canary.py").write_text(CANARY)
    (tmp_path / "galaxy.ini").write_text("id_secret = hush-hush-hush\n")
    (tmp_path / "launcher").write_text('#!/bin/sh\nshift\nexec "%s" "$@"\n' % sys.executable)
    (tmp_path / "launcher").chmod(0o755)
    galaxy = {
        "user": ME,
        "launcher": str(tmp_path / "launcher"),
        "config_file": str(tmp_path / "galaxy.ini"),
        "server_dir": str(tmp_path),
        "canary": str(tmp_path / "canary.py"),
    }

    def run(check: bool = False, **links: Any) -> dict[str, Any]:
        return run_module("instance_proof", {"galaxy": galaxy, **links, "_ansible_remote_tmp": str(tmp_path)}, check)

    return run


def test_check_mode_asks_nothing_and_says_so(run: Callable[..., dict[str, Any]]) -> None:
    result = run(check=True, database={}, uwsgi={"socket": "127.0.0.1:1"})
    assert result["skipped"] is True
    assert result["changed"] is False
    assert "check mode" in result["msg"]


def test_a_link_that_holds(run: Callable[..., dict[str, Any]]) -> None:
    result = run(database={})
    assert result["changed"] is False
    assert [link["name"] for link in result["links"]] == ["database"]
    assert "postgresql 15, schema abc" in result["summary"][0]


def test_it_stops_at_the_first_broken_link(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    log = tmp_path / "supervisord.log"
    log.write_text(
        "CRIT Server 'unix_http_server' running without any HTTP authentication checking\nERROR token=abcdefgh\n"
    )
    result = run(
        database={},
        supervisor={"programs": ["gx:galaxy"], "socket": str(tmp_path / "none")},
        uwsgi={"socket": "127.0.0.1:1"},
        logs={"supervisor": [str(log)]},
    )
    assert result["failed"] is True
    assert result["broken_link"] == "supervisor"
    assert "database ok -> SUPERVISOR BROKEN -> uwsgi not asked" in result["msg"]
    assert f"From {log}:" in result["msg"]
    assert "ERROR token=********" in result["msg"]


def test_the_secrets_of_the_configuration_are_masked(run: Callable[..., dict[str, Any]]) -> None:
    result = run(nginx={"urls": []}, job={})
    assert result["broken_link"] == "job"
    assert "password=******** and ********" in result["msg"]
    assert "hush" not in json.dumps(result)
    assert "hunter22" not in json.dumps(result)


def test_what_the_canary_is_told(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    nginx = {
        "urls": [],
        "url": "https://127.0.0.1:8443",
        "host": "g.example.org",
        "prefix": "/galaxy",
        "validate_certs": False,
    }
    run(nginx=nginx, job={"handlers": ["handler0", "big"], "timeout": 9})
    told = (tmp_path / "told").read_text()
    assert "--url https://127.0.0.1:8443 --host g.example.org --prefix /galaxy --timeout 9" in told
    assert "--insecure --handler handler0 --handler big" in told


@pytest.mark.parametrize("links", [{"job": {}}, {"galaxy": None, "database": {}}])
def test_what_a_link_needs(run: Callable[..., dict[str, Any]], links: dict[str, Any]) -> None:
    assert "missing parameter" in run(**links)["msg"]


def test_programs_must_still_run_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters: dict[str, Any] = dict.fromkeys(instance_proof.argument_spec())
    parameters["supervisor"] = {"socket": "s", "programs": ["gx:galaxy"], "min_uptime": 1, "timeout": 1}
    chain = instance_proof.Chain(parameters)
    monkeypatch.setattr(proof, "check_supervisor", lambda *_arguments: {"pids": {"gx:galaxy": 7}})
    monkeypatch.setattr(proof.Supervisor, "processes", lambda _self: {})
    with pytest.raises(proof.LinkError, match="gx:galaxy did not"):
        chain.walk()
    assert chain.current == "supervisor"


def specification(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the documentation says of options, in the form of an argument specification."""
    result = {}
    for name, option in options.items():
        result[name] = {key: option[key] for key in ("type", "choices", "elements", "required") if key in option}
        if "default" in option:
            result[name]["default"] = option["default"]
        if "suboptions" in option:
            result[name]["options"] = specification(option["suboptions"])
    return result


def test_the_documentation_is_that_of_the_arguments() -> None:
    documented = specification(yaml.safe_load(instance_proof.DOCUMENTATION)["options"])
    # A default that is a list of dictionaries is completed by the defaults of their keys.
    for urls in (documented["nginx"]["options"]["urls"], instance_proof.argument_spec()["nginx"]["options"]["urls"]):
        assert [url["path"] for url in urls["default"]] == ["/", "/api/version"]
    assert documented == instance_proof.argument_spec()


def test_the_returned_values_are_documented() -> None:
    documented = set(yaml.safe_load(instance_proof.RETURN))
    assert {
        "links",
        "summary",
        "broken_link",
    } <= documented
    assert yaml.safe_load(instance_proof.EXAMPLES)
