"""Every page, in both languages, as a browser sees it: axe finds nothing, and the keyboard finds the mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ports import free_port
from tests.product import _running
from tests.unit.portal.conftest import COOKIE, PREFIX, Portal, token_of

CHROMIUM = Path("/usr/bin/chromium")
PAGES = {
    "lin": (
        "",
        "catalogue",
        "catalogue/bank-loans",
        "catalogue?q=nothing-like-it",
        "budgets",
        "analyses",
        "audit",
    ),
    "bank1": ("", "analyses/green-credit/green-exposure", "no-such-page"),
    "zhou": ("", "budgets", "audit", "audit?since=x", "audit/entries/0", "audit/report"),
    "wu": ("", "steward", "budgets"),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if "chromium" in os.environ.get("SANDBOX_GUARD_REQUIRE", "").split(","):
            pytest.fail("Chromium is required and not installed")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )


def window(browser: Browser, base: str, name: str, language: str) -> Page:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, java_script_enabled=True)
    context.add_cookies(
        [
            {"name": COOKIE, "value": token_of(name), "url": base + PREFIX},
            {"name": "sandbox-guard-language", "value": language, "url": base},
        ]
    )
    context.set_default_timeout(90_000)  # milliseconds, on a busy machine
    return context.new_page()


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{page.url}: {v['id']}: {[n['html'][:100] for n in v['nodes']]}" for v in found]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_axe_finds_nothing_on_any_page(portal: Portal, browser: Browser, language: str) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with _running(portal.app, port=port):
        found: list[str] = []
        for name, paths in PAGES.items():
            page = window(browser, base, name, language)
            for path in paths:
                page.goto(base + PREFIX + path)
                assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
                found += violations(page)
                page.set_viewport_size({"width": 390, "height": 800})
                wide = page.evaluate("document.documentElement.scrollWidth")
                found += [] if wide == 390 else [f"{page.url}: {wide} wide on a phone"]
                page.set_viewport_size({"width": 1200, "height": 900})
    assert found == []


def test_form_mistakes_and_result_by_keyboard(answering: Portal, browser: Browser) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with _running(answering.app, port=port):
        page = window(browser, base, "bank1", "en")
        page.goto(base + PREFIX + "analyses/green-credit/default-by-tax-grade")
        assert violations(page) == []
        page.get_by_label("Least balance").fill("-5")
        page.keyboard.press("Enter")
        page.wait_for_selector(".error-summary:focus")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**#min_balance")
        assert violations(page) == []
        page.get_by_label("Least balance").fill("5")
        page.get_by_role("button", name="Run and pay").click()
        page.wait_for_selector("text=Receipt")
        assert page.locator("figure svg").count() == 1
        assert violations(page) == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing hangs out of a phone"
