# SPDX-License-Identifier: GPL-3.0-or-later
"""What everyone does first in a new Galaxy: come in, and bring data."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from playwright.sync_api import Page, expect

TEXT = "chr1\t10\t20\nchr2\t30\t40\n"


def test_register_log_in_upload_and_look(
    page: Page, url: str, failures: list[str], picture: Callable[[str], None]
) -> None:
    name = f"visitor-{secrets.token_hex(4)}"
    email, password = f"{name}@example.org", secrets.token_urlsafe(12)

    # Open: the panels of the client are there, and styled by its own stylesheet.
    page.goto(f"{url}/")
    expect(page.locator("#masthead")).to_be_visible()
    expect(page.get_by_text("Text Manipulation").first).to_be_visible()
    expect(page.get_by_text("This history is empty").first).to_be_visible()
    picture("open")

    # Register
    page.goto(f"{url}/register/start")
    page.locator("#register-form-email").fill(email)
    page.locator("#register-form-password").fill(password)
    page.locator("#register-form-confirm").fill(password)
    page.locator("#register-form-username").fill(name)
    picture("register")
    page.locator("form#registration button[name=create]").click()
    expect(page.get_by_text(name).first).to_be_visible()

    # Log out and in: with another session, as on another day.
    page.context.clear_cookies()
    page.goto(f"{url}/login/start")
    page.locator("form#login input[name=login]").fill(email)
    page.locator("form#login input[name=password]").fill(password)
    page.locator("form#login button[name=login]").click()
    expect(page.get_by_text(name).first).to_be_visible()
    picture("logged in")

    # Upload a pasted text
    page.locator("#activity-upload").click()
    dialog = page.get_by_role("dialog").filter(has=page.locator("#btn-new"))
    dialog.locator("#btn-new:visible").click()
    dialog.locator("textarea:visible").fill(TEXT)
    picture("upload")
    start = dialog.locator("#btn-start:visible")
    expect(start).not_to_have_attribute("aria-disabled", "true")
    with page.expect_response("**/api/tools/fetch") as accepted:
        start.click()
    assert accepted.value.ok
    dialog.locator("#btn-close:visible").click()

    # It turns green
    dataset = page.locator(".content-item[data-hid='1']")
    expect(dataset).to_have_attribute("data-state", "ok", timeout=180_000)
    picture("green")

    # Look at it
    dataset.locator(".display-btn").first.click()
    expect(page.locator("#center").get_by_text("chr2")).to_be_visible()
    picture("looked at")

    assert failures == []
