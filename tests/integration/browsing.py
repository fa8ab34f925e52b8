"""A real browser for the tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE_S = 120.0


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
def watched(
    browser: Browser, address: str, scheme: Literal["light", "dark"] = "light"
) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what is complained of while inside: all that the browser does is among it; none may be."""
    context = browser.new_context(base_url=address, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_S * 1000)
    expect.set_options(timeout=PATIENCE_S * 1000)
    screen = context.new_page()
    complaints: list[str] = []
    screen.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    screen.on("pageerror", lambda error: complaints.append(str(error)))
    yield screen, complaints
    context.close()
    assert complaints == []


def barriers(screen: Page, *rules: str) -> list[str]:
    """What on this page keeps people out who see little, or use no mouse: by axe-core, or by these rules."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(screen, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
