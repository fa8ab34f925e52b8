"""Screenshots: the operators' page with an instance at work, as the documents show it: docs/operators/*.png.

Starts a stack of its own on RabbitMQ and the simulator, has something of everything in it (work that runs and
waits, failures, a held lane, a barrier, a forged message), photographs each screen by Chromium, and ends it.

    python tools/screenshots.py [DIRECTORY]
"""

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pika
from bus.ports import BusError
from bus.roles import Role
from bus.topology import EXCHANGE, routing_key
from dashboard.operators import OperatorRole
from engine.conformance.samples import sample_vm
from playwright.sync_api import Page, sync_playwright
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.objects.disk import LocalDisk
from schema.records import Removed
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from xenops.client import Client
from xenops.command.main import main as xenops
from xenops.events import wait_for_task

from stack import page

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "docs" / "operators"

WEB = tuple(f"web{number}" for number in range(1, 13))
DATABASES = tuple(f"db{number}" for number in range(1, 7))
PATIENCE_S = 120.0
TRANSFER_S = 240
"""A suspend takes so long: bars are on their way while one looks."""

SHOW_S = 60.0
"""So long the instance works before it is looked at: plots want a line."""

WIDE, NARROW = (1280, 860), (390, 844)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: its file's name, what is looked at, and how."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False


SHOTS = (
    Shot("overview", "overview"),
    Shot("queues", "queues"),
    Shot("tasks", "tasks"),
    Shot("events", "events"),
    Shot("workers", "workers"),
    Shot("quarantine", "quarantine"),
    Shot("log", "log"),
    Shot("vm-dark", "vms/db1", dark=True),
    Shot("task-dark", "tasks/{running}", dark=True),
    Shot("queues-narrow", "queues", NARROW),
    Shot("overview-narrow-dark", "overview", NARROW, dark=True),
)


def main() -> int:
    """Take all pictures; answers the exit code."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY
    chromium = shutil.which("chromium")
    if chromium is None:
        print("screenshots: chromium is missing: make setup installs it", file=sys.stderr)
        return 1
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="xs-") as scratch:
        layout = Layout(Path(scratch) / "stack")
        told = {"XENOPS_SIM_TRANSFER_S": str(TRANSFER_S)}
        with LocalStack(layout, Shape(), environment=told) as stack, at_work(stack) as running:
            photograph(layout, chromium, target, running)
    return 0


@contextmanager
def at_work(stack: LocalStack) -> Iterator[str]:
    """An instance in which something of everything goes on; yields a task that runs for a while."""
    over = threading.Event()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        running = fill(client)
        forge(stack)
        hold(stack)
        threads = [threading.Thread(target=part, args=(stack, over)) for part in (stir, wait_for_news)]
        for thread in threads:
            thread.start()
        over.wait(SHOW_S)
        yield running
        over.set()
        for thread in threads:
            thread.join()


def fill(client: Client) -> str:
    """VMs; some are suspended, with more behind that; some things fail. Answers a task that runs."""
    for vm in (*WEB, *DATABASES):
        client.vm.add(sample_vm(vm))
        for task in (client.vm.start(vm), client.vm.unpause(vm)):
            wait_for_task(client, task, PATIENCE_S)
    running = [client.vm.suspend(vm, LocalDisk(path=f"/images/{vm}")) for vm in DATABASES[:4]]
    for vm in DATABASES[:3]:
        client.vm.resume(vm, LocalDisk(path=f"/images/{vm}"))
        client.vm.reboot(vm, None)
    for vm in WEB[:3]:
        fail(client, vm)
    client.updates.inject_barrier(DATABASES[0], 7)
    return running[0]


def fail(client: Client, vm: str) -> None:
    """A VM that runs cannot be started."""
    with suppress(XenopsError):
        wait_for_task(client, client.vm.start(vm), PATIENCE_S)


def forge(stack: LocalStack) -> None:
    """A message that no service takes: a program with a worker's password has written it."""
    record = Removed(vm=VmId(DATABASES[5]))
    with pika.BlockingConnection(pika.URLParameters(stack.url_of(Role.WORKER))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        key = routing_key(InstanceName(SIMULATOR_INSTANCE), record)
        channel.basic_publish(EXCHANGE, key, b'{"kind": "Removed", "vm": "db6", <script>alert(1)</script>')


def hold(stack: LocalStack) -> None:
    """An operator holds a lane by the command."""
    url = ("--broker", stack.url_of(Role.OPERATOR), "--instance", SIMULATOR_INSTANCE)
    xenops((*url, "lane-hold", DATABASES[4]))
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        client.vm.shutdown(DATABASES[4], None)


def stir(stack: LocalStack, over: threading.Event) -> None:
    """Short tasks, one after the other, so that there is something to plot."""
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        while not over.wait(0.4):
            for vm in WEB[: 3 + int(time.time()) % 9]:
                client.vm.pause(vm)
                client.vm.unpause(vm)


def wait_for_news(stack: LocalStack, over: threading.Event) -> None:
    """A client, as xapi, that asks for news again and again."""
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        token = client.updates.last_id()
        while not over.is_set():
            with suppress(BusError):
                _, _, token = client.updates.get(token, 1)


def photograph(layout: Layout, chromium: str, target: Path, running: str) -> None:
    """Sign in, and look at each screen."""
    token = page.token_of(layout, OperatorRole.OPERATOR)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for dark in (False, True):
            scheme = "dark" if dark else "light"
            context = browser.new_context(base_url=page.url_of(layout), color_scheme=scheme)  # type: ignore[arg-type]
            screen = context.new_page()
            screen.goto("/login")
            screen.get_by_label("Token").fill(token)
            screen.get_by_role("button", name="Sign in").click()
            for shot in SHOTS:
                if shot.dark is dark:
                    take(screen, shot, target, running)
            context.close()
        browser.close()


def take(screen: Page, shot: Shot, target: Path, running: str) -> None:
    """One picture, of what is seen without scrolling."""
    width, height = shot.size
    screen.set_viewport_size({"width": width, "height": height})
    screen.goto(f"/i/{SIMULATOR_INSTANCE}/{shot.path.format(running=running)}")
    screen.screenshot(path=str(target / f"{shot.name}.png"))
    print(f"screenshots: {shot.name}.png")


if __name__ == "__main__":
    sys.exit(main())
