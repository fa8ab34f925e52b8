"""The operators' page in a real browser, and its API against everything that its description allows."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import barriers, chromium, watched
from dashboard.operators import OperatorRole
from engine.conformance.samples import sample_vm
from playwright.sync_api import Browser, Page, ViewportSize, expect
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk
from stack.layout import Layout
from stack.shape import SIMULATOR_INSTANCE, BusKind, Shape
from stack.single import Single
from xenops.client import Client, connect
from xenops.events import wait_for_task

from stack import page

PATIENCE_S = 120.0
NARROW: ViewportSize = {"width": 380, "height": 800}
SCREENS = ("overview", "queues", "tasks", "events", "workers", "quarantine", "log")
EXAMPLES = 6
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
)


@pytest.fixture(name="layout", scope="module")
def serve() -> Iterator[Layout]:
    """Everything in this process, with a simulator whose suspends take their time."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    os.environ["XENOPS_SIM_TRANSFER_S"] = "240"
    stack = Single(layout, Shape(bus=BusKind.MEMORY))
    del os.environ["XENOPS_SIM_TRANSFER_S"]
    stack.start()
    deadline = time.monotonic() + PATIENCE_S
    while (trouble := page.trouble(layout)) is not None:
        assert time.monotonic() < deadline, trouble
    yield layout
    stack.stop()
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="client", scope="module")
def call(layout: Layout) -> Iterator[Client]:
    with connect(f"unix://{layout.door}", SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        yield client


@pytest.fixture(name="browser", scope="module")
def open_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(name="screen")
def sign_in(browser: Browser, layout: Layout) -> Iterator[Page]:
    """A page that somebody has signed in at; whatever the browser complains of fails the test."""
    with watched(browser, page.url_of(layout)) as (screen, _):
        screen.goto("/login")
        enter(screen, layout)
        yield screen


def enter(screen: Page, layout: Layout) -> None:
    screen.get_by_label("Token").fill(page.token_of(layout, OperatorRole.OPERATOR))
    screen.get_by_role("button", name="Sign in").click()
    expect(screen.get_by_role("heading", level=1)).to_have_text(SIMULATOR_INSTANCE)


def at(screen: str) -> str:
    return f"/i/{SIMULATOR_INSTANCE}/{screen}"


def started(client: Client, vm: str) -> str:
    client.vm.add(sample_vm(vm))
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    wait_for_task(client, client.vm.unpause(vm), PATIENCE_S)
    return vm


def test_each_screen_is_there_fits_a_narrow_window_and_is_no_other_s_script(screen: Page) -> None:
    for width in (1280, NARROW["width"]):
        screen.set_viewport_size({"width": width, "height": 800})
        for name in SCREENS:
            screen.goto(at(name))
            assert screen.locator("h1").count() == 1
            assert screen.locator(".screens [aria-current=page]").count() == 1
            assert screen.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)


def test_a_bar_moves_and_a_task_comes_and_goes_while_one_looks(
    screen: Page, client: Client, tmp_path: Path
) -> None:
    vm = started(client, "moving")
    screen.goto(at("queues"))
    expect(screen.locator(f"#lane-{vm}")).to_have_count(0)
    task = client.vm.suspend(vm, LocalDisk(path=str(tmp_path / "image")))
    row = screen.locator(f"#lane-{vm}")
    expect(row).to_contain_text("VM_suspend")
    bar = row.locator("progress")
    first = float(bar.get_attribute("value") or 0)
    screen.wait_for_function(
        "([vm, first]) => document.querySelector(`#lane-${vm} progress`)?.value > first", arg=[vm, first]
    )
    screen.goto(at(f"tasks/{task}"))
    screen.get_by_text("Cancel…").click()
    screen.get_by_role("button", name="Cancel this task").click()
    expect(screen.locator("h1 .chip")).to_have_text("cancelled")
    assert client.task.stat(task).state.kind == "Failed"


