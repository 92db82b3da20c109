# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS by an authority that speaks ACME, and what nginx lets through."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support import Machine

ROOT = Path(__file__).parents[3]
NAMES = ("galaxy.example.org", "usegalaxy.example.org")
NAME = NAMES[0]


def curl(machine: Machine, path: str, *options: str, scheme: str = "https") -> str:
    """Ask as a browser does that knows the authority."""
    command = ["curl", "--silent", "--show-error", "--cacert", "/tmp/root.pem", *options, f"{scheme}://{NAME}{path}"]
    return machine.run(" ".join(["%s"] * len(command)), *command)


def status(machine: Machine, path: str, *options: str, scheme: str = "https") -> int:
    return int(curl(machine, path, "--output", "/dev/null", "--write-out", "%{http_code}", *options, scheme=scheme))


def headers(machine: Machine, path: str, *options: str, scheme: str = "https") -> dict[str, str]:
    lines = curl(machine, path, "--head", *options, scheme=scheme).splitlines()[1:]
    pairs = (line.partition(": ") for line in lines if line.strip())
    return {name.lower(): value.strip() for name, _colon, value in pairs}


def provision(*arguments: str) -> subprocess.CompletedProcess[str]:
    inventories = ("-i", "molecule/shared/inventory", "-i", "molecule/security/inventory")
    command = ["ansible-playbook", *inventories, *arguments, "site.yml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return run


def served(machine: Machine, name: str, what: str) -> str:
    """Return what the certificate says that nginx shows for a name."""
    asked = f"openssl s_client -connect 127.0.0.1:443 -servername {name} </dev/null 2>/dev/null"
    return machine.run(f"{asked} | openssl x509 -noout {what}")


@pytest.mark.parametrize("name", NAMES)
def test_the_authority_has_certified_each_name(machine: Machine, name: str) -> None:
    assert "Pebble Intermediate" in served(machine, name, "-issuer")
    assert f"DNS:{name}" in served(machine, name, "-ext subjectAltName")


def test_a_browser_gets_in(machine: Machine) -> None:
    assert '"version_major"' in curl(machine, "/api/version")
    assert status(machine, "/") == 200
    assert curl(machine, "/", "--output", "/dev/null", "--write-out", "%{http_version}") == "2"


def test_without_tls_it_is_sent_there(machine: Machine) -> None:
    assert status(machine, "/login/start?a=b%20c", scheme="http") == 308
    assert headers(machine, "/login/start?a=b%20c", scheme="http")["location"] == f"https://{NAME}/login/start?a=b%20c"
    # A form that is posted there arrives as a form.
    assert status(machine, "/api/histories", "--data", "x=y", scheme="http") == 308


@pytest.mark.parametrize("path", ["/", "/api/version", "/static/favicon.svg", "/static/dist/base.css", "/missing"])
def test_headers_of_every_answer(machine: Machine, path: str) -> None:
    found = headers(machine, path)
    assert found["strict-transport-security"] == "max-age=31536000"
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "strict-origin-when-cross-origin"
    assert found["server"] == "nginx"


@pytest.mark.parametrize(
    "offer, taken",
    [
        ("-tls1_3", True),
        ("-tls1_2", True),
        # Of yesterday, for which OpenSSL's own guard has to be taken down.
        ("-tls1_2 -cipher AES128-SHA", False),
        ("-tls1_1 -cipher DEFAULT@SECLEVEL=0", False),
        ("-tls1 -cipher DEFAULT@SECLEVEL=0", False),
    ],
)
def test_protocols(machine: Machine, offer: str, taken: bool) -> None:
    asked = f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} {offer} </dev/null"
    assert machine.succeeds(asked) == taken


def test_only_root_reads_the_key(machine: Machine) -> None:
    assert machine.run("stat -c '%a %U' /etc/nginx/tls/galaxy.key") == "600 root"
    assert machine.run("stat -c '%a %U' /etc/nginx/tls/galaxy.crt") == "644 root"


