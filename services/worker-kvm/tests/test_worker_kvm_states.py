"""What clients are told of VMs on QEMU."""

from pathlib import Path

import pytest
from engine.conformance.samples import sample_vm
from schema.objects.halted import HALTED_VM
from schema.objects.vm import (
    BuilderInfo,
    ConsoleProtocol,
    DirectBoot,
    DomainType,
    Hvm,
    HvmInfo,
    PowerState,
    Pv,
    PvDirectBoot,
    Pvh,
    PvInfo,
    PvInPvh,
)
from worker_kvm.qemu.command import Sockets
from worker_kvm.qemu.guest_agent import Told
from worker_kvm.qemu.machine import Machine, Process, built, created, restored, resumed, saved
from worker_kvm.qemu.states import vm_state
from worker_kvm.watched import Seen, Status

SOCKETS = Sockets(Path("/run/7"))
INFO = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k")), framebuffer=False)


def machine(ty: BuilderInfo) -> Machine:
    vm = sample_vm(ty=ty)
    return created(Machine(id=vm.id), vm, 7, 5.0).with_domain(process=Process(pid=1, started=1))


@pytest.mark.parametrize(
    ("ty", "told"),
    [
        (Hvm(info=HvmInfo()), DomainType.DOMAIN_HVM),
        (Pv(info=INFO), DomainType.DOMAIN_PV),
        (PvInPvh(info=INFO), DomainType.DOMAIN_PVIN_PVH),
        (Pvh(info=INFO), DomainType.DOMAIN_PVH),
    ],
)
def test_each_kind_of_guest_is_told(ty: BuilderInfo, told: DomainType) -> None:
    assert vm_state(machine(ty), Seen(Status.RUNNING, 1), SOCKETS).domain_type is told


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (None, PowerState.PAUSED),
        (Status.PAUSED, PowerState.PAUSED),
        (Status.RUNNING, PowerState.RUNNING),
        (Status.ENDED, PowerState.RUNNING),
    ],
)
def test_a_domain_is_paused_or_running(status: Status | None, told: PowerState) -> None:
    seen = None if status is None else Seen(status, 5)
    state = vm_state(machine(Pvh(info=INFO)), seen, SOCKETS)
    assert state.power_state is told
    assert state.memory_actual == (0 if seen is None else 5)


def test_without_a_domain_a_vm_is_halted() -> None:
    assert vm_state(Machine(id="v1"), None, SOCKETS) == HALTED_VM


def test_consoles_are_there_while_qemu_is() -> None:
    with_screen, without = machine(Hvm(info=HvmInfo())), machine(Pvh(info=INFO))
    protocols = [found.protocol for found in vm_state(with_screen, None, SOCKETS).consoles]
    assert protocols == [ConsoleProtocol.RFB, ConsoleProtocol.VT100]
    assert [found.path for found in vm_state(without, None, SOCKETS).consoles] == ["/run/7/console"]
    assert vm_state(without.with_domain(process=None), None, SOCKETS).consoles == ()


def test_a_vm_is_suspended_by_its_image_until_a_domain_is_restored_or_goes_on() -> None:
    kept = saved(machine(Hvm(info=HvmInfo())))
    assert kept.suspended is not None
    assert kept.suspended.process is None
    for found in (kept, kept.but(domain=None)):
        state = vm_state(found, None, SOCKETS)
        assert (state.power_state, state.domids, state.consoles) == (PowerState.SUSPENDED, (7,), ())
    assert resumed(kept).suspended is None
    assert not resumed(kept).living().suspended
    back = restored(kept, new_here=True)
    assert (back.suspended, back.living().action, back.living().new_here) == (None, None, True)
    assert built(kept).suspended is None


def test_what_an_agent_said_is_shown_and_shows_that_the_guest_has_drivers() -> None:
    vm, seen = machine(Hvm(info=HvmInfo())), Seen(Status.RUNNING, 1)
    silent = vm_state(vm, seen, SOCKETS)
    assert (silent.guest_agent, silent.pv_drivers_detected) == ((), False)
    told = vm_state(vm, seen, SOCKETS, Told(system=(("data/os_name", "Tiny"),)))
    assert dict(told.guest_agent)["data/os_name"] == "Tiny"
    assert told.pv_drivers_detected
