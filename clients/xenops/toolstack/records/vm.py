"""VMs as XenAPI describes them, with their metrics, virtual TPMs and consoles."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import Field

from xenops.toolstack.records.scalars import NULL, Record, Ref, Strings, Text


class PowerState(StrEnum):
    """`vm_power_state`."""

    HALTED = "Halted"
    PAUSED = "Paused"
    RUNNING = "Running"
    SUSPENDED = "Suspended"


class DomainType(StrEnum):
    """`domain_type`."""

    HVM = "hvm"
    PV = "pv"
    PV_IN_PVH = "pv_in_pvh"
    PVH = "pvh"
    UNSPECIFIED = "unspecified"


Action = Literal[
    "destroy",
    "restart",
    "coredump_and_destroy",
    "coredump_and_restart",
    "preserve",
    "rename_restart",
    "soft_reboot",
]
"""`on_normal_exit`, `on_crash_behaviour` and `on_softreboot_behavior` together."""


class VmRecord(Record):
    """`VM`: datamodel_vm.ml of xapi names the fields and their defaults."""

    klass: ClassVar[str] = "VM"

    name_label: str = ""
    power_state: PowerState = PowerState.HALTED
    is_a_template: bool = False
    is_control_domain: bool = False
    suspend_vdi: Ref = Field(default=NULL, alias="suspend_VDI")
    resident_on: Ref = NULL
    memory_static_max: int = Field(ge=0)
    memory_dynamic_max: int = Field(ge=0)
    memory_dynamic_min: int = Field(ge=0)
    vcpus_params: Strings = Field(default={}, alias="VCPUs_params")
    vcpus_max: int = Field(ge=1, alias="VCPUs_max")
    vcpus_at_startup: int = Field(ge=1, alias="VCPUs_at_startup")
    actions_after_softreboot: Action = "soft_reboot"
    actions_after_shutdown: Action = "destroy"
    actions_after_reboot: Action = "restart"
    actions_after_crash: Action = "restart"
    consoles: tuple[Ref, ...] = ()
    vifs: tuple[Ref, ...] = Field(default=(), alias="VIFs")
    vbds: tuple[Ref, ...] = Field(default=(), alias="VBDs")
    vusbs: tuple[Ref, ...] = Field(default=(), alias="VUSBs")
    vtpms: tuple[Ref, ...] = Field(default=(), alias="VTPMs")
    vgpus: tuple[Ref, ...] = Field(default=(), alias="VGPUs")
    attached_pcis: tuple[Ref, ...] = Field(default=(), alias="attached_PCIs")
    pv_bootloader: str = Field(default="", alias="PV_bootloader")
    pv_kernel: str = Field(default="", alias="PV_kernel")
    pv_ramdisk: str = Field(default="", alias="PV_ramdisk")
    pv_args: str = Field(default="", alias="PV_args")
    pv_bootloader_args: str = Field(default="", alias="PV_bootloader_args")
    pv_legacy_args: str = Field(default="", alias="PV_legacy_args")
    hvm_boot_params: Strings = Field(default={}, alias="HVM_boot_params")
    hvm_shadow_multiplier: float = Field(default=1.0, alias="HVM_shadow_multiplier")
    platform: Strings = Field(default={})
    other_config: Strings = Field(default={})
    domid: int = -1
    last_boot_cpu_flags: Strings = Field(default={}, alias="last_boot_CPU_flags")
    metrics: Ref = NULL
    guest_metrics: Ref = NULL
    last_booted_record: str = ""
    xenstore_data: Strings = Field(default={})
    bios_strings: Strings = Field(default={})
    generation_id: str = ""
    has_vendor_device: bool = False
    domain_type: DomainType = DomainType.UNSPECIFIED
    nvram: Strings = Field(default={}, alias="NVRAM")
    current_operations: Strings = Field(default={})


class VmMetricsRecord(Record):
    """`VM_metrics`: what a running VM is given."""

    klass: ClassVar[str] = "VM_metrics"

    vcpus_number: int = Field(default=0, alias="VCPUs_number")
    start_time: Text = "19700101T00:00:00Z"
    hvm: bool = False
    nested_virt: bool = False
    nomigrate: bool = False
    current_domain_type: DomainType = DomainType.UNSPECIFIED


class VmGuestMetricsRecord(Record):
    """`VM_guest_metrics`: what the agent in the guest tells."""

    klass: ClassVar[str] = "VM_guest_metrics"

    os_version: Strings = Field(default={})
    networks: Strings = Field(default={})
    other: Strings = Field(default={})
    last_updated: Text = "19700101T00:00:00Z"
    pv_drivers_detected: bool = Field(default=False, alias="PV_drivers_detected")


class VtpmRecord(Record):
    """`VTPM`."""

    klass: ClassVar[str] = "VTPM"


class ConsoleRecord(Record):
    """`console`."""

    klass: ClassVar[str] = "console"

    protocol: Literal["rfb", "vt100", "rdp"]
    location: str = ""
    other_config: Mapping[str, Any] = Field(default={})