def test_a_renewed_certificate_is_shown_at_once(machine: Machine) -> None:
    before, master = served(machine, NAME, "-serial"), machine.run("cat /run/nginx.pid")
    machine.run("certbot renew --force-renewal --non-interactive --no-random-sleep-on-renew 2>&1")
    assert served(machine, NAME, "-serial") != before
    assert machine.run("cat /run/nginx.pid") == master
    # And certbot comes by itself, in time.
    assert machine.succeeds("systemctl is-enabled certbot.timer")


def test_who_guesses_passwords_is_slowed_down(machine: Machine) -> None:
    post = ("--data", "login=a&password=b")
    answers = [status(machine, "/user/login", *post) for _attempt in range(25)]
    assert answers.count(429) >= 10
    assert 429 not in answers[:10]
    # Nobody else notices.
    assert status(machine, "/api/version") == 200


# Ways out of a directory, as they are tried on every server.
TRAVERSALS = [
    f"{start}{way}{target}"
    for start in (
        "/",
        "/static/",
        "/static/dist/",
        "/_x_accel_redirect/",
        "/_x_accel_redirect/srv/galaxy/data/objects/",
    )
    for way in (
        "../" * 8,
        "..%2f" * 8,
        "%2e%2e/" * 8,
        "..%252f" * 8,
        "....//" * 8,
        "..%5c" * 8,
        "%c0%ae%c0%ae/" * 8,
        "/../",
    )
    for target in ("etc/passwd", "srv/galaxy/config/galaxy.ini", "config/secrets.json")
] + [
    "/static../config/galaxy.ini",
    "/static/dist../../config/galaxy.ini",
    "/_x_accel_redirect/etc/passwd",
    "//etc/passwd",
]


def test_no_path_leads_out_of_a_directory(machine: Machine) -> None:
    config = "".join(f'url = "https://{NAME}{path}"\noutput = "-"\n' for path in TRAVERSALS)
    machine.run("cat >/tmp/traversals <<'END'\n" + config + "END")
    found = machine.run(
        "curl --silent --path-as-is --cacert /tmp/root.pem --write-out '\n<%{http_code}>\n' --config /tmp/traversals"
    )
    codes = re.findall(r"<(\d{3})>", found)
    assert len(codes) == len(TRAVERSALS)
    for secret in ("root:x:0", "id_secret", "database_connection"):
        assert secret not in found


def test_the_administrators_own_certificate(machine: Machine) -> None:
    machine.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=own"
        " -addext subjectAltName=DNS:galaxy.example.org -keyout /root/own.key -out /root/own.pem 2>&1"
    )
    key, certificate = machine.run("cat /root/own.key"), machine.run("cat /root/own.pem")
    variables = {"nginx_tls": "files", "nginx_tls_certificate": certificate, "nginx_tls_key": key}
    run = provision("--extra-vars", json.dumps(variables), "--diff", "-vvv")
    assert "answers at https://galaxy.example.org/" in run.stdout
    assert "subject=CN = own" in served(machine, NAME, "-subject")
    # Its key is in no output, however much is asked for.
    assert key.splitlines()[1] not in run.stdout + run.stderr


def test_a_certificate_of_nobodys(machine: Machine) -> None:
    run = provision("--extra-vars", "nginx_tls=self-signed")
    assert "answers at https://galaxy.example.org/" in run.stdout
    assert served(machine, NAME, "-issuer").replace("issuer=", "") == f"CN = {NAME}"
    # Tomorrow there may be none: browsers are not told to insist.
    assert "strict-transport-security" not in headers(machine, "/", "--insecure")
    assert "changed=0" in provision("--extra-vars", "nginx_tls=self-signed").stdout


def test_without_tls_again(machine: Machine) -> None:
    run = provision("--extra-vars", "nginx_tls=off")
    assert "answers at http://galaxy.example.org/" in run.stdout
    assert status(machine, "/api/version", scheme="http") == 200
    assert not machine.succeeds("ss --listening --numeric --tcp | grep ':443 '")
