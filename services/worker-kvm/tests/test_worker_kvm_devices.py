"""Devices in QEMU's words, beyond what the reviewed command lines show."""

from engine.conformance.samples import sample_vm
from schema.ids import DeviceId
from schema.objects.vbd import Vbd, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, PvDirectBoot, Pvh, PvInfo
from worker_kvm.kind import Kind
from worker_kvm.qemu.devices import boot_indexes, disk_device, nic_device
from worker_kvm.qemu.machine import (
    Disk,
    Machine,
    Nic,
    Slot,
    created,
)

CD = Disk(vbd=Vbd(id=DeviceId("v1", "xvdd"), ty=VbdType.CDROM), slot=Slot(bus="scsi", unit=3), source=None)
HD = Disk(vbd=Vbd(id=DeviceId("v1", "hda")), slot=Slot(bus="sata", unit=0), source=None)
NIC = Nic(vif=Vif(id=DeviceId("v1", "0"), carrier=False), tap="vif1.0")
KERNEL = DirectBoot(boot=PvDirectBoot(kernel="/k"))


def machine(**fields: object) -> Machine:
    vm = sample_vm()
    return created(Machine(id=vm.id), vm, 1, 0.0).with_domain(**fields)


def test_without_a_choice_disks_then_drives_then_the_network_are_tried() -> None:
    vm = sample_vm(ty=Hvm(info=HvmInfo()))
    assert boot_indexes(vm, [CD, HD], [NIC]) == {"sata0": 0, "scsi3": 1, "nic0-0": 2}


def test_a_class_that_is_not_named_is_not_tried() -> None:
    assert boot_indexes(sample_vm(ty=Hvm(info=HvmInfo(boot_order="nx"))), [CD, HD], [NIC]) == {"nic0-0": 0}


def test_a_guest_with_a_kernel_tries_nothing() -> None:
    assert boot_indexes(sample_vm(ty=Pvh(info=PvInfo(boot=KERNEL))), [CD, HD], [NIC]) == {}


def test_only_what_boots_has_a_boot_index() -> None:
    assert "bootindex" not in disk_device(HD) | nic_device(NIC, Kind.Q35)
    assert nic_device(NIC, Kind.Q35, 4)["bootindex"] == 4