def test_what_is_open_or_has_the_focus_stays_so_while_news_comes(screen: Page, client: Client) -> None:
    screen.goto(at("workers"))
    screen.get_by_text("Drain…").click()
    screen.goto(at("log"))
    field = screen.get_by_label("VM")
    field.fill("half a na")
    before = screen.locator("tbody tr").first.get_attribute("id")
    vm = started(client, "newcomer")
    screen.wait_for_function("id => document.querySelector('tbody tr').id !== id", arg=before)
    expect(field).to_be_focused()
    expect(field).to_have_value("half a na")
    screen.get_by_role("button", name="Pause").click()
    still = screen.locator("tbody tr").first.get_attribute("id")
    client.lane.hold(vm)
    expect(screen.locator("#live-text")).to_have_text("paused")
    assert screen.locator("tbody tr").first.get_attribute("id") == still
    screen.get_by_role("button", name="Resume").click()
    screen.wait_for_function("id => document.querySelector('tbody tr').id !== id", arg=still)
    client.lane.release(vm)


def test_all_of_it_is_done_by_keyboard(screen: Page, client: Client) -> None:
    client.vm.add(sample_vm("by-key"))
    client.lane.hold("by-key")
    screen.goto(at("queues"))
    screen.keyboard.press("Tab")
    expect(screen.get_by_text("Skip to content")).to_be_focused()
    screen.keyboard.press("Enter")
    for _ in range(30):
        screen.keyboard.press("Tab")
        if (
            screen.evaluate("document.activeElement.closest('#lane-by-key') && document.activeElement.type")
            == "submit"
        ):
            break
    screen.keyboard.press("Enter")
    expect(screen.locator("#lane-by-key")).to_have_count(0)
    assert not client.lane.stat("by-key").lane.held


def busy(client: Client, tmp_path: Path) -> str:
    """A VM of which a task has failed, one runs and one waits, in a lane that is held; answers the second."""
    vm = started(client, "busy")
    with pytest.raises(XenopsError):
        wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    running = client.vm.suspend(vm, LocalDisk(path=str(tmp_path / "image")))
    client.vm.reboot(vm, None)
    client.lane.hold(vm)
    return running


def test_nothing_keeps_out_who_sees_little_or_nothing(
    browser: Browser, layout: Layout, client: Client, tmp_path: Path
) -> None:
    running = busy(client, tmp_path)
    places = (*SCREENS, "vms/busy", f"tasks/{running}")
    with watched(browser, page.url_of(layout)) as (screen, _):
        screen.goto("/login")
        screen.locator("h1").evaluate("heading => heading.style.color = '#ddd'")
        assert any("color-contrast" in one for one in barriers(screen)), "nothing is looked at"
        enter(screen, layout)
        assert {name: barriers(at_screen(screen, name)) for name in places} == {name: [] for name in places}
    with watched(browser, page.url_of(layout), "dark") as (screen, _):
        screen.goto("/login")
        enter(screen, layout)
        for name in places:
            assert barriers(at_screen(screen, name), "color-contrast") == [], name
        screen.set_viewport_size(NARROW)
        assert {name: cut_off(at_screen(screen, name)) for name in places} == {name: [] for name in places}
    client.task.cancel(running)
    client.lane.release("busy")


def cut_off(screen: Page) -> list[str]:
    """The tables of which a part is seen only by scrolling aside: there an action may be, or what failed."""
    found: list[str] = screen.evaluate(
        "[...document.querySelectorAll('.scroll')]"
        ".filter(one => one.scrollWidth > one.clientWidth).map(one => one.getAttribute('aria-label'))"
    )
    return found


def at_screen(screen: Page, name: str) -> Page:
    screen.goto(at(name))
    return screen


def test_a_session_that_is_over_leads_back_to_the_door(screen: Page) -> None:
    screen.get_by_role("button", name="Sign out").click()
    expect(screen.get_by_label("Token")).to_be_visible()
    screen.goto(at("queues"))
    expect(screen.get_by_label("Token")).to_be_visible()


def test_the_api_keeps_what_its_description_says_whatever_it_is_sent(layout: Layout, client: Client) -> None:
    client.vm.list()
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        str(program),
        "run",
        f"{page.url_of(layout)}api/v1/openapi.json",
        f"--header=Authorization: Bearer {page.token_of(layout, OperatorRole.OPERATOR)}",
        "--exclude-path-regex=/(events|news)$",  # endless
        f"--max-examples={EXAMPLES}",
        "--phases=examples,coverage,fuzzing",
        f"--checks={','.join(CHECKS)}",
        "--generation-deterministic",
        "--no-color",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=layout.root)
    assert done.returncode == 0, done.stdout[-6_000:]
