"""A directory that an older original has written is read as it is."""

import json
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.store import FileStore
from schema.ids import DeviceId
from schema.objects.errors import DoesNotExist, InternalError
from schema.objects.vm import Hvm

ID = "aaaaaaaa-0000-4000-8000-000000000001"
OLD_VM = {
    "pci_power_mgmt": False,
    "pci_msitranslate": True,
    "on_reboot": ["Start"],
    "on_shutdown": ["Shutdown"],
    "on_crash": ["Shutdown"],
    "scheduler_params": {"affinity": [[0, 1]], "priority": [256, 0]},
    "vcpus": 2,
    "vcpu_max": 2,
    "memory_dynamic_min": 134217728,
    "memory_dynamic_max": 134217728,
    "memory_static_max": 134217728,
    "suppress_spurious_page_faults": False,
    "ty": ["HVM", {"timeoffset": "7", "boot_order": "cd", "a_field_of_old": 1}],
    "bios_strings": {},
    "platformdata": {"acpi": "1"},
    "xsdata": {},
    "ssidref": 0,
    "id": ID,
}
"""Without the fields that came later, and with one that went."""
OLD_VBD = {"ty": "Disk", "mode": "ReadWrite", "id": [ID, "xvda"]}
OLD_PCI = {
    "position": 0,
    "address": {"domain": 0, "bus": 4, "dev": 0, "fn": 0},
    "id": [ID, "0000:04:00.0"],
}
ADDRESS = DeviceId(ID, "0000:04:00.0")


@pytest.fixture(name="root")
def write_as_the_original(tmp_path: Path) -> Path:
    vm, pci = tmp_path / "VM" / ID, tmp_path / "PCI" / ID
    for directory in (vm, pci, tmp_path / "extra", tmp_path / "domain"):
        directory.mkdir(parents=True, mode=0o755)
    (vm / "config").write_text(json.dumps(OLD_VM))
    (vm / "vbd.xvda").write_text(json.dumps(OLD_VBD))
    (pci / "pci.0000:04:00.0").write_text(json.dumps(OLD_PCI))
    (tmp_path / "extra" / ID).write_text("{}")
    return tmp_path


def test_what_later_fields_are_is_what_the_original_takes_them_for(root: Path) -> None:
    vm = FileStore(root).read(ID)
    assert vm.name == "unnamed"
    assert vm.has_vendor_device is False
    assert isinstance(vm.ty, Hvm)
    assert (vm.ty.info.timeoffset, vm.ty.info.hap, vm.ty.info.shadow_multiplier) == ("7", True, 1.0)
    [vbd] = FileStore(root).vbds.list(ID)
    assert (vbd.persistent, vbd.unpluggable, vbd.backend) == (True, True, None)


def test_pci_devices_are_found_where_the_original_keeps_them(root: Path) -> None:
    store = FileStore(root)
    assert store.pcis.read(ADDRESS).address.bus == 4
    assert [pci.id for pci in store.devices(ID).pcis] == [ADDRESS]
    assert not (root / "PCI" / ID).exists()
    store.remove(ID)
    assert FileStore(root).devices(ID).pcis == ()


def test_a_pci_device_that_was_written_since_is_not_replaced_by_an_old_one(root: Path) -> None:
    store = FileStore(root)
    store.pcis.write(store.pcis.read(ADDRESS).model_copy(update={"position": 7}))
    (root / "PCI" / ID).mkdir()
    (root / "PCI" / ID / "pci.0000:04:00.0").write_text(json.dumps(OLD_PCI))
    assert FileStore(root).pcis.read(ADDRESS).position == 7


def test_what_is_no_vms_is_left_where_it_is(root: Path) -> None:
    stray = root / "PCI" / "gone" / "pci.0000:04:00.0"
    stray.parent.mkdir()
    stray.write_text("{}")
    odd = root / "PCI" / ID / "pci.a b"
    odd.write_text("{}")
    store = FileStore(root)
    assert store.ids() == (ID,)
    assert stray.exists()
    assert odd.exists()
    assert refusal(store.pcis.read, DeviceId("gone", "0000:04:00.0")) == DoesNotExist(
        klass="PCI", id="gone/pci.0000:04:00.0"
    )


def test_a_vm_that_lacks_what_the_original_requires_is_damaged(root: Path) -> None:
    (root / "VM" / ID / "config").write_text(json.dumps({"id": ID}))
    error = refusal(FileStore(root).read, ID)
    assert isinstance(error, InternalError)
    assert "is damaged" in error.message
