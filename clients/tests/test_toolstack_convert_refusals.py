"""Records that make no sense are refused in XenAPI's words."""

from collections.abc import Mapping
from typing import Any

import pytest
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.database import MemoryDatabase
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, vbd_ref, vdi_ref, vif_ref, vm_ref

PASSED = {"VGPUs": ["OpaqueRef:vgpu"]}
RESETS = {"on_boot": "reset", "other_config": {"timeoffset": "7200"}}


Records = Mapping[str, Mapping[str, Any]]


def refusal(vm: Mapping[str, Any], records: Records) -> XenApiFailure:
    """Why the sample VM with other fields and records, by `class/reference`, is refused."""
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1, **vm))
    for klass, ref in (("VBD", vbd_ref(1)), ("VBD", cd_ref(1)), ("VIF", vif_ref(1))):
        database.update(klass, ref, {"currently_attached": True})
    for name, fields in records.items():
        klass, _, ref = name.partition("/")
        known = database.fields(klass, ref) if ref in database.refs(klass) else {"uuid": "u"}
        database.add({klass: {ref: {**known, **fields}}})
    with pytest.raises(XenApiFailure) as raised:
        metadata_of(Source(database, Site(host=HOST)), vm_ref(1))
    return raised.value


@pytest.mark.parametrize(
    ("vm", "code"),
    [
        ({"domain_type": "unspecified"}, "INTERNAL_ERROR"),
        ({"HVM_boot_params": {"firmware": "openfirmware"}}, "INVALID_VALUE"),
        ({"HVM_boot_params": {"firmware": "uefi"}, "NVRAM": {"EFI-variables-on-boot": "x"}}, "INVALID_VALUE"),
        ({"platform": {"device-model": "qemu-upstream-uefi"}}, "INVALID_VALUE"),
        (
            {"HVM_boot_params": {"firmware": "uefi"}, "platform": {"device-model": "qemu-trad"}},
            "INVALID_VALUE",
        ),
        ({"VTPMs": ["OpaqueRef:a"]}, "NOT_IMPLEMENTED"),
        ({"HVM_boot_params": {"firmware": "uefi"}, "VTPMs": ["a", "b"]}, "INTERNAL_ERROR"),
        ({"domain_type": "pvh", "PV_kernel": "/var/lib/xcp/guest/../../../../etc/passwd"}, "INVALID_VALUE"),
        ({"domain_type": "pv", "PV_kernel": "/var/lib/xcp/guestelse"}, "INVALID_VALUE"),
        ({"VBDs": ["OpaqueRef:gone"]}, "HANDLE_INVALID"),
    ],
)
def test_a_vm_that_makes_no_sense_is_refused(vm: Mapping[str, Any], code: str) -> None:
    assert refusal(vm, {}).code == code


@pytest.mark.parametrize(
    ("cores", "code"),
    [
        ("3", "VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE"),
        ("0", "VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE"),
        ("x", "INVALID_VALUE"),
    ],
)
def test_cores_and_vcpus_must_fit_where_the_key_is_passed_on(cores: str, code: str) -> None:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1, platform={"cores-per-socket": cores}))
    with pytest.raises(XenApiFailure) as raised:
        metadata_of(Source(database, Site(host=HOST, filters_platform=False)), vm_ref(1))
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ({f"VBD/{vbd_ref(1)}": {"userdevice": "nowhere"}}, "INVALID_DEVICE"),
        ({"PIF/OpaqueRef:pif": {"sriov_logical_PIF_of": ["OpaqueRef:s"]}}, "INTERNAL_ERROR"),
        ({f"VIF/{vif_ref(1)}": {"network": "OpaqueRef:gone"}}, "HANDLE_INVALID"),
        (
            {f"VDI/{vdi_ref(1)}": RESETS, f"VBD/{cd_ref(1)}": {"VDI": vdi_ref(1), "empty": False}},
            "VM_ATTACHED_TO_MORE_THAN_ONE_VDI_WITH_TIMEOFFSET_MARKED_AS_RESET_ON_BOOT",
        ),
    ],
)
def test_a_device_that_makes_no_sense_is_refused(records: Records, code: str) -> None:
    assert refusal({}, records).code == code


@pytest.mark.parametrize(
    ("config", "pgpu", "code"),
    [
        ({"vgt_low_gm_sz": "x"}, {"PCI": "OpaqueRef:gpu"}, "INVALID_VALUE"),
        ({}, {"PCI": "OpaqueRef:gone"}, "HANDLE_INVALID"),
    ],
)
def test_a_virtual_gpu_without_what_its_maker_needs_is_refused(
    config: Mapping[str, str], pgpu: Mapping[str, str], code: str
) -> None:
    records: Records = {
        "VGPU/OpaqueRef:vgpu": {"type": "OpaqueRef:type", "resident_on": "OpaqueRef:pgpu"},
        "VGPU_type/OpaqueRef:type": {"implementation": "gvt_g", "internal_config": config},
        "PGPU/OpaqueRef:pgpu": pgpu,
        "PCI/OpaqueRef:gpu": {"pci_id": "0000:00:02.0"},
    }
    assert refusal(PASSED, records).code == code


def test_a_virtual_gpu_that_is_nowhere_yet_is_refused() -> None:
    records: Records = {
        "VGPU/OpaqueRef:vgpu": {"type": "OpaqueRef:type"},
        "VGPU_type/OpaqueRef:type": {"implementation": "gvt_g"},
    }
    assert "schedule it first" in str(refusal(PASSED, records))


def test_an_address_that_is_none_is_refused() -> None:
    records: Records = {
        "VGPU/OpaqueRef:vgpu": {"type": "OpaqueRef:type", "PCI": "OpaqueRef:gpu"},
        "VGPU_type/OpaqueRef:type": {},
        "PCI/OpaqueRef:gpu": {"pci_id": "somewhere"},
    }
    assert refusal(PASSED, records).params == ("PCI.pci_id", "somewhere")


def test_a_usb_group_without_a_device_is_refused() -> None:
    records: Records = {
        "VUSB/OpaqueRef:vusb": {"USB_group": "OpaqueRef:group", "currently_attached": True},
        "USB_group/OpaqueRef:group": {"PUSBs": []},
    }
    assert "is empty" in str(refusal({"VUSBs": ["OpaqueRef:vusb"]}, records))
