"""A saved state comes into a domain with its devices, by names of the host that it comes to."""

from typing import Any

import pytest
from engine.backend import Devices
from engine.conformance.samples import sample_vbd, sample_vm
from engine.hosted.machine import Source
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.errors import InternalError
from schema.objects.network import LocalNetwork
from schema.objects.vbd import Vbd, VbdType
from schema.objects.vif import Vif
from worker_kvm.kind import Kind
from worker_kvm.qemu.arriving import Here, fitted
from worker_kvm.qemu.framing import Head
from worker_kvm.qemu.machine import Disk, Domain, Nic, Slot

THERE = LocalDisk(path="/there.raw")
HERE = LocalDisk(path="/here.raw")
POSITION = (BusType.XEN, 3, 0)
EMPTY = Domain(domid=9, vm=sample_vm(vcpus=1, memory_static_max=1), created_at=5.0, memory_target_bytes=0)


SOURCE = Source(path="/there.raw", format="raw")


def disk(source: Source | None = SOURCE, **fields: Any) -> Disk:
    vbd = sample_vbd(position=POSITION, backend=THERE)
    return Disk(vbd=vbd, slot=Slot(bus="scsi", unit=3), source=source, **({"activated": True} | fields))


def nic() -> Nic:
    return Nic(vif=vif(bridge="xenbr0"), tap="vif4.1", plugs=6)


def vif(bridge: str) -> Vif:
    return Vif(
        id=DeviceId("v1", "1"), position=1, mac="52:54:00:00:00:01", backend=LocalNetwork(bridge=bridge)
    )


def head(**fields: Any) -> Head:
    kept = Domain(
        domid=4, vm=sample_vm(), created_at=1.0, memory_target_bytes=77, nic_plugs=8, usb_port=6, usb_plugs=2
    )
    return Head(machine="pc-q35-7.2", accelerator="tcg", domain=kept.model_copy(update=fields))


def find(_: Vbd, backend: LocalDisk | Vdi, owner: str) -> Source:
    assert owner == str(EMPTY.domid)
    assert isinstance(backend, LocalDisk)
    return Source(path=backend.path, format="raw")


def fit(kept: Head, *, bridged: bool = True, **devices: Any) -> Domain:
    return fitted(EMPTY, kept, Devices(**devices), Here(find, bridged))


def refusal(kept: Head, **devices: Any) -> str:
    with pytest.raises(XenopsError) as caught:
        fit(kept, **devices)
    assert isinstance(caught.value.error, InternalError)
    return caught.value.error.message


def test_the_machine_is_as_large_as_it_was() -> None:
    domain = fit(head())
    assert (domain.domid, domain.created_at, domain.machine) == (9, 5.0, "pc-q35-7.2")
    assert (domain.vm.vcpus, domain.vm.memory_static_max) == (2, 256 << 20)
    assert (domain.memory_target_bytes, domain.nic_plugs) == (77, 8)
    assert (domain.usb_port, domain.usb_plugs) == (6, 2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("pc-q35-7.2", Kind.Q35), ("pc-i440fx-7.2", Kind.PC), ("microvm", Kind.MICROVM)],
)
def test_the_machine_is_of_the_kind_that_it_was_whatever_the_vm_would_be_now(name: str, kind: Kind) -> None:
    domain = fit(head().model_copy(update={"machine": name}))
    assert (domain.kind, domain.machine) == (kind, name)


def test_a_machine_that_no_vm_has_is_not_taken_in() -> None:
    with pytest.raises(ValueError, match="of a machine 'isapc', which no VM has"):
        fit(head().model_copy(update={"machine": "isapc"}))


def test_a_disk_keeps_its_place_and_has_the_content_that_is_here() -> None:
    [found] = fit(head(disks=(disk(),)), vbds=(sample_vbd(backend=HERE),)).disks
    assert (found.slot.unit, found.vbd.position, found.source) == (
        3,
        POSITION,
        find(found.vbd, HERE, EMPTY.owner),
    )


def test_a_disk_that_the_guest_did_not_have_stays_out() -> None:
    assert fit(head(disks=(disk(activated=False),))).disks == ()


def test_a_drive_may_be_empty() -> None:
    cd = sample_vbd(ty=VbdType.CDROM)
    [found] = fit(head(disks=(disk(source=None),)), vbds=(cd,)).disks
    assert found.source is None


@pytest.mark.parametrize("tap", ["vif9.1", None])
def test_an_interface_keeps_its_place_and_has_the_network_that_is_here(tap: str | None) -> None:
    [found] = fit(head(nics=(nic(),)), bridged=tap is not None, vifs=(vif("xenbr7"),)).nics
    assert (found.device, found.tap, found.vif.backend) == ("nic1-6", tap, LocalNetwork(bridge="xenbr7"))


def test_a_device_that_the_vm_has_no_more_is_named() -> None:
    assert "has the VBD xvda, which the VM has not: add it" in refusal(head(disks=(disk(),)))
    assert "has the VIF 1, which the VM has not: add it" in refusal(head(nics=(nic(),)))


def test_what_was_written_aside_at_another_host_is_not_lost_in_silence() -> None:
    aside = disk(source=Source(path="/run/overlays/1.qcow2", format="qcow2"))
    assert "kept aside by the host" in refusal(head(disks=(aside,)), vbds=(sample_vbd(backend=HERE),))


def test_a_disk_of_a_storage_service_is_known_by_its_name() -> None:
    kept = disk().model_copy(update={"vbd": sample_vbd(backend=Vdi(name="sr/vdi")), "source": None})
    assert fit(head(disks=(kept,)), vbds=(sample_vbd(backend=HERE),)).disks
