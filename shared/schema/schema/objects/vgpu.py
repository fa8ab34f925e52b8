"""VGPUs: virtual graphics, by whose hardware."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.pci import PciAddress
from schema.wire.types import Arm, DeviceId, Int64, Struct, Variant, wire_default


class GvtG(Struct, wire="gvt_g"):
    """A share of an Intel GPU: megabytes of low and high graphics memory, and fence registers."""

    physical_pci_address: PciAddress | None = None
    low_gm_sz: Int64
    high_gm_sz: Int64
    fence_sz: Int64
    monitor_config_file: str | None = None


class Nvidia(Struct, wire="nvidia"):
    """A share of an NVIDIA GPU: its type by name, file or class, and where the guest finds it."""

    physical_pci_address: PciAddress | None = None
    config_file: str | None = None
    virtual_pci_address: PciAddress = wire_default(PciAddress(domain=0, bus=0, dev=11, fn=0))
    type_id: str | None = None
    uuid: str | None = None
    vclass: str | None = None
    extra_args: str = wire_default("")


class MxGpu(Struct, wire="mxgpu"):
    """A function of an AMD GPU, of which there are `vgpus_per_pgpu`, with so many bytes of framebuffer."""

    physical_function: PciAddress | None = None
    vgpus_per_pgpu: Int64
    framebufferbytes: Int64


class GvtGVgpu(Arm):
    """By Intel's GVT-g."""

    kind: Literal["GVT_g"] = "GVT_g"
    config: GvtG


class NvidiaVgpu(Arm):
    """By NVIDIA's manager."""

    kind: Literal["Nvidia"] = "Nvidia"
    config: Nvidia


class MxGpuVgpu(Arm):
    """By AMD's MxGPU; VMs that share one GPU are worked on in turn."""

    kind: Literal["MxGPU"] = "MxGPU"
    config: MxGpu


class EmptyVgpu(Arm):
    """None."""

    kind: Literal["Empty"] = "Empty"


VgpuImplementation = Annotated[
    GvtGVgpu | NvidiaVgpu | MxGpuVgpu | EmptyVgpu,
    Field(discriminator="kind"),
    Variant("implementation", default=EmptyVgpu()),
]
"""`Vgpu.implementation`."""


class Vgpu(Struct, wire="t"):
    """A virtual GPU of a VM: the original's `Vgpu.t`. `position` orders a VM's."""

    id: DeviceId = wire_default(DeviceId("", ""))
    position: int = wire_default(0)
    virtual_pci_address: PciAddress | None = wire_default(None)
    physical_pci_address: PciAddress = wire_default(PciAddress(domain=0, bus=0, dev=0, fn=0))
    implementation: VgpuImplementation = wire_default(EmptyVgpu())


class VgpuState(Struct, wire="state"):
    """Whether its VM shall have it, and has it; and the process that emulates it."""

    active: bool
    plugged: bool
    emulator_pid: int | None = None
