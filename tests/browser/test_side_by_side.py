# SPDX-License-Identifier: GPL-3.0-or-later
"""The three Galaxies of the scenario "instances", in one browser."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from playwright.sync_api import Page, expect


def test_one_browser_uses_three_galaxies(
    page: Page, url: str, failures: list[str], picture: Callable[[str], None]
) -> None:
    galaxies = {"first": url, "second": f"{url}/second", "third": "http://third.example.org"}
    names = {}
    for galaxy, address in galaxies.items():
        names[galaxy] = f"{galaxy}-{secrets.token_hex(4)}"
        page.goto(f"{address}/register/start")
        page.locator("#register-form-email").fill(f"{names[galaxy]}@example.org")
        password = secrets.token_urlsafe(12)
        page.locator("#register-form-password").fill(password)
        page.locator("#register-form-confirm").fill(password)
        page.locator("#register-form-username").fill(names[galaxy])
        page.locator("form#registration button[name=create]").click()
        expect(page.get_by_text(names[galaxy]).first).to_be_visible()

    # Back in each, the visitor is who they are there.
    for galaxy, address in galaxies.items():
        page.goto(f"{address}/")
        expect(page.locator("#masthead")).to_be_visible()
        expect(page.get_by_text("Text Manipulation").first).to_be_visible()
        expect(page.get_by_text(names[galaxy]).first).to_be_visible()
        for other, name in names.items():
            if other != galaxy:
                expect(page.get_by_text(name)).to_have_count(0)
        picture(galaxy)

    assert failures == []
