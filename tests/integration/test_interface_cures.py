"""Faults of the original that are cured, seen by a client; each would fail there.

Where else each of its faults is tested:

- tokens and task ids begin from zero again: test_eventhub_end_to_end.py, test_services_rabbit.py
- a coalesced task never ends; coalescing is quadratic: test_redirector_core.py
- VIFs are not announced anew at start: test_engine_plan_golden.py, test_eventhub_end_to_end.py
- a consumer that is slow delays others: test_toolstack.py
- a clean shutdown that hangs blocks the forced one: test_redirector_core.py
- a failed migration leaves a temporary VM: test_engine_migration.py, test_migration.py
- queued work is invisible and cannot be cleared, tasks have no link to their VM: test_services_rabbit.py
- a helper that dies leaves its task pending: test_deaths.py
- unknown methods close the connection: test_sockets.py, test_bad_input.py
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from interface_doors import PATIENCE_S, client_through
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk
from schema.objects.errors import Cancelled, DoesNotExist
from schema.objects.vm import PowerState
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from xenops.client import Client
from xenops.events import wait_for_task

PLACES = 4
DELAYS = 100
LONG_S = 3600.0
IMAGE = LocalDisk(path="/simulated/image")
OPERATIONS: dict[str, tuple[PowerState, Callable[[Client, str], str]]] = {
    "start": (PowerState.HALTED, lambda client, vm: client.vm.start(vm)),
    "shutdown": (PowerState.RUNNING, lambda client, vm: client.vm.shutdown(vm, None)),
    "clean shutdown": (PowerState.RUNNING, lambda client, vm: client.vm.shutdown(vm, 5.0)),
    "reboot": (PowerState.RUNNING, lambda client, vm: client.vm.reboot(vm, None)),
    "suspend": (PowerState.RUNNING, lambda client, vm: client.vm.suspend(vm, IMAGE)),
    "resume": (PowerState.SUSPENDED, lambda client, vm: client.vm.resume(vm, IMAGE)),
    "delay": (PowerState.HALTED, lambda client, vm: client.vm.delay(vm, 0.01)),
}


@pytest.fixture(name="client", scope="module")
def open_client() -> Iterator[Client]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    with (
        LocalStack(layout, Shape()) as stack,
        client_through("amqp", stack, layout, SIMULATOR_INSTANCE) as client,
    ):
        yield client
    shutil.rmtree(layout.root.parent)


def done(client: Client, task: str) -> None:
    wait_for_task(client, task, PATIENCE_S)


def brought_to(client: Client, vm: str, state: PowerState) -> None:
    """A new VM with a disk, in this state."""
    client.vm.add(sample_vm(vm))
    client.vbd.add(sample_vbd(vm=vm, backend=LocalDisk(path="/simulated/disk")))
    if state is PowerState.HALTED:
        return
    done(client, client.vm.start(vm))
    done(client, client.vm.unpause(vm))
    if state is PowerState.SUSPENDED:
        done(client, client.vm.suspend(vm, IMAGE))


def is_cancelled(client: Client, task: str) -> bool:
    try:
        done(client, task)
    except XenopsError as error:
        assert error.error == Cancelled(task=task)  # noqa: PT017  any other failure is told as it is
        return True
    return False


@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_is_cancelled_at_any_point_can_be_shut_down_and_removed(client: Client, name: str) -> None:
    state, operate = OPERATIONS[name]
    point, was_cancelled = 0, True
    while was_cancelled:
        point += 1
        vm = f"{name.replace(' ', '-')}-{point}"
        brought_to(client, vm, state)
        with_trigger = Client(client.door, SIMULATOR_INSTANCE, dbg=vm, timeout_s=PATIENCE_S)
        client.debug.trigger("set-cancel-trigger", (vm, str(point)))
        was_cancelled = is_cancelled(client, operate(with_trigger, vm))
        done(client, client.vm.shutdown(vm, None))
        client.vm.remove(vm)
    assert point > 1


def test_delays_take_no_place_and_end_at_once_when_cancelled(client: Client) -> None:
    client.host.set_worker_pool_size(PLACES)
    tasks = [client.vm.delay(f"delayed-{number}", LONG_S) for number in range(DELAYS)]
    brought_to(client, "beside-delays", PowerState.RUNNING)
    for task in tasks:
        client.task.cancel(task)
    assert all(is_cancelled(client, task) for task in tasks)


def test_a_queued_task_is_cancelled_at_once(client: Client) -> None:
    running, queued = client.vm.delay("held", LONG_S), client.vm.start("held")
    client.task.cancel(queued)
    assert is_cancelled(client, queued)
    client.task.cancel(running)
    assert is_cancelled(client, running)


def test_a_remove_takes_its_turn_after_what_was_asked_before_it(client: Client) -> None:
    brought_to(client, "removed", PowerState.RUNNING)
    shutdown = client.vm.shutdown("removed", None)
    client.vm.remove("removed")
    done(client, shutdown)
    assert not client.vm.exists("removed")
    with pytest.raises(XenopsError) as unknown:
        client.vm.remove("removed")
    assert unknown.value.error == DoesNotExist(klass="VM", id="removed/config")


def test_removes_that_wait_delay_no_read_and_end_with_what_they_wait_for(client: Client) -> None:
    client.vm.add(sample_vm("busy"))
    task = client.vm.delay("busy", LONG_S)
    client.task.stat(task)  # waits until the event hub has read of it; a list is of what it knows
    before = {known.id for known in client.task.list()}
    metadata = client.vm.export_metadata("busy")
    imports = [client.vm.import_metadata_async(metadata) for _ in range(20)]
    assert client.vm.stat("busy")[1].power_state is PowerState.HALTED
    assert task in before
    client.task.cancel(task)
    for each in imports:
        done(client, each)
    client.vm.remove("busy")


def test_what_waits_is_seen_held_moved_and_given_a_deadline_by_an_operator(client: Client) -> None:
    vm = "in-hand"
    client.vm.add(sample_vm(vm))
    client.lane.hold(vm)
    start, pause, late = client.vm.start(vm), client.vm.pause(vm), client.vm.delay(vm, LONG_S)
    client.lane.prioritise(late, 7)
    client.lane.set_deadline(late, 0.0)
    with pytest.raises(XenopsError) as failed:
        done(client, late)
    assert "was not begun before its deadline" in str(failed.value)
    lane = client.lane.stat(vm)
    assert (lane.lane.held, lane.lane.blocked) == (True, "the lane is held")
    assert [task.task for task in lane.tasks] == [start, pause]
    assert vm in [shown.vm for shown in client.lane.list().lanes]
    client.lane.release(vm)
    done(client, start)
    client.vm.remove(brought_down(client, vm))


def brought_down(client: Client, vm: str) -> str:
    done(client, client.vm.shutdown(vm, None))
    return vm


def test_a_drained_worker_begins_nothing_until_it_may_work_again_and_nothing_is_lost(client: Client) -> None:
    vm = "in-upgrade"
    client.vm.add(sample_vm(vm))
    [worker] = client.worker.list()
    client.worker.drain(worker.worker)
    start = client.vm.start(vm)
    [draining] = client.worker.list()
    assert draining.state == ("draining" if draining.leases else "drained")
    assert client.lane.stat(vm).lane.blocked == "no worker is free"
    client.worker.undrain(worker.worker)
    done(client, start)
    client.vm.remove(brought_down(client, vm))
