"""VMs: configuration, state and how they boot."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.objects.disk import Disk
from schema.wire.types import Arm, Assoc, Int32, Int64, Struct, Uuid, Variant, wire_default


class IgdPassthrough(StrEnum):
    """`Vm.igd_passthrough`."""

    GVT_D = "GVT_d"


class Cirrus(Arm):
    """`Vm.video_card`, arm `Cirrus`."""

    kind: Literal["Cirrus"] = "Cirrus"


class StandardVga(Arm):
    """`Vm.video_card`, arm `Standard_VGA`."""

    kind: Literal["Standard_VGA"] = "Standard_VGA"


class VgpuVideo(Arm):
    """`Vm.video_card`, arm `Vgpu`."""

    kind: Literal["Vgpu"] = "Vgpu"


class IgdVideo(Arm):
    """`Vm.video_card`, arm `IGD_passthrough`."""

    kind: Literal["IGD_passthrough"] = "IGD_passthrough"
    passthrough: IgdPassthrough


VideoCard = Annotated[
    Cirrus | StandardVga | VgpuVideo | IgdVideo,
    Field(discriminator="kind"),
    Variant("video_card", default=Cirrus()),
]
"""`Vm.video_card`."""


class UefiOnBoot(StrEnum):
    """`Nvram_uefi_variables.onboot`."""

    PERSIST = "Persist"
    RESET = "Reset"


class UefiVariables(Struct, wire="t"):
    """`Nvram_uefi_variables.t`."""

    on_boot: UefiOnBoot = wire_default(UefiOnBoot.PERSIST)
    backend: str = wire_default("xapidb")


class Bios(Arm):
    """`Vm.firmware_type`, arm `Bios`."""

    kind: Literal["Bios"] = "Bios"


class Uefi(Arm):
    """`Vm.firmware_type`, arm `Uefi`."""

    kind: Literal["Uefi"] = "Uefi"
    variables: UefiVariables


Firmware = Annotated[
    Bios | Uefi,
    Field(discriminator="kind"),
    Variant("firmware_type"),
]
"""`Vm.firmware_type`."""


class Vtpm(Arm):
    """`Vm.tpm`, arm `Vtpm`."""

    kind: Literal["Vtpm"] = "Vtpm"
    uuid: Uuid


Tpm = Annotated[
    Vtpm,
    Variant("tpm"),
]
"""`Vm.tpm`."""


class HvmInfo(Struct, wire="hvm_info"):
    """`Vm.hvm_info`."""

    hap: bool = wire_default(True)
    shadow_multiplier: float = wire_default(1.0)
    timeoffset: str = wire_default("")
    video_mib: int = wire_default(4)
    video: VideoCard = wire_default(Cirrus())
    acpi: bool = wire_default(True)
    serial: str | None = wire_default(None)
    keymap: str | None = wire_default(None)
    vnc_ip: str | None = wire_default(None)
    pci_emulations: tuple[str, ...] = wire_default(())
    pci_passthrough: bool = wire_default(False)
    boot_order: str = wire_default("")
    qemu_disk_cmdline: bool = wire_default(False)
    qemu_stubdom: bool = wire_default(False)
    firmware: Firmware = wire_default(Bios())
    tpm: Tpm | None = wire_default(None)


class PvDirectBoot(Struct, wire="pv_direct_boot"):
    """`Vm.pv_direct_boot`."""

    kernel: str = wire_default("")
    cmdline: str = wire_default("")
    ramdisk: str | None = wire_default(None)


class PvIndirectBoot(Struct, wire="pv_indirect_boot"):
    """`Vm.pv_indirect_boot`."""

    bootloader: str = wire_default("")
    extra_args: str = wire_default("")
    legacy_args: str = wire_default("")
    bootloader_args: str = wire_default("")
    devices: tuple[Disk, ...] = wire_default(())


class DirectBoot(Arm):
    """`Vm.pv_boot`, arm `Direct`."""

    kind: Literal["Direct"] = "Direct"
    boot: PvDirectBoot


class IndirectBoot(Arm):
    """`Vm.pv_boot`, arm `Indirect`."""

    kind: Literal["Indirect"] = "Indirect"
    boot: PvIndirectBoot


PvBoot = Annotated[
    DirectBoot | IndirectBoot,
    Field(discriminator="kind"),
    Variant("pv_boot"),
]
"""`Vm.pv_boot`."""


class PvInfo(Struct, wire="pv_info"):
    """`Vm.pv_info`."""

    boot: PvBoot
    framebuffer: bool = wire_default(True)
    framebuffer_ip: str | None = wire_default(None)
    vncterm: bool = wire_default(True)
    vncterm_ip: str | None = wire_default(None)
    pci_passthrough: bool = wire_default(False)


class Hvm(Arm):
    """`Vm.builder_info`, arm `HVM`."""

    kind: Literal["HVM"] = "HVM"
    info: HvmInfo


class Pv(Arm):
    """`Vm.builder_info`, arm `PV`."""

    kind: Literal["PV"] = "PV"
    info: PvInfo


class PvInPvh(Arm):
    """`Vm.builder_info`, arm `PVinPVH`."""

    kind: Literal["PVinPVH"] = "PVinPVH"
    info: PvInfo


class Pvh(Arm):
    """`Vm.builder_info`, arm `PVH`."""

    kind: Literal["PVH"] = "PVH"
    info: PvInfo


BuilderInfo = Annotated[
    Hvm | Pv | PvInPvh | Pvh,
    Field(discriminator="kind"),
    Variant("builder_info"),
]
"""`Vm.builder_info`."""


class ConsoleProtocol(StrEnum):
    """`Vm.console_protocol`."""

    RFB = "Rfb"
    VT100 = "Vt100"


class Console(Struct, wire="console"):
    """`Vm.console`."""

    protocol: ConsoleProtocol
    port: int
    path: str


class DomainType(StrEnum):
    """`Vm.domain_type`."""

    DOMAIN_HVM = "Domain_HVM"
    DOMAIN_PV = "Domain_PV"
    DOMAIN_PVIN_PVH = "Domain_PVinPVH"
    DOMAIN_PVH = "Domain_PVH"
    DOMAIN_UNDEFINED = "Domain_undefined"


class PowerState(StrEnum):
    """`power_state`."""

    RUNNING = "Running"
    HALTED = "Halted"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"


class SchedulerParams(Struct, wire="scheduler_params"):
    """`Vm.scheduler_params`."""

    priority: tuple[int, int] | None = None
    affinity: tuple[tuple[int, ...], ...]


class VmAction(StrEnum):
    """`Vm.action`."""

    COREDUMP = "Coredump"
    SHUTDOWN = "Shutdown"
    START = "Start"
    PAUSE = "Pause"
    SOFTREBOOT = "Softreboot"


class Vm(Struct, wire="t"):
    """`Vm.t`."""

    id: str
    name: str = wire_default("unnamed")
    ssidref: Int32
    xsdata: Assoc[str]
    platformdata: Assoc[str]
    bios_strings: Assoc[str]
    ty: BuilderInfo
    suppress_spurious_page_faults: bool
    machine_address_size: int | None = None
    memory_static_max: Int64
    memory_dynamic_max: Int64
    memory_dynamic_min: Int64
    vcpu_max: int
    vcpus: int
    scheduler_params: SchedulerParams
    on_crash: tuple[VmAction, ...]
    on_shutdown: tuple[VmAction, ...]
    on_reboot: tuple[VmAction, ...]
    on_softreboot: tuple[VmAction, ...] = wire_default((VmAction.SOFTREBOOT,))
    pci_msitranslate: bool
    pci_power_mgmt: bool
    has_vendor_device: bool = wire_default(False)
    generation_id: str | None = None


class VmState(Struct, wire="state"):
    """`Vm.state`."""

    power_state: PowerState
    domids: tuple[int, ...]
    consoles: tuple[Console, ...]
    memory_target: Int64
    memory_actual: Int64
    memory_limit: Int64
    vcpu_target: int
    shadow_multiplier_target: float
    rtc_timeoffset: str
    uncooperative_balloon_driver: bool
    guest_agent: Assoc[str]
    xsdata_state: Assoc[str]
    pv_drivers_detected: bool
    last_start_time: float
    hvm: bool
    nomigrate: bool
    nested_virt: bool
    domain_type: DomainType
    featureset: str
    numa_optimised: bool
    numa_nodes: int
    numa_node_memory: tuple[tuple[int, Int64], ...]
