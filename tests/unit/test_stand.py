# SPDX-License-Identifier: GPL-3.0-or-later
"""The nginx in front of the two servers that are compared (benchmarks/stand.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import stand

ROLE = Path(__file__).parents[2] / "roles/nginx/templates"


@pytest.fixture
def locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The template of the role, printed as far as it matters here."""
    text = (ROLE / "locations.j2").read_text()
    text = re.sub(r"\{\{ __nginx_prefix( \| regex_escape)? \}\}", "/", text)
    text = re.sub(r"uwsgi_param \{\{ __nginx_header \}\}", "uwsgi_param HTTP_REMOTE_USER", text)
    text = re.sub(r"\{%.*?%\}\n?", "", re.sub(r"\{\{ __nginx_upstream \}\}", "127.0.0.1:4001", text))
    monkeypatch.setattr(stand, "LOCATIONS", tmp_path / "locations")
    monkeypatch.setattr(stand, "SITE", ROLE / "site.j2")
    (tmp_path / "locations").write_text(text)
    return text


def test_proxy_is_told_what_uwsgi_is_told(locations: str) -> None:
    proxied = stand.with_proxy(locations, "http://gunicorn")
    assert "uwsgi" not in proxied
    assert "proxy_pass http://gunicorn;" in proxied
    assert "proxy_set_header HOST $host$galaxy_port;" in proxied
    assert "proxy_set_header X-FORWARDED-PROTO $scheme;" in proxied
    assert 'proxy_set_header REMOTE-USER "";' in proxied
    assert "proxy_request_buffering on;" in proxied
    # Everything else stays as it is.
    assert proxied.count("location ") == locations.count("location ")
    assert proxied.count("alias ") == locations.count("alias ")


def test_site_of_each_server(locations: str, tmp_path: Path) -> None:
    servers = [stand.Server("uwsgi", 0), stand.Server("gunicorn", 1)]
    sites = [stand.site(server, "127.0.0.1", tmp_path) for server in servers]
    assert [re.findall(r"(?:uwsgi|proxy)_pass (.+);", site) for site in sites] == [
        ["127.0.0.1:18201"],
        ["http://gunicorn1"],
    ]
    assert "listen 127.0.0.1:18101 " in sites[0]
    assert "upstream gunicorn1 { server 127.0.0.1:18202;" in sites[1]
    # An access log for both.
    assert [site.count("access_log") for site in sites] == [1, 1]


def test_prefix(locations: str, tmp_path: Path) -> None:
    site = stand.site(stand.Server("uwsgi", 2, prefix="/galaxy"), "127.0.0.1", tmp_path)
    assert "location /galaxy/ {" in site
    assert "location /galaxy/static/ {" in site
    assert "location = /galaxy/robots.txt {" in site
    assert 'location ~ "^/galaxy/static/dist/' in site
