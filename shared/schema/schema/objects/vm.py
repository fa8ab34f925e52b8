"""VMs: configuration, state and how they boot."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schema.objects.disk import Disk
from schema.wire.types import Arm, Assoc, Int32, Int64, Struct, Uuid, Variant, wire_default


class IgdPassthrough(StrEnum):
    """How an Intel GPU of the host is given to a guest (the original's `Vm.igd_passthrough`)."""

    GVT_D = "GVT_d"


class Cirrus(Arm):
    """An emulated Cirrus card."""

    kind: Literal["Cirrus"] = "Cirrus"


class StandardVga(Arm):
    """An emulated VGA card, as Bochs has it."""

    kind: Literal["Standard_VGA"] = "Standard_VGA"


class VgpuVideo(Arm):
    """The guest's screen is that of its virtual GPU."""

    kind: Literal["Vgpu"] = "Vgpu"


class IgdVideo(Arm):
    """The guest's screen is that of a GPU of the host."""

    kind: Literal["IGD_passthrough"] = "IGD_passthrough"
    passthrough: IgdPassthrough


VideoCard = Annotated[
    Cirrus | StandardVga | VgpuVideo | IgdVideo,
    Field(discriminator="kind"),
    Variant("video_card", default=Cirrus()),
]
"""`Vm.video_card`."""


class UefiOnBoot(StrEnum):
    """Whether UEFI variables outlive the domain, or are at each start what they were first."""

    PERSIST = "Persist"
    RESET = "Reset"


class UefiVariables(Struct, wire="t"):
    """Where a guest's UEFI variables are kept: `backend` is xapi's name of the place."""

    on_boot: UefiOnBoot = wire_default(UefiOnBoot.PERSIST)
    backend: str = wire_default("xapidb")


class Bios(Arm):
    """A BIOS."""

    kind: Literal["Bios"] = "Bios"


class Uefi(Arm):
    """UEFI, with its variables."""

    kind: Literal["Uefi"] = "Uefi"
    variables: UefiVariables


Firmware = Annotated[
    Bios | Uefi,
    Field(discriminator="kind"),
    Variant("firmware_type"),
]
"""`Vm.firmware_type`."""


class Vtpm(Arm):
    """A virtual TPM; its state is kept under this UUID."""

    kind: Literal["Vtpm"] = "Vtpm"
    uuid: Uuid


Tpm = Annotated[
    Vtpm,
    Variant("tpm"),
]
"""`Vm.tpm`."""


class HvmInfo(Struct, wire="hvm_info"):
    """How a fully virtualised guest is made: the original's `Vm.hvm_info`.

    `hap`: nested paging by hardware; `shadow_multiplier` of Xen's shadow memory otherwise. `timeoffset` is
    what its clock differs from UTC, in seconds, as a text. `video_mib`: memory of its `video` card. `serial`
    is where its serial line goes, as QEMU's option has it. `keymap` and `vnc_ip` are its screen's, the latter
    where VNC listens. `boot_order` are letters: c disk, d CD, n network. `pci_passthrough`: it will be given
    PCI devices. `qemu_stubdom`: its device model shall run in a domain of its own.
    """

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
    """A kernel of the host's files that is booted: paths, and its command line."""

    kernel: str = wire_default("")
    cmdline: str = wire_default("")
    ramdisk: str | None = wire_default(None)


class PvIndirectBoot(Struct, wire="pv_indirect_boot"):
    """A bootloader of the host, which finds a kernel on the guest's `devices`."""

    bootloader: str = wire_default("")
    extra_args: str = wire_default("")
    legacy_args: str = wire_default("")
    bootloader_args: str = wire_default("")
    devices: tuple[Disk, ...] = wire_default(())


class DirectBoot(Arm):
    """From a kernel."""

    kind: Literal["Direct"] = "Direct"
    boot: PvDirectBoot


class IndirectBoot(Arm):
    """By a bootloader."""

    kind: Literal["Indirect"] = "Indirect"
    boot: PvIndirectBoot


PvBoot = Annotated[
    DirectBoot | IndirectBoot,
    Field(discriminator="kind"),
    Variant("pv_boot"),
]
"""`Vm.pv_boot`."""


class PvInfo(Struct, wire="pv_info"):
    """How a paravirtualised guest is made: the original's `Vm.pv_info`.

    `framebuffer` and `vncterm` say whether it has a graphical screen and a text console over VNC, and the
    addresses at which these listen. `pci_passthrough`: it will be given PCI devices.
    """

    boot: PvBoot
    framebuffer: bool = wire_default(True)
    framebuffer_ip: str | None = wire_default(None)
    vncterm: bool = wire_default(True)
    vncterm_ip: str | None = wire_default(None)
    pci_passthrough: bool = wire_default(False)


class Hvm(Arm):
    """A fully virtualised guest, which boots firmware."""

    kind: Literal["HVM"] = "HVM"
    info: HvmInfo


class Pv(Arm):
    """A guest that boots a kernel, paravirtualised on Xen."""

    kind: Literal["PV"] = "PV"
    info: PvInfo


class PvInPvh(Arm):
    """As `Pv`, on Xen within a PVH shim."""

    kind: Literal["PVinPVH"] = "PVinPVH"
    info: PvInfo


class Pvh(Arm):
    """A guest that boots a kernel, on virtual hardware without emulated devices."""

    kind: Literal["PVH"] = "PVH"
    info: PvInfo


BuilderInfo = Annotated[
    Hvm | Pv | PvInPvh | Pvh,
    Field(discriminator="kind"),
    Variant("builder_info"),
]
"""`Vm.builder_info`."""


class ConsoleProtocol(StrEnum):
    """What is spoken at a console: VNC, or a terminal's bytes."""

    RFB = "Rfb"
    VT100 = "Vt100"


class Console(Struct, wire="console"):
    """A console of a guest: the `path` of a Unix socket or terminal, or, where that is "", a TCP `port`."""

    protocol: ConsoleProtocol
    port: int
    path: str


class DomainType(StrEnum):
    """What kind of domain a VM has; undefined while it has none."""

    DOMAIN_HVM = "Domain_HVM"
    DOMAIN_PV = "Domain_PV"
    DOMAIN_PVIN_PVH = "Domain_PVinPVH"
    DOMAIN_PVH = "Domain_PVH"
    DOMAIN_UNDEFINED = "Domain_undefined"


class PowerState(StrEnum):
    """What a VM is doing."""

    RUNNING = "Running"
    HALTED = "Halted"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"


class SchedulerParams(Struct, wire="scheduler_params"):
    """The original's `Vm.scheduler_params`.

    `priority` is (weight, cap): 256 is a usual weight; a cap is in hundredths of a CPU, 0 for none.
    `affinity` has for each vCPU the CPUs of the host that it may run on, the first for all that have none;
    empty: all.
    """

    priority: tuple[int, int] | None = None
    affinity: tuple[tuple[int, ...], ...]


class VmAction(StrEnum):
    """What is done when a guest ends or crashes by itself."""

    COREDUMP = "Coredump"
    SHUTDOWN = "Shutdown"
    START = "Start"
    PAUSE = "Pause"
    SOFTREBOOT = "Softreboot"


class Vm(Struct, wire="t"):
    """A VM's configuration: the original's `Vm.t`.

    Memory is in bytes: `memory_static_max` at boot, the balloon keeps to `memory_dynamic_min` to
    `memory_dynamic_max` afterwards. `vcpus` of `vcpu_max` are online at boot. `xsdata` are keys that the
    guest reads in xenstore, `platformdata` settings of its virtual hardware (`docs/kvm.md` and `docs/xen.md`
    say which count), `bios_strings` what its firmware calls the machine. `on_crash`, `on_shutdown`,
    `on_reboot` and `on_softreboot` are what to do, in order, when the guest does that by itself. `ssidref` is
    its label under Xen's security modules. `machine_address_size` is in bits. `pci_msitranslate` and
    `pci_power_mgmt` are usual for PCI devices that do not say. `has_vendor_device`: Windows Update offers it
    drivers. `generation_id` tells the guest when it was cloned or rolled back.
    """

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
    """What a VM is like now: the original's `Vm.state`.

    `domids` are its domains: one, none while it is halted, two while it moves within its host. Memory is in
    bytes: what it shall have, has, and may have at the most. `vcpu_target` vCPUs are online. `rtc_timeoffset`
    is as in `HvmInfo`. `guest_agent` are the keys that an agent in it has written, `xsdata_state` those of
    `xsdata` as they are now. `last_start_time` is in seconds since the epoch. `nomigrate`: it must not be
    migrated. `featureset` are the features of its CPUs. `numa_node_memory` are pairs of a node and bytes.
    """

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
