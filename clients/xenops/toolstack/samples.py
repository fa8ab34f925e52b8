"""Samples: a small pool's records as XenAPI returns them, for examples, benchmarks and tests."""

from collections.abc import Mapping
from typing import Any

from xenops.toolstack.database import Records
from xenops.toolstack.records.scalars import NULL

HOST = "OpaqueRef:host"
SR = "OpaqueRef:sr"
NETWORK = "OpaqueRef:network"
PIF = "OpaqueRef:pif"

_BYTES = str(256 << 20)


def sample_pool() -> Records:
    """One host with one SR and one network."""
    return {
        "SR": {SR: {"uuid": "5a000000-0000-4000-8000-000000000000", "type": "ext", "PBDs": []}},
        "SM": {
            "OpaqueRef:sm": {
                "uuid": "5b000000-0000-4000-8000-000000000000",
                "type": "ext",
                "required_api_version": "3.0",
            }
        },
        "network": {
            NETWORK: {
                "uuid": "4e000000-0000-4000-8000-000000000000",
                "bridge": "xenbr0",
                "MTU": "1500",
                "other_config": {},
                "default_locking_mode": "unlocked",
                "PIFs": [PIF],
            }
        },
        "PIF": {
            PIF: {
                "uuid": "4f000000-0000-4000-8000-000000000000",
                "host": HOST,
                "VLAN": "-1",
                "metrics": NULL,
                "VLAN_master_of": NULL,
                "sriov_logical_PIF_of": [],
            }
        },
    }


def sample_vm(number: int, **fields: Any) -> Records:
    """A VM with a disk, a CD drive without a CD, a network interface and a disk to suspend to.

    Its references are `vm_ref(number)` and so on; `fields` replace fields of the VM.
    """
    ref, vdi = vm_ref(number), vdi_ref(number)
    return {
        "VM": {ref: {**_vm(number), **fields}},
        "VM_metrics": {f"{ref}-metrics": {"uuid": _uuid("a2", number), "start_time": "19700101T00:00:00Z"}},
        "VBD": {vbd_ref(number): _vbd(number, 0, vdi), cd_ref(number): _vbd(number, 3, NULL)},
        "VDI": {vdi: _vdi(number, "root"), suspend_ref(number): _vdi(number, "suspend")},
        "VIF": {vif_ref(number): _vif(number)},
    }


def vm_ref(number: int) -> str:
    """The reference of a sample VM."""
    return f"OpaqueRef:vm{number}"


def vbd_ref(number: int) -> str:
    """The reference of its disk."""
    return f"OpaqueRef:vbd{number}"


def cd_ref(number: int) -> str:
    """The reference of its CD drive."""
    return f"OpaqueRef:cd{number}"


def vdi_ref(number: int) -> str:
    """The reference of its disk's content."""
    return f"OpaqueRef:vdi{number}"


def suspend_ref(number: int) -> str:
    """The reference of the VDI that it may be suspended to."""
    return f"OpaqueRef:suspend{number}"


def vif_ref(number: int) -> str:
    """The reference of its network interface."""
    return f"OpaqueRef:vif{number}"


def _uuid(kind: str, number: int) -> str:
    return f"{kind}000000-0000-4000-8000-1{number:011d}"  # the last twelve are no migrating VM's


def _vm(number: int) -> Mapping[str, Any]:
    return {
        "uuid": _uuid("a1", number),
        "name_label": f"guest {number}",
        "power_state": "Halted",
        "resident_on": NULL,
        "suspend_VDI": NULL,
        "memory_static_max": _BYTES,
        "memory_dynamic_max": _BYTES,
        "memory_dynamic_min": _BYTES,
        "VCPUs_max": "2",
        "VCPUs_at_startup": "1",
        "VCPUs_params": {"weight": "512", "cap": "50", "mask": "0,1"},
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        "VBDs": [vbd_ref(number), cd_ref(number)],
        "VIFs": [vif_ref(number)],
        "VGPUs": [],
        "VUSBs": [],
        "VTPMs": [],
        "consoles": [],
        "HVM_boot_params": {"order": "dc", "firmware": "bios"},
        "HVM_shadow_multiplier": 1.0,
        "platform": {"acpi": "1", "nx": "true", "pae": "true", "timeoffset": "3600", "made-up": "1"},
        "other_config": {},
        "domid": "-1",
        "domain_type": "hvm",
        "generation_id": "",
        "xenstore_data": {"vm-data": ""},
        "metrics": f"{vm_ref(number)}-metrics",
        "guest_metrics": NULL,
        "last_booted_record": "",
        "allowed_operations": ["start"],
        "current_operations": {},
        "tags": [],
    }


def _vbd(number: int, position: int, vdi: str) -> Mapping[str, Any]:
    empty = vdi == NULL
    return {
        "uuid": _uuid(f"b{position}", number),
        "VM": vm_ref(number),
        "VDI": vdi,
        "device": "",
        "userdevice": str(position),
        "bootable": not empty,
        "mode": "RO" if empty else "RW",
        "type": "CD" if empty else "Disk",
        "unpluggable": True,
        "empty": empty,
        "other_config": {},
        "currently_attached": False,
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }


def _vdi(number: int, location: str) -> Mapping[str, Any]:
    return {
        "uuid": _uuid("d1" if location == "root" else "d2", number),
        "location": f"{location}{number}",
        "SR": SR,
        "on_boot": "persist",
        "other_config": {},
        "virtual_size": "1073741824",
    }


def _vif(number: int) -> Mapping[str, Any]:
    return {
        "uuid": _uuid("f1", number),
        "VM": vm_ref(number),
        "network": NETWORK,
        "device": "0",
        "MAC": f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        "MTU": "1500",
        "other_config": {"ethtool-gso": "off"},
        "currently_attached": False,
        "qos_algorithm_type": "ratelimit",
        "qos_algorithm_params": {"kbps": "1000"},
        "locking_mode": "locked",
        "ipv4_allowed": ["192.0.2.1"],
        "ipv6_allowed": [],
        "ipv4_configuration_mode": "Static",
        "ipv4_addresses": ["192.0.2.1/24"],
        "ipv4_gateway": "192.0.2.254",
        "ipv6_configuration_mode": "None",
    }
