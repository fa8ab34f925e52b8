"""VMs' lives as a client sees them, through every door: states, guards, devices, what is told."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm
from interface_doors import DOORS, PATIENCE_S, client_through
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import ObjectId, PciObject, TaskObject, VbdObject, VifObject, VmObject
from schema.objects.errors import BadPowerState, DeviceIsConnected, DoesNotExist, Error
from schema.objects.network import LocalNetwork
from schema.objects.vbd import VbdMode
from schema.objects.vif import Vif
from schema.objects.vm import PowerState
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from xenops.client import Client
from xenops.events import wait_for_task

IMAGE = LocalDisk(path="/simulated/image")
Operation = Callable[[Client, str], str]
HALTED, PAUSED, RUNNING, SUSPENDED = (
    PowerState.HALTED,
    PowerState.PAUSED,
    PowerState.RUNNING,
    PowerState.SUSPENDED,
)


@pytest.fixture(name="layout", scope="module")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="stack", scope="module")
def bring_up(layout: Layout) -> Iterator[LocalStack]:
    with LocalStack(layout, Shape()) as stack:
        yield stack


@pytest.fixture(name="client", params=DOORS)
def open_door(request: pytest.FixtureRequest, stack: LocalStack, layout: Layout) -> Iterator[Client]:
    with client_through(request.param, stack, layout, SIMULATOR_INSTANCE) as client:
        yield client


@pytest.fixture(name="vm")
def make_vm(request: pytest.FixtureRequest, client: Client) -> Iterator[str]:
    """A VM with two disks, the read-only one named first, an interface and a PCI device."""
    vm = f"vm-{abs(hash(request.node.name)):x}"
    client.vm.add(sample_vm(vm))
    client.vbd.add(sample_vbd("xvda", vm, mode=VbdMode.READ_ONLY, backend=IMAGE))
    client.vbd.add(sample_vbd("xvdb", vm, mode=VbdMode.READ_WRITE, backend=IMAGE))
    client.vif.add(Vif(id=DeviceId(vm, "0"), backend=LocalNetwork(bridge="xenbr0")))
    client.pci.add(sample_pci(vm))
    yield vm
    if state(client, vm) is not HALTED:
        done(client, client.vm.shutdown(vm, None))
    client.vm.remove(vm)
    assert not client.vm.exists(vm)


def state(client: Client, vm: str) -> PowerState:
    return client.vm.stat(vm)[1].power_state


def done(client: Client, task: str) -> None:
    wait_for_task(client, task, PATIENCE_S)


def failure(client: Client, task: str) -> Error:
    with pytest.raises(XenopsError) as caught:
        done(client, task)
    return caught.value.error


def test_a_vm_goes_from_state_to_state_and_back(client: Client, vm: str) -> None:
    way: tuple[tuple[Operation, PowerState], ...] = (
        (lambda c, v: c.vm.start(v), RUNNING),
        (lambda c, v: c.vm.unpause(v), RUNNING),
        (lambda c, v: c.vm.pause(v), PAUSED),
        (lambda c, v: c.vm.unpause(v), RUNNING),
        (lambda c, v: c.vm.reboot(v, None), RUNNING),
        (lambda c, v: c.vm.suspend(v, IMAGE), SUSPENDED),
        (lambda c, v: c.vm.resume(v, IMAGE), RUNNING),
        (lambda c, v: c.vm.unpause(v), RUNNING),
        (lambda c, v: c.vm.reboot(v, 10.0), RUNNING),
        (lambda c, v: c.vm.shutdown(v, 10.0), HALTED),
    )
    assert state(client, vm) is HALTED
    for operate, expected in way:
        done(client, operate(client, vm))
        assert state(client, vm) is expected


@pytest.mark.parametrize(
    ("operate", "expected"),
    [
        (lambda c, v: c.vm.reboot(v, None), RUNNING),
        (lambda c, v: c.vm.suspend(v, IMAGE), RUNNING),
        (lambda c, v: c.vm.pause(v), RUNNING),
    ],
    ids=["reboot", "suspend", "pause"],
)
def test_what_needs_a_domain_is_refused_without_one(
    client: Client, vm: str, operate: Operation, expected: PowerState
) -> None:
    error = failure(client, operate(client, vm))
    assert isinstance(error, BadPowerState | DoesNotExist)
    if isinstance(error, BadPowerState):
        assert (error.found, error.expected) == (HALTED, expected)
    assert state(client, vm) is HALTED


def test_to_unpause_what_is_not_paused_changes_nothing(client: Client, vm: str) -> None:
    for expected in (HALTED, RUNNING):
        done(client, client.vm.unpause(vm))
        assert state(client, vm) is expected
        if expected is HALTED:
            done(client, client.vm.start(vm))
            done(client, client.vm.unpause(vm))


def test_an_unknown_vm_is_one_whatever_is_asked_of_it(client: Client) -> None:
    for operate in (client.vm.start, client.vm.pause, client.vm.shutdown):
        assert isinstance(failure(client, operate("nobody")), DoesNotExist)
    for ask in (client.vm.stat, client.vm.remove):
        with pytest.raises(XenopsError, match="Does_not_exist"):
            ask("nobody")
    assert client.vbd.list("nobody") == ()


def test_a_vm_that_runs_is_not_removed_nor_are_its_devices(client: Client, vm: str) -> None:
    done(client, client.vm.start(vm))
    with pytest.raises(XenopsError) as caught:
        client.vm.remove(vm)
    assert caught.value.error == BadPowerState(found=RUNNING, expected=HALTED)
    for remove, device in ((client.vbd.remove, "xvda"), (client.vif.remove, "0")):
        with pytest.raises(XenopsError) as caught:
            remove(DeviceId(vm, device))
        assert caught.value.error == DeviceIsConnected()


def test_a_start_plugs_all_and_disks_that_are_written_before_those_that_are_not(
    client: Client, vm: str
) -> None:
    done(client, client.vm.start(vm))
    assert all(known.plugged and known.active for _, known in client.vbd.list(vm))
    assert all(known.plugged and known.active for _, known in client.vif.list(vm))
    assert all(known.plugged for _, known in client.pci.list(vm))
    client.debug.trigger("check-vbd-plug-ordering", [vm])
    found = client.vm.stat(vm)[1]
    assert len(found.domids) == 1
    assert found.consoles
    assert found.memory_target > 0
    assert found.vcpu_target > 0


def test_devices_come_and_go_while_the_vm_runs(client: Client, vm: str) -> None:
    done(client, client.vm.start(vm))
    disk, nic = DeviceId(vm, "xvdb"), DeviceId(vm, "0")
    for _ in range(2):
        done(client, client.vbd.unplug(disk))
        assert not client.vbd.stat(disk)[1].plugged
        done(client, client.vbd.plug(disk))
        assert client.vbd.stat(disk)[1].plugged
        done(client, client.vif.unplug(nic, force=True))
        assert not client.vif.stat(nic)[1].plugged
        done(client, client.vif.plug(nic))
        assert client.vif.stat(nic)[1].plugged
    done(client, client.vbd.unplug(disk))
    client.vbd.remove(disk)
    assert [vbd.id.device for vbd, _ in client.vbd.list(vm)] == ["xvda"]


@pytest.mark.parametrize(("asks", "expected"), [("reboot", RUNNING), ("halt", HALTED)])
def test_what_a_guest_asks_for_happens(client: Client, vm: str, asks: str, expected: PowerState) -> None:
    done(client, client.vm.start(vm))
    done(client, client.vm.unpause(vm))
    before = client.vm.stat(vm)[1].domids
    token = client.updates.last_id()
    client.debug.trigger(asks, [vm])
    while client.vm.stat(vm)[1].domids == before or state(client, vm) is not expected:
        _, _, token = client.updates.get(token, int(PATIENCE_S))
    assert state(client, vm) is expected


def told_of(client: Client, vm: str, token: int) -> list[ObjectId]:
    """What of a VM is told after a token, tasks left out."""
    _, objects, _ = client.updates.get(token, 0)
    return [found for found in objects if not isinstance(found, TaskObject) and vm in str(found)]


def test_a_start_tells_of_the_vm_and_all_that_it_plugs(client: Client, vm: str) -> None:
    token = client.updates.last_id()
    done(client, client.vm.start(vm))
    told = told_of(client, vm, token)
    assert len(told) == len(set(told))
    assert {VmObject(id=vm), VifObject(id=DeviceId(vm, "0")), PciObject(id=sample_pci(vm).id)} <= set(told)
    assert {VbdObject(id=DeviceId(vm, disk)) for disk in ("xvda", "xvdb")} <= set(told)


def test_a_barrier_carries_the_vms_objects_and_comes_before_the_rest(client: Client, vm: str) -> None:
    token = client.updates.last_id()
    client.updates.refresh_vm(vm)
    client.updates.inject_barrier(vm, 77)
    barriers, _, _ = client.updates.get(token, int(PATIENCE_S))
    assert VmObject(id=vm) in dict(barriers)[77]
    client.updates.remove_barrier(77)
    barriers, _, _ = client.updates.get(None, 0)
    assert 77 not in dict(barriers)
