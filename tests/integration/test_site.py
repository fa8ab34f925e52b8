"""The site of the documents, in a real browser: whole, nobody else's, and found by searching."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import chromium, watched
from playwright.sync_api import Browser, Page, expect
from typing_extensions import override

ROOT = Path(__file__).resolve().parents[2]
SCREENS = (
    "index.html",
    "tutorials/first-vm.html",
    "limits.html",
    "conformance.html",
    "reference/client.html",
    "reference/operators-api.html",
    "adr/index.html",
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="address", scope="module")
def build_and_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="browser", scope="module")
def open_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(name="screen")
def open_page(browser: Browser, address: str) -> Iterator[Page]:
    """A page; whatever the browser complains of, or asks of anybody else, fails the test."""
    with watched(browser, address) as (screen, complaints):
        screen.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "data:")) else complaints.append(asked.url),
        )
        yield screen


def test_each_screen_fits_a_wide_and_a_narrow_window(screen: Page) -> None:
    for width in (1280, 380):
        screen.set_viewport_size({"width": width, "height": 800})
        for name in SCREENS:
            screen.goto(name)
            assert screen.locator("article h1").count() == 1
            assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)


def test_what_travels_is_drawn_from_the_asyncapi_document(screen: Page) -> None:
    screen.goto("reference/asyncapi.html")
    viewer = screen.locator("asyncapi-viewer")
    expect(viewer.get_by_role("heading", name="call.VM.start", exact=True)).to_be_visible()
    expect(viewer.get_by_role("heading", name="append.redirector", exact=True)).to_be_visible()


def test_a_method_of_the_client_is_found_by_searching(screen: Page) -> None:
    screen.goto("index.html?q=set_locking_mode")  # what is typed before the page is ready is lost
    found = screen.locator(".md-search-result__link", has_text="set_locking_mode").first
    expect(found).to_be_visible()
    found.click()
    expect(screen.locator("article")).to_contain_text("set_locking_mode")
