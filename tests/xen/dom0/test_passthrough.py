"""A PCI device of the host in a guest, on a machine with an IOMMU: plugged, seen, taken away, given anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.backend import Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, refusal
from guest_subject import GuestSubject
from leftovers import nothing_left
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.pci import Pci, PciAddress
from schema.objects.vm import Vm
from xen_guests import UP, await_words
from xen_lives import Shell
from xenlight_subject import XenlightSubject

SUBJECTS = {"classic": ClassicSubject, "xenlight": XenlightSubject}
MIB = 1 << 20
E1000 = ("0x8086", "0x100e")
"""What tools/xen_machine.py gives such a machine to spare."""


@pytest.fixture(name="subject", params=SUBJECTS)
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GuestSubject]:
    with nothing_left():
        subject = SUBJECTS[request.param](tmp_path)
        yield subject
        subject.end()


def spare_device() -> PciAddress:
    for device in Path("/sys/bus/pci/devices").iterdir():
        if ((device / "vendor").read_text().strip(), (device / "device").read_text().strip()) == E1000:
            domain, bus, rest = device.name.split(":")
            dev, fn = rest.split(".")
            return PciAddress(domain=int(domain, 16), bus=int(bus, 16), dev=int(dev, 16), fn=int(fn, 16))
    pytest.fail("this machine has no PCI device to spare")


def roomy(subject: GuestSubject, *words: str) -> Vm:
    """With room for the bounce buffers that a PV guest with PCI devices has."""
    size = 192 * MIB
    memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
    return subject.vm("xenops.pci", *words).model_copy(update=memory)


def pci_of(vm: Vm) -> Pci:
    return Pci(id=DeviceId(vm.id, "0"), position=0, address=spare_device())


def test_a_guest_has_a_device_from_the_beginning_and_lets_go_of_it(subject: GuestSubject) -> None:
    vm = roomy(subject)
    pci = pci_of(vm)
    life, verbs = Life(subject, vm, Devices(pcis=(pci,))), subject.backend.pci
    life.start()
    verbs.plug(SuiteExecution(), life.id, pci, use_qmp=True)
    verbs.plug(SuiteExecution(), life.id, pci, use_qmp=True)
    assert verbs.get_state(life.id, pci).plugged
    subject.backend.vm.unpause(SuiteExecution(), vm)
    await_words(vm.id, UP)
    shell = Shell(subject, vm)
    shell.tell("until cat /sys/bus/pci/devices/*/device; do sleep 0.1; done; echo the first $((1 + 1))")
    await_words(vm.id, "the first 2")
    await_words(vm.id, E1000[1])
    verbs.unplug(SuiteExecution(), life.id, pci)
    verbs.unplug(SuiteExecution(), life.id, pci)
    assert not verbs.get_state(life.id, pci).plugged
    shell.tell("while ls /sys/bus/pci/devices/*/device; do sleep 0.1; done; echo gone $((1 + 1))")
    await_words(vm.id, "gone 2")
    life.stop()


def test_a_device_comes_to_a_guest_that_runs_and_goes_with_it(subject: GuestSubject) -> None:
    """The next one gets it."""
    for _ in range(2):
        vm = roomy(subject)
        pci = pci_of(vm)
        life, verbs = Life(subject, vm, Devices(pcis=(pci,))), subject.backend.pci
        life.start()
        subject.backend.vm.unpause(SuiteExecution(), vm)
        await_words(vm.id, UP)
        verbs.plug(SuiteExecution(), life.id, pci, use_qmp=True)
        Shell(subject, vm).tell("until cat /sys/bus/pci/devices/*/device; do sleep 0.1; done")
        await_words(vm.id, E1000[1])
        subject.backend.vm.pause(SuiteExecution(), vm)
        verbs.unplug(SuiteExecution(), life.id, pci)
        life.stop()


def test_a_device_that_another_guest_has_is_not_given_twice(subject: GuestSubject) -> None:
    lives = []
    for vm in (roomy(subject), roomy(subject)):
        lives.append(Life(subject, vm, Devices(pcis=(pci_of(vm),))))
        lives[-1].start()
    verbs = subject.backend.pci
    first, second = (life.devices.pcis[0] for life in lives)
    verbs.plug(SuiteExecution(), lives[0].id, first, use_qmp=True)
    error = refusal(lambda: verbs.plug(SuiteExecution(), lives[1].id, second, use_qmp=True))
    assert isinstance(error, InternalError)
    assert not verbs.get_state(lives[1].id, second).plugged
    assert verbs.get_state(lives[0].id, first).plugged
    verbs.unplug(SuiteExecution(), lives[0].id, first)
    for life in lives:
        life.stop()
