"""What a domain has and where: positions, slots, refusals."""

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.errors import AlreadyExists, DomainNotBuilt, InternalError
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, Pv, PvDirectBoot, PvInfo, Vm
from worker_kvm.qemu.machine import (
    Disk,
    Machine,
    Nic,
    Process,
    Slot,
    attached,
    created,
    plugged,
)

HVM = sample_vm(ty=Hvm(info=HvmInfo()))
PV = sample_vm(ty=Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k")))))


def machine(vm: Vm = HVM) -> Machine:
    return created(Machine(id=vm.id), vm, 3, 5.0)


def vbd(device: str = "xvda", position: DeviceNumber | None = None) -> Vbd:
    return Vbd(id=DeviceId("v1", device), position=position)


def vif(position: int, device: str | None = None) -> Vif:
    return Vif(id=DeviceId("v1", device or str(position)), position=position)


def slot(found: Machine, device: str) -> Slot:
    disk = found.disk(DeviceId("v1", device))
    assert isinstance(disk, Disk)
    return disk.slot


def nic(found: Machine, device: str) -> Nic:
    interface = found.nic(DeviceId("v1", device))
    assert isinstance(interface, Nic)
    return interface


def test_a_domain_can_run_once_it_is_built_and_qemu_runs() -> None:
    process = Process(pid=1, started=2)
    assert refusal(machine().launched) == DomainNotBuilt()
    assert refusal(machine().with_domain(built=True).launched) == DomainNotBuilt()
    assert machine().with_domain(built=True, process=process).launched().process == process


def test_a_domain_is_created_again_until_it_is_built() -> None:
    found = machine()
    assert created(found, HVM, 4, 6.0) is found
    built = found.with_domain(built=True)
    assert refusal(lambda: created(built, HVM, 4, 6.0)) == AlreadyExists(klass="domain", id="v1")


@pytest.mark.parametrize(
    ("vm", "position", "expected"),
    [
        (HVM, (BusType.IDE, 0, 0), Slot(bus="sata", unit=0)),
        (HVM, (BusType.IDE, 5, 0), Slot(bus="sata", unit=5)),
        (HVM, (BusType.IDE, 6, 0), Slot(bus="scsi", unit=6)),
        (HVM, (BusType.XEN, 0, 0), Slot(bus="scsi", unit=0)),
        (HVM, (BusType.SCSI, 255, 0), Slot(bus="scsi", unit=255)),
        (PV, (BusType.IDE, 0, 0), Slot(bus="scsi", unit=0)),
    ],
)
def test_a_disk_has_a_slot_by_its_position(vm: Vm, position: DeviceNumber, expected: Slot) -> None:
    assert slot(attached(machine(vm), vbd(position=position), None), "xvda") == expected


@pytest.mark.parametrize(("unit", "expected"), [(3, Slot(bus="ide", unit=3)), (4, Slot(bus="scsi", unit=4))])
def test_a_pc_has_four_places_for_disks_without_a_driver(unit: int, expected: Slot) -> None:
    pc = HVM.model_copy(update={"platformdata": (("machine", "pc"),)})
    assert slot(attached(machine(pc), vbd(position=(BusType.IDE, unit, 0)), None), "xvda") == expected


def test_a_microvm_has_five_interfaces() -> None:
    small = machine(PV.model_copy(update={"platformdata": (("machine", "microvm"),)}))
    assert nic(plugged(small, vif(4), bridged=True), "4").place == 4
    error = refusal(lambda: plugged(small, vif(5), bridged=True))
    assert isinstance(error, InternalError)
    assert "positions 0 to 4" in error.message


def test_a_disk_that_comes_while_qemu_runs_is_on_scsi() -> None:
    running = machine().with_domain(process=Process(pid=1, started=2))
    assert slot(attached(running, vbd(position=(BusType.IDE, 0, 0)), None), "xvda").bus == "scsi"


def test_a_disk_without_a_position_takes_the_next_one() -> None:
    found = attached(attached(machine(), vbd(), None), vbd("xvdb", (BusType.XEN, 7, 0)), None)
    found = attached(found, vbd("xvdc"), None)
    assert [slot(found, device).unit for device in ("xvda", "xvdb", "xvdc")] == [0, 7, 8]
    assert attached(found, vbd("xvdc"), None) is found


def test_two_disks_do_not_take_one_slot() -> None:
    found = attached(machine(), vbd("xvda", (BusType.XEN, 1, 0)), None)
    error = refusal(lambda: attached(found, vbd("sdb", (BusType.SCSI, 1, 0)), None))
    assert error == AlreadyExists(klass="vbd", id="Scsi(1, 0)")


@pytest.mark.parametrize("number", [-1, 256])
def test_a_disk_beyond_the_last_position_is_refused(number: int) -> None:
    error = refusal(lambda: attached(machine(), vbd(position=(BusType.XEN, number, 0)), None))
    assert isinstance(error, InternalError)
    assert "positions 0 to 255" in error.message


@pytest.mark.parametrize("position", [-1, 8])
def test_an_interface_beyond_the_last_position_is_refused(position: int) -> None:
    error = refusal(lambda: plugged(machine(), vif(position), bridged=True))
    assert isinstance(error, InternalError)
    assert "positions 0 to 7" in error.message


def test_each_plug_of_an_interface_has_names_of_its_own() -> None:
    first = plugged(machine(), vif(2), bridged=True)
    assert (nic(first, "2").tap, nic(first, "2").device) == ("vif3.2", "nic2-0")
    assert plugged(first, vif(2), bridged=True) is first
    again = plugged(first.without_nic(vif(2).id), vif(2), bridged=False)
    assert (nic(again, "2").tap, nic(again, "2").device, nic(again, "2").netdev) == (None, "nic2-1", "net2-1")
