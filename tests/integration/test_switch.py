"""The message switch of a real stack, used as xapi uses it: VMs, other services, two frontends, a kill."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bus.roles import Role
from engine.conformance.samples import sample_vbd, sample_vm
from schema.fault import XenopsError
from schema.objects.vm import PowerState
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import FRONTEND, SIMULATOR_INSTANCE, Shape
from switch_client import PATIENCE_S, Line, SwitchClient, SwitchServer, logged_in
from xenops.client import Client
from xenops.events import wait_for_task

WAITING = 2_000
LOST = "the frontend ended before this was answered"


@pytest.fixture(name="layout", scope="module")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="stack", scope="module")
def bring_up(layout: Layout) -> Iterator[LocalStack]:
    with LocalStack(layout, Shape()) as stack:
        yield stack


@contextmanager
def client_at(path: Path, token: str) -> Iterator[Client]:
    with Client(SwitchClient(path, token), SIMULATOR_INSTANCE, dbg=token, timeout_s=PATIENCE_S) as client:
        yield client


def live(client: Client, vm: str) -> None:
    """A VM's life."""
    client.vm.add(sample_vm(vm))
    client.vbd.add(sample_vbd(vm=vm))
    for operate in (client.vm.start, client.vm.unpause):
        wait_for_task(client, operate(vm), PATIENCE_S)
    assert client.vm.stat(vm)[1].power_state is PowerState.RUNNING
    wait_for_task(client, client.vm.shutdown(vm, None), PATIENCE_S)
    client.vm.remove(vm)
    assert not client.vm.exists(vm)


@pytest.mark.usefixtures("stack")
def test_a_vm_lives_through_the_switch(layout: Layout) -> None:
    with client_at(layout.switch, "xapi:1") as client:
        live(client, "by-switch")


@pytest.mark.usefixtures("stack")
def test_other_services_and_their_clients_find_each_other(layout: Layout) -> None:
    server = SwitchServer(layout.switch, "org.xen.xapi.storage.demo", lambda body: b"did " + body)
    client = SwitchClient(layout.switch, "xapi:2")
    for number in range(50):
        body = b'{"\xe6\x97\xa5": "%d"}' % number
        assert client.call("org.xen.xapi.storage.demo", body, PATIENCE_S) == b"did " + body
    client.close()
    server.close()


@pytest.mark.usefixtures("stack")
def test_thousands_wait_and_everybody_gets_his_own_while_others_work(layout: Layout) -> None:
    with ExitStack() as many, client_at(layout.switch, "xapi:3") as client:
        waiting: list[Line] = []
        for number in range(WAITING):
            line = logged_in(layout.switch, f"w{number}")
            many.callback(line.close)
            line.get(f"/transient/w{number}")
            line.begin_transfer(f"w{number}", timeout_s=2 * PATIENCE_S)
            waiting.append(line)
        live(client, "among-many")
        with logged_in_now(layout.switch, "sender") as sender:
            for number in range(WAITING):
                sender.post(f"/request/w{number}/sender", b"for %d" % number)
        for number, line in enumerate(waiting):
            assert b'"payload":"for %d"' % number in line.end()


@contextmanager
def logged_in_now(path: Path, token: str) -> Iterator[Line]:
    line = logged_in(path, token)
    yield line
    line.close()


@contextmanager
def second_frontend(stack: LocalStack, directory: Path) -> Iterator[Path]:
    """Another frontend of the same instance, with a switch of its own."""
    switch = directory / "second"
    told = {
        "XENOPS_BROKER": stack.url_of(Role.FRONTEND),
        "XENOPS_INSTANCE": SIMULATOR_INSTANCE,
        "XENOPS_SWITCH": str(switch),
        "XENOPS_STATE_DIR": str(directory / "second-state"),
    }
    process = subprocess.Popen([sys.executable, "-m", "frontend"], env={**os.environ, **told})
    try:
        until_open(switch)
        yield switch
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert not switch.exists()


def until_open(switch: Path) -> None:
    attempts, end = threading.Event(), time.monotonic() + PATIENCE_S
    while True:
        try:
            logged_in(switch, "early").close()
        except OSError:
            assert time.monotonic() < end
            attempts.wait(0.1)
        else:
            return


def test_any_frontend_serves_the_instance(stack: LocalStack, layout: Layout) -> None:
    with (
        second_frontend(stack, layout.root) as switch,
        client_at(switch, "xapi:4") as second,
        client_at(layout.switch, "xapi:4") as first,
    ):
        first.vm.add(sample_vm("shared"))
        wait_for_task(second, second.vm.start("shared"), PATIENCE_S)
        assert first.vm.stat("shared") == second.vm.stat("shared")
        wait_for_task(first, first.vm.shutdown("shared", None), PATIENCE_S)
        second.vm.remove("shared")
        live(second, "of-the-second")


class Load:
    """Somebody who works on, whatever happens to the frontend."""

    def __init__(self, client: Client, name: str) -> None:
        self.rounds = 0
        self.failures: list[Exception] = []
        self._client = client
        self._vm = name
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(act,)) for act in (self._work, self._watch)]
        client.vm.add(sample_vm(name))
        for thread in self._threads:
            thread.start()

    def _run(self, act: object) -> None:
        try:
            while not self._ended.is_set():
                act()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001  the test tells
            self.failures.append(error)

    def _work(self) -> None:
        """A task more; only that it is not known whether it was submitted may be said."""
        try:
            task = self._client.vm.delay(self._vm, 0.01)
            wait_for_task(self._client, task, PATIENCE_S)
        except XenopsError as error:
            if LOST not in str(error):
                raise
        self._client.vm.stat(self._vm)
        self.rounds += 1

    def _watch(self) -> None:
        """What changes; a frontend that ends meanwhile is not noticed."""
        self._client.updates.get(self._client.updates.last_id(), 2)

    def until(self, rounds: int) -> None:
        moments, end = threading.Event(), time.monotonic() + PATIENCE_S
        while self.rounds < rounds and not self.failures:
            assert time.monotonic() < end, "the load stands still"
            moments.wait(0.05)

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []


def test_a_frontend_that_is_killed_under_load_leaves_nobody_waiting(
    stack: LocalStack, layout: Layout
) -> None:
    with ExitStack() as clients:
        loads = [
            Load(clients.enter_context(client_at(layout.switch, f"load:{number}")), f"load-{number}")
            for number in range(4)
        ]
        for _ in range(3):
            goals = [load.rounds + 5 for load in loads]
            for load, goal in zip(loads, goals, strict=True):
                load.until(goal)
            stack.kill(FRONTEND)
            stack.start(FRONTEND)
            for load, goal in zip(loads, goals, strict=True):
                load.until(goal + 5)
        for load in loads:
            load.end()
    assert "Traceback" not in layout.log(FRONTEND).read_text()
