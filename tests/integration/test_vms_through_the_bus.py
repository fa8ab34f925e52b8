"""Real VMs through the whole bus: guests that end by themselves, workers that die, starts that must fail."""

import itertools
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.errors import Cancelled, InternalError
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import PowerState, Vm, VmAction, VmState
from stack.guest import guest_in
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.qemu.sweep import Stray, find_strays
from xenops.client import Client
from xenops.events import wait_for_task

GUEST = guest_in(Path("var/guest"))
MIB = 1 << 20
PATIENCE_S = 120.0
QUIET_S = 0.05
KILLS = 8
POINTS_MIN = 3
"""A start has at least so many points where it may be cancelled."""

START_S = 0.25
"""About as long as a start takes here, from the request to its end, worker and QEMU included."""


class Site:
    """A stack with a worker on QEMU, and a client."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.layout = Layout(directory / "s")
        shape = Shape(workers={WORKER_KVM: QEMU_INSTANCE}, network=Network.USER, accelerator="tcg")
        self.stack = LocalStack(self.layout, shape)

    def open(self) -> None:
        self.client = self.stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S)

    def close(self) -> None:
        self.client.close()

    def add(self, name: str, then: str = "", **fields: object) -> Vm:
        size = 96 * MIB
        usual = {
            "ty": GUEST.builder(f"xenops.then={then}"),
            "memory_static_max": size,
            "memory_dynamic_max": size,
            "memory_dynamic_min": size,
            "vcpus": 1,
            "vcpu_max": 1,
        }
        vm = sample_vm(name, **(usual | fields))
        self.client.vm.add(vm)
        disk = self.directory / f"{name}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "8M"], check=True)
        backend = LocalDisk(path=str(disk))
        self.client.vbd.add(Vbd(id=DeviceId(name, "xvda"), position=(BusType.XEN, 0, 0), backend=backend))
        self.client.vif.add(Vif(id=DeviceId(name, "0"), position=0))
        return vm

    def done(self, task: str) -> None:
        wait_for_task(self.client, task, PATIENCE_S)

    def state(self, name: str) -> VmState:
        return self.client.vm.stat(name)[1]

    def until(self, name: str, holds: Callable[[VmState], bool]) -> VmState:
        attempts = threading.Event()
        for _ in range(int(PATIENCE_S / QUIET_S)):
            if holds(state := self.state(name)):
                return state
            attempts.wait(QUIET_S)
        pytest.fail(f"{name} is still {self.state(name)}")

    def qemus(self, name: str) -> list[Stray]:
        return [stray for stray in find_strays(self.layout.vms) if stray.vm == name]


@pytest.fixture(name="site", scope="module")
def run_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    with site.stack:
        site.open()
        yield site
        site.close()
    assert not list(find_strays(site.layout.vms))
    assert "Traceback" not in site.layout.log(WORKER_KVM).read_text()


def test_a_vm_runs_on_while_its_worker_restarts(site: Site) -> None:
    site.add("steady")
    site.done(site.client.vm.start("steady"))
    site.done(site.client.vm.unpause("steady"))
    before, qemus = site.state("steady"), site.qemus("steady")
    site.stack.restart(WORKER_KVM)
    assert site.state("steady") == before
    assert site.qemus("steady") == qemus
    site.done(site.client.vm.pause("steady"))
    assert site.state("steady").power_state is PowerState.PAUSED
    site.done(site.client.vm.shutdown("steady", None))
    assert site.qemus("steady") == []


def test_fifty_guests_are_started_at_once_and_end_at_once(site: Site) -> None:
    names = [f"crowd{number}" for number in range(50)]
    for name in names:
        site.add(name)
    for task in [site.client.vm.start(name) for name in names]:
        site.done(task)
    found = [stray.vm for stray in find_strays(site.layout.vms) if stray.vm in names]
    assert sorted(found) == sorted(names)
    domids = [site.state(name).domids for name in names]
    assert len(set(domids)) == len(names)
    assert {site.state(name).power_state for name in names} == {PowerState.PAUSED}
    for task in [site.client.vm.shutdown(name, None) for name in names]:
        site.done(task)
    assert {site.state(name).power_state for name in names} == {PowerState.HALTED}


def test_a_guest_that_reboots_by_itself_runs_on_in_another_domain(site: Site) -> None:
    site.add("restless", then="reboot")
    site.done(site.client.vm.start("restless"))
    first = site.state("restless").domids
    site.done(site.client.vm.unpause("restless"))
    again = site.until("restless", lambda state: state.domids not in {first, ()})
    site.until("restless", lambda state: state.power_state is PowerState.RUNNING)
    assert len(again.domids) == 1
    site.done(site.client.vm.shutdown("restless", None))


@pytest.mark.parametrize("then", ["poweroff", "panic"])
def test_a_guest_that_ends_leaves_a_halted_vm(site: Site, then: str) -> None:
    name = f"ends-by-{then}"
    site.add(name, then=then, on_crash=(VmAction.SHUTDOWN,))
    site.done(site.client.vm.start(name))
    site.done(site.client.vm.unpause(name))
    site.until(name, lambda state: state.power_state is PowerState.HALTED)
    assert site.qemus(name) == []
    assert not site.client.vbd.stat(DeviceId(name, "xvda"))[1].plugged


def test_a_guest_that_is_asked_to_reboot_does(site: Site) -> None:
    site.add("asked")
    site.done(site.client.vm.start("asked"))
    site.done(site.client.vm.unpause("asked"))
    first = site.state("asked")
    site.done(site.client.vm.reboot("asked", PATIENCE_S))
    state = site.state("asked")
    assert state.power_state is PowerState.RUNNING
    assert state.domids != first.domids
    site.done(site.client.vm.shutdown("asked", PATIENCE_S))
    assert site.state("asked").power_state is PowerState.HALTED


def test_a_start_that_cannot_succeed_says_why_and_leaves_the_vm_halted(site: Site) -> None:
    site.add("diskless")
    (site.directory / "diskless.qcow2").unlink()
    with pytest.raises(XenopsError) as raised:
        site.done(site.client.vm.start("diskless"))
    assert isinstance(raised.value.error, InternalError)
    assert "There is no disk" in raised.value.error.message
    assert site.state("diskless").power_state is PowerState.HALTED


def test_a_qemu_that_died_while_its_worker_was_dead_is_cleaned_up_after(site: Site) -> None:
    site.add("lost", on_crash=(VmAction.SHUTDOWN,))
    site.done(site.client.vm.start("lost"))
    [qemu] = site.qemus("lost")
    site.stack.kill(WORKER_KVM)
    os.kill(qemu.process.pid, signal.SIGKILL)
    site.stack.start(WORKER_KVM)
    site.stack.await_answers()
    site.until("lost", lambda state: state.power_state is PowerState.HALTED)
    assert not site.client.vif.stat(DeviceId("lost", "0"))[1].plugged
    site.done(site.client.vm.start("lost"))
    site.done(site.client.vm.shutdown("lost", None))


def test_a_disk_is_plugged_and_unplugged_while_the_guest_runs(site: Site) -> None:
    site.add("plugging")
    site.done(site.client.vm.start("plugging"))
    extra = DeviceId("plugging", "xvdb")
    disk = site.directory / "extra.raw"
    disk.write_bytes(bytes(MIB))
    site.client.vbd.add(Vbd(id=extra, position=(BusType.XEN, 1, 0), backend=LocalDisk(path=str(disk))))
    for _ in range(2):
        site.done(site.client.vbd.plug(extra))
        assert site.client.vbd.stat(extra)[1].plugged
        site.done(site.client.vbd.unplug(extra, force=False))
        assert not site.client.vbd.stat(extra)[1].plugged
    site.done(site.client.vm.shutdown("plugging", None))


@pytest.mark.parametrize("number", range(KILLS))
def test_a_worker_killed_in_a_start_leaves_the_vm_whole_or_halted(site: Site, number: int) -> None:
    """The promise of the walk-through, at moments all over the start; the task ends, once."""
    name = f"killed-{number}"
    vm = site.add(name)
    task = site.client.vm.start(name)
    threading.Event().wait(START_S * (number + random.Random(number).random()) / KILLS)
    site.stack.kill(WORKER_KVM)
    site.stack.start(WORKER_KVM)
    site.stack.await_answers()
    try:
        site.done(task)
    except XenopsError as error:
        assert "was restarted while it executed this" in str(error)  # noqa: PT017  either way is right
    state = site.state(name)
    assert_whole_or_halted(site.client, vm, state)
    assert len(site.qemus(name)) == len(state.domids)
    site.done(site.client.vm.shutdown(name, None))
    assert site.qemus(name) == []
    site.client.vm.remove(name)


def test_a_start_that_is_cancelled_leaves_the_vm_halted_at_every_point(site: Site) -> None:
    """Until there is no point left, and it starts: what was made is taken back, and nobody starts it anew."""
    vm = site.add("cancelled")
    for point in itertools.count(1):
        name = f"cancelled at {point}"
        client = Client(site.client.door, QEMU_INSTANCE, dbg=name, timeout_s=PATIENCE_S)
        client.debug.trigger("set-cancel-trigger", (name, str(point)))
        try:
            wait_for_task(client, client.vm.start(vm.id), PATIENCE_S)
        except XenopsError as error:
            assert isinstance(error.error, Cancelled)  # noqa: PT017  the last one is not cancelled
        else:
            break
        site.done(site.client.vm.delay(vm.id, 0.0))  # it is behind the check that follows the cancel
        state = site.state(vm.id)
        assert state.power_state is PowerState.HALTED
        assert_whole_or_halted(site.client, vm, state)
        assert site.qemus(vm.id) == []
    assert point > POINTS_MIN
    assert site.state(vm.id).power_state is PowerState.PAUSED
    site.done(site.client.vm.shutdown(vm.id, None))


def assert_whole_or_halted(client: Client, vm: Vm, state: VmState) -> None:
    vbd, vif = client.vbd.stat(DeviceId(vm.id, "xvda"))[1], client.vif.stat(DeviceId(vm.id, "0"))[1]
    whole = state.power_state is not PowerState.HALTED
    assert (vbd.plugged, vif.plugged) == (whole, whole)
    assert len(state.domids) == int(whole)
    assert bool(state.consoles) is whole
