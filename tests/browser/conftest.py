# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that looks at a running Galaxy, and keeps pictures of what it saw."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

# The first page after a start of Galaxy, on a machine that does other things too, takes its time.
PATIENCE = 90_000

ARGUMENTS = [
    "--no-sandbox",  # root's Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It has nothing to ask of anyone but Galaxy.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--url",
        default=os.environ.get("GALAXY_URL", "http://127.0.0.1"),
        help="the Galaxy to look at (default: GALAXY_URL, or this machine's)",
    )
    parser.addoption("--screenshots", default=".artifacts/browser", type=Path, help="directory for the pictures")


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    given: str = request.config.getoption("--url")
    return given.rstrip("/")


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("There is no Chromium: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                *ARGUMENTS,
                f"--host-resolver-rules=MAP *.example.org {urlsplit(url).netloc}",
                # Galaxy's client takes digests (crypto.subtle), for which browsers want TLS or this machine itself.
                "--unsafely-treat-insecure-origin-as-secure=http://third.example.org",
            ],
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


@pytest.fixture
def failures(page: Page) -> list[str]:
    """Every answer of the server that was an error, and every request that got none; filled while the page is used."""
    found: list[str] = []
    # A page that is left gives up what it was still asking for.
    page.on(
        "requestfailed", lambda r: None if r.failure == "net::ERR_ABORTED" else found.append(f"{r.failure} {r.url}")
    )
    # 401 and 403 are Galaxy's own answers to its client, which asks for things that a visitor may not have.
    page.on("response", lambda r: found.append(f"{r.status} {r.url}") if r.status >= 404 else None)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    return found


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Take a picture of the page as it is; one of the end is always taken."""
    directory: Path = request.config.getoption("--screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    number = 0

    def take(name: str) -> None:
        nonlocal number
        number += 1
        page.screenshot(path=directory / f"{number}-{re.sub('[^a-z0-9]+', '-', name.lower())}.png")

    yield take
    take("end")
