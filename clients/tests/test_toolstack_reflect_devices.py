"""States of devices as XenAPI's fields."""

from collections.abc import Mapping
from typing import Any

import pytest
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.pci import PciState
from schema.objects.vbd import VbdState
from schema.objects.vgpu import VgpuState
from schema.objects.vif import VifState
from xenops.toolstack import MemoryDatabase, Site, Source
from xenops.toolstack.records import NULL, VmRecord
from xenops.toolstack.reflect import DeviceNews, apply, pci_news, vbd_news, vgpu_news, vif_news, vusb_news
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, vbd_ref, vdi_ref, vif_ref, vm_ref

VM = vm_ref(1)
GPU = "OpaqueRef:pci"
SR_UUID = "5a000000-0000-4000-8000-000000000000"


class World:
    def __init__(self, vm: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> None:
        self.database = MemoryDatabase(sample_pool())
        self.database.add(sample_vm(1, **vm))
        for name, fields in records.items():
            klass, _, ref = name.partition("/")
            self.database.add({klass: {ref: {"uuid": ref, **fields}}})
        self.source = Source(self.database, Site(host=HOST))

    @property
    def vm(self) -> VmRecord:
        return self.source.get(VmRecord, VM)

    def take(self, news: DeviceNews) -> bool:
        apply(self.database, news.changes)
        return news.forget


def vbd(*, plugged: bool, disk: Disk | None = None, active: bool | None = None) -> VbdState:
    return VbdState(active=plugged if active is None else active, plugged=plugged, backend_present=disk)


def vif(*, plugged: bool, rules: bool = False) -> VifState:
    return VifState(
        active=plugged, plugged=plugged, kthread_pid=0, media_present=plugged, pvs_rules_active=rules
    )


@pytest.mark.parametrize("userdevice", ["0", "xvda"])
def test_a_plugged_disk_is_attached_under_its_name(userdevice: str) -> None:
    world = World({}, {})
    world.database.update("VBD", vbd_ref(1), {"userdevice": userdevice, "VDI": NULL, "empty": True})
    state = vbd(plugged=True, disk=Vdi(name=f"{SR_UUID}/root1"))
    assert not world.take(vbd_news(world.source, world.vm, "xvda", state))
    fields = world.database.fields("VBD", vbd_ref(1))
    assert (fields["device"], fields["currently_attached"]) == ("xvda", True)
    assert (fields["VDI"], fields["empty"]) == (vdi_ref(1), False)


def test_an_empty_drive_is_empty_and_a_disk_never_is() -> None:
    world = World({}, {})
    world.database.update("VBD", cd_ref(1), {"VDI": vdi_ref(1), "empty": False})
    for device in ("xvdd", "xvda"):
        world.take(vbd_news(world.source, world.vm, device, vbd(plugged=True)))
    assert world.database.fields("VBD", cd_ref(1))["VDI"] == NULL
    assert world.database.fields("VBD", cd_ref(1))["empty"]
    assert world.database.fields("VBD", vbd_ref(1))["VDI"] == vdi_ref(1)


@pytest.mark.parametrize("disk", [LocalDisk(path="/dev/x"), Vdi(name="no-such/vdi")])
def test_content_that_no_vdi_stands_for_changes_no_record(disk: Disk) -> None:
    world = World({}, {})
    world.take(vbd_news(world.source, world.vm, "xvda", vbd(plugged=True, disk=disk)))
    assert world.database.fields("VBD", vbd_ref(1))["VDI"] == vdi_ref(1)


def test_a_disk_is_forgotten_when_it_is_neither_plugged_nor_to_be() -> None:
    world = World({}, {})
    assert not world.take(vbd_news(world.source, world.vm, "xvda", vbd(plugged=False, active=True)))
    assert world.database.fields("VBD", vbd_ref(1))["currently_attached"]
    assert world.take(vbd_news(world.source, world.vm, "xvda", vbd(plugged=False)))
    assert not world.database.fields("VBD", vbd_ref(1))["currently_attached"]


def test_a_device_that_xenapi_does_not_know_changes_nothing() -> None:
    world = World({"VBDs": ["OpaqueRef:gone"], "VIFs": ["OpaqueRef:gone"]}, {})
    assert vbd_news(world.source, world.vm, "fda", vbd(plugged=True)) == DeviceNews()
    assert vif_news(world.source, world.vm, "7", vif(plugged=True)) == DeviceNews()
    assert pci_news(world.source, VM, "0000:00:00.0", PciState(plugged=True)) == DeviceNews()
    gpu = VgpuState(active=True, plugged=True)
    assert vgpu_news(world.source, world.vm, "0", gpu) == DeviceNews()
    assert vusb_news(world.source, world.vm, "vusb1-2", PciState(plugged=True)) == DeviceNews()


def test_an_interface_is_attached_and_so_is_what_streams_through_it() -> None:
    world = World({}, {"PVS_proxy/p": {"VIF": vif_ref(1)}, "PVS_proxy/other": {"VIF": "OpaqueRef:else"}})
    assert not world.take(vif_news(world.source, world.vm, "0", vif(plugged=True, rules=True)))
    assert world.database.fields("VIF", vif_ref(1))["currently_attached"]
    assert world.database.fields("PVS_proxy", "p")["currently_attached"]
    assert "currently_attached" not in world.database.fields("PVS_proxy", "other")
    assert world.take(vif_news(world.source, world.vm, "0", vif(plugged=False)))


def gpu_world(implementation: str) -> World:
    vgpu = {"type": "type", "device": "0", "PCI": GPU, "scheduled_to_be_resident_on": "OpaqueRef:pgpu"}
    records: Mapping[str, Mapping[str, Any]] = {
        "VGPU/vgpu": vgpu,
        "VGPU/other": {"type": "type", "device": "1"},
        "VGPU_type/type": {"implementation": implementation},
        f"PCI/{GPU}": {"pci_id": "0000:3b:00.0", "attached_VMs": ["other"]},
        "PCI/else": {"pci_id": "0000:3c:00.0"},
    }
    return World({"VGPUs": ["other", "vgpu"]}, records)


def test_a_pci_device_and_the_gpu_that_it_is_are_attached_and_detached() -> None:
    world = gpu_world("passthrough")
    world.take(pci_news(world.source, VM, "0000:3b:00.0", PciState(plugged=True)))
    assert world.database.fields("PCI", GPU)["attached_VMs"] == ["other", VM]
    assert world.database.fields("VM", VM)["attached_PCIs"] == [GPU]
    gpu = world.database.fields("VGPU", "vgpu")
    assert (gpu["currently_attached"], gpu["resident_on"]) == (True, "OpaqueRef:pgpu")
    assert gpu["scheduled_to_be_resident_on"] == NULL
    world.take(pci_news(world.source, VM, "0000:3b:00.0", PciState(plugged=False)))
    assert world.database.fields("PCI", GPU)["attached_VMs"] == ["other"]
    assert not world.database.fields("VGPU", "vgpu")["currently_attached"]


def test_a_virtual_gpu_moves_to_where_it_was_scheduled_once_it_is_plugged() -> None:
    world = gpu_world("mxgpu")
    state = VgpuState(active=True, plugged=False)
    assert not world.take(vgpu_news(world.source, world.vm, "0", state))
    assert "resident_on" not in world.database.fields("VGPU", "vgpu")
    assert not world.take(vgpu_news(world.source, world.vm, "0", state.model_copy(update={"plugged": True})))
    assert world.database.fields("VGPU", "vgpu")["resident_on"] == "OpaqueRef:pgpu"
    assert world.take(vgpu_news(world.source, world.vm, "0", VgpuState(active=False, plugged=False)))


def test_a_gpu_that_is_passed_through_is_no_virtual_one() -> None:
    world = gpu_world("passthrough")
    assert vgpu_news(world.source, world.vm, "0", VgpuState(active=True, plugged=True)) == DeviceNews()


def test_a_usb_device_is_attached() -> None:
    records: Mapping[str, Mapping[str, Any]] = {
        "VUSB/vusb": {"USB_group": "group"},
        "VUSB/other": {"USB_group": "other-group"},
        "USB_group/group": {"PUSBs": ["pusb"]},
        "USB_group/other-group": {"PUSBs": ["other-pusb"]},
        "PUSB/pusb": {"path": "1-2"},
        "PUSB/other-pusb": {"path": "1-3"},
    }
    world = World({"VUSBs": ["other", "vusb"]}, records)
    world.take(vusb_news(world.source, world.vm, "vusb1-2", PciState(plugged=True)))
    assert world.database.fields("VUSB", "vusb")["currently_attached"]
    assert "currently_attached" not in world.database.fields("VUSB", "other")
