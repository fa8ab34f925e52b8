"""Host devices that VMs are given, as XenAPI describes them: PCI, virtual GPUs, USB."""

from typing import ClassVar, Literal

from pydantic import Field

from xenops.toolstack.records.scalars import NULL, Record, Ref, Strings


class PciRecord(Record):
    """`PCI`; `pci_id` is its address, as 0000:03:00.0."""

    klass: ClassVar[str] = "PCI"

    pci_id: str
    dependencies: tuple[Ref, ...] = ()
    attached_vms: tuple[Ref, ...] = Field(default=(), alias="attached_VMs")


class VgpuRecord(Record):
    """`VGPU`."""

    klass: ClassVar[str] = "VGPU"

    vm: Ref = Field(default=NULL, alias="VM")
    device: str = Field(default="0", pattern=r"^\d+$")
    currently_attached: bool = False
    type: Ref = NULL
    resident_on: Ref = NULL
    scheduled_to_be_resident_on: Ref = NULL
    extra_args: str = ""
    pci: Ref = Field(default=NULL, alias="PCI")


class VgpuTypeRecord(Record):
    """`VGPU_type`; xapi keeps `internal_config` for itself, whoever embeds this library has it."""

    klass: ClassVar[str] = "VGPU_type"

    implementation: Literal["passthrough", "nvidia", "nvidia_sriov", "gvt_g", "mxgpu"] = "passthrough"
    framebuffer_size: int = 0
    internal_config: Strings = Field(default={})


class PgpuRecord(Record):
    """`PGPU`: a physical GPU."""

    klass: ClassVar[str] = "PGPU"

    pci: Ref = Field(default=NULL, alias="PCI")


class VusbRecord(Record):
    """`VUSB`."""

    klass: ClassVar[str] = "VUSB"

    vm: Ref = Field(default=NULL, alias="VM")
    usb_group: Ref = Field(default=NULL, alias="USB_group")
    currently_attached: bool = False


class UsbGroupRecord(Record):
    """`USB_group`."""

    klass: ClassVar[str] = "USB_group"

    pusbs: tuple[Ref, ...] = Field(default=(), alias="PUSBs")


class PusbRecord(Record):
    """`PUSB`: a USB device; `path` is its bus and ports, as 1-2."""

    klass: ClassVar[str] = "PUSB"

    path: str = Field(pattern=r"^[^-]+-[^-]+")
    version: str = ""
    speed: float = 0.0
    usb_group: Ref = Field(default=NULL, alias="USB_group")
