"""A real browser for the tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_S = 60.0


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's, without its sandbox: tests run as root."""
    path = shutil.which("chromium")
    assert path, "chromium is missing: make setup installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what is complained of while inside: all that the browser does is among it; none may be."""
    context = browser.new_context(base_url=address)
    context.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    screen = context.new_page()
    complaints: list[str] = []
    screen.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    screen.on("pageerror", lambda error: complaints.append(str(error)))
    yield screen, complaints
    context.close()
    assert complaints == []
