"""xapi's side against the real services on a real broker, which die in the middle of it."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.task import Completed
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import BROKER, SIMULATOR_INSTANCE, Shape
from xenops.client import Client
from xenops.command.main import main as command
from xenops.toolstack import MemoryDatabase, Site, Toolstack, XenApiFailure, XenApiTask, sync_with_task
from xenops.toolstack.samples import HOST, sample_pool, sample_vm, suspend_ref, vbd_ref, vm_ref
from xenops.toolstack.tasks import Silent

from stack import remains

PATIENCE_S = 90.0
VMS = 10
LOAD_S = 6.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "miniature_toolstack.py"


@pytest.fixture(name="stack", scope="module")
def bring_up() -> Iterator[LocalStack]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xt-")) / "stack")
    with LocalStack(layout, Shape()) as stack:
        yield stack
    assert remains.processes(layout) == []
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="client")
def connect(stack: LocalStack) -> Iterator[Client]:
    stack.up()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=20.0) as client:
        yield client


@pytest.fixture(name="database")
def fill() -> MemoryDatabase:
    database = MemoryDatabase(sample_pool())
    for number in range(VMS):
        database.add(sample_vm(number, uuid=str(uuid.uuid4())))
    return database


@pytest.fixture(name="toolstack")
def open_toolstack(client: Client, database: MemoryDatabase) -> Iterator[Toolstack]:
    with Toolstack(client, database, Site(host=HOST)) as toolstack:
        yield toolstack


def id_of(database: MemoryDatabase, number: int) -> str:
    return str(database.fields("VM", vm_ref(number))["uuid"])


def insist(act: Callable[[], Any]) -> Any:
    """Do it again while services are away, up to the end of our patience."""
    end, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while True:
        try:
            return act()
        except (BusError, XenopsError):
            if time.monotonic() > end:
                raise
            pause.wait(0.2)


def await_agreement(toolstack: Toolstack, client: Client, database: MemoryDatabase) -> None:
    """Wait until the database says of every VM what xenops says, without asking the watcher to look."""
    end, pause = time.monotonic() + PATIENCE_S, threading.Event()
    wrong: dict[str, Any] = {"nothing": "seen"}
    while wrong and time.monotonic() < end:
        pause.wait(0.1)
        there = {vm.id: str(state.power_state) for vm, state in insist(client.vm.list)}
        known = {id_of(database, number): database.fields("VM", vm_ref(number)) for number in range(VMS)}
        states = {vm: str(fields["power_state"]) for vm, fields in known.items()}
        wrong = {
            vm: (state, there.get(vm)) for vm, state in states.items() if state != there.get(vm, "Halted")
        }
    assert wrong == {}
    assert toolstack.watcher.seen(id_of(database, 0)).result(PATIENCE_S) is None


def test_vms_live_by_their_records_all_at_once(toolstack: Toolstack, database: MemoryDatabase) -> None:
    def live(number: int) -> str:
        vm = vm_ref(number)
        task = XenApiTask(database, "a life")
        toolstack.start(vm, task=task)
        assert database.fields("VM", vm)["power_state"] == "Running"
        assert database.fields("VBD", vbd_ref(number))["currently_attached"]
        toolstack.suspend(vm, suspend_ref(number))
        assert database.fields("VM", vm)["power_state"] == "Suspended"
        toolstack.resume(vm)
        toolstack.reboot(vm)
        toolstack.shutdown(vm)
        assert not database.fields("VBD", vbd_ref(number))["currently_attached"]
        assert database.fields("task", task.ref)["status"] == "success"
        return str(database.fields("VM", vm)["power_state"])

    with ThreadPoolExecutor(VMS) as callers:
        assert set(callers.map(live, range(VMS))) == {"Halted"}


def test_a_failure_is_in_xenapis_words(toolstack: Toolstack) -> None:
    toolstack.start(vm_ref(0))
    toolstack.pause(vm_ref(0))
    with pytest.raises(XenApiFailure) as raised:
        toolstack.suspend(vm_ref(0), "OpaqueRef:none")
    assert raised.value.code == "HANDLE_INVALID"
    toolstack.shutdown(vm_ref(0))


def test_a_caller_that_changes_his_mind_cancels(toolstack: Toolstack, database: MemoryDatabase) -> None:
    toolstack.start(vm_ref(0))
    task = XenApiTask(database, "delay")
    task.cancel()
    delay = toolstack.watcher.client.vm.delay(id_of(database, 0), 1000.0)
    with pytest.raises(XenopsError, match="Cancelled"):
        sync_with_task(toolstack.watcher, task, delay)
    toolstack.shutdown(vm_ref(0))


def test_what_happens_behind_our_back_is_in_the_records(
    toolstack: Toolstack, client: Client, database: MemoryDatabase
) -> None:
    toolstack.start(vm_ref(0))
    client.debug.trigger("halt", [id_of(database, 0)])
    await_agreement(toolstack, client, database)
    assert database.fields("VM", vm_ref(0))["power_state"] == "Halted"


def test_hundreds_of_tasks_are_waited_for_by_one_watcher(
    toolstack: Toolstack, client: Client, database: MemoryDatabase
) -> None:
    for number in range(VMS):
        toolstack.start(vm_ref(number))
    before = threading.active_count()
    waiting: list[Future[Any]] = []
    for _ in range(20):
        for number in range(VMS):
            vm = id_of(database, number)
            waiting += [toolstack.watcher.task_ended(ask(vm)) for ask in (client.vm.pause, client.vm.unpause)]
    assert threading.active_count() - before <= 32
    ended = [one.result(PATIENCE_S) for one in waiting]
    assert all(isinstance(task.state, Completed) for task in ended)
    for task in ended:
        client.task.destroy(task.id)
    for number in range(VMS):
        toolstack.shutdown(vm_ref(number))


@pytest.mark.parametrize("dies", ["eventhub", "frontend", "worker-sim", BROKER])
def test_nothing_is_missed_whoever_dies_meanwhile(
    stack: LocalStack, client: Client, database: MemoryDatabase, dies: str
) -> None:
    chance = random.Random(dies)
    with Toolstack(client, database, Site(host=HOST)) as toolstack:
        for number in range(VMS):
            toolstack.start(vm_ref(number))
        end, next_death = time.monotonic() + LOAD_S, time.monotonic() + LOAD_S / 3
        while time.monotonic() < end:
            vm = id_of(database, chance.randrange(VMS))
            ask = chance.choice([client.vm.pause, client.vm.unpause])
            with suppress(BusError, XenopsError):  # whoever was to answer has just died
                client.patient(2.0).task.destroy_on_finish(ask(vm))
            if time.monotonic() > next_death:
                next_death = end
                stack.kill(dies)
                stack.up()
        await_agreement(toolstack, client, database)
        for number in range(VMS):
            with suppress(BusError, XenApiFailure):  # a slow machine may give up on one: it goes on
                toolstack.shutdown(vm_ref(number))
        await_agreement(toolstack, client, database)


@pytest.mark.parametrize("dies", ["eventhub", BROKER])
def test_who_waits_for_a_task_learns_its_end_though_who_would_tell_dies(
    stack: LocalStack, client: Client, database: MemoryDatabase, dies: str
) -> None:
    with Toolstack(client, database, Site(host=HOST)) as toolstack:
        toolstack.start(vm_ref(0))
        delay = client.vm.delay(id_of(database, 0), 3.0)
        with ThreadPoolExecutor(1) as callers:
            waiting = callers.submit(sync_with_task, toolstack.watcher, Silent(), delay)
            stack.kill(dies)
            stack.up()
            assert waiting.result(PATIENCE_S).duration >= 3.0


def test_the_example_plays_against_a_stack_that_runs(stack: LocalStack) -> None:
    stack.up()
    command = [sys.executable, str(EXAMPLE), "--vms", "2", "--broker", stack.url]
    played = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert played.returncode == 0, played.stderr
    assert "it has ended with Cancelled" in played.stdout
    assert "guest 2 is Halted" in played.stdout


def test_the_example_plays_with_a_stack_of_its_own() -> None:
    played = subprocess.run(
        [sys.executable, str(EXAMPLE), "--vms", "2", "--instance", SIMULATOR_INSTANCE],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"},  # noqa: S108  nothing is written there
    )
    assert played.returncode == 0, played.stderr
    assert "Suspended -> Running" in played.stdout


def a_life(vm: str, files: Path) -> tuple[list[str], ...]:
    """Command lines, one after the other, for a VM whose file is in a directory."""
    return (
        ["create", str(files / "vm")],
        ["vbd-eject", vm, "hdc"],
        ["vbd-insert", vm, "hdc", "--disk", "/other-cd"],
        ["pause", f"the {vm}"],
        ["unpause", vm],
        ["vbd-add", vm, "xvdb", "--disk", str(files / "disk"), "--plug"],
        ["vbd-unplug", vm, "xvdb"],
        ["vbd-remove", vm, "xvdb"],
        ["vif-add", vm, "7", "--mac", "52:54:00:12:34:07", "--plug"],
        ["vif-unplug", vm, "7"],
        ["vif-remove", vm, "7"],
        ["suspend", vm, "--disk", str(files / "image")],
        ["resume", vm, "--disk", str(files / "image"), "--run"],
        ["set-vcpus", vm, "1"],
        ["delay", vm, "0.1"],
        ["reboot", vm],
        ["export", vm, "--file", str(files / "exported")],
        ["shutdown", vm],
        ["remove", vm],
        ["import", str(files / "exported")],
        ["vm-stat", vm],
        ["pci-add", vm, "0", "0000:03:00.0"],
        ["pci-remove", vm, "0"],
        ["call", "VM.exists", f"id={vm}"],
        ["remove", vm],
        ["set-worker-pool-size", "8"],
        ["query"],
        ["diagnostics"],
        ["task-list"],
    )


def test_the_command_does_all_that_the_originals_does(
    stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.up()
    vm = f"cli-{uuid.uuid4()}"
    parts = {
        "vm": {"id": vm, "name": f"the {vm}"},
        "vbds": [{"device": "hdc", "disk": "cd", "type": "cdrom"}],
    }
    (tmp_path / "vm").write_text(json.dumps(parts))

    def xenops(*argv: str) -> int:
        return command(["--broker", stack.url, "--instance", SIMULATOR_INSTANCE, *argv])

    for line in a_life(vm, tmp_path):
        assert xenops(*line) == 0, capsys.readouterr()
    assert "\ntrue\n" in capsys.readouterr().out
    assert xenops("stat", vm) == 1
    assert f"there is no VM {vm}" in capsys.readouterr().err
