"""VGPUs: virtual graphics, by whose hardware."""

from typing import Annotated, Literal

from pydantic import Field

from schema.objects.pci import PciAddress
from schema.wire.types import Arm, DeviceId, Int64, Struct, Variant, wire_default


class GvtG(Struct, wire="gvt_g"):
    """`Vgpu.gvt_g`."""

    physical_pci_address: PciAddress | None = None
    low_gm_sz: Int64
    high_gm_sz: Int64
    fence_sz: Int64
    monitor_config_file: str | None = None


class Nvidia(Struct, wire="nvidia"):
    """`Vgpu.nvidia`."""

    physical_pci_address: PciAddress | None = None
    config_file: str | None = None
    virtual_pci_address: PciAddress = wire_default(PciAddress(domain=0, bus=0, dev=11, fn=0))
    type_id: str | None = None
    uuid: str | None = None
    vclass: str | None = None
    extra_args: str = wire_default("")


class MxGpu(Struct, wire="mxgpu"):
    """`Vgpu.mxgpu`."""

    physical_function: PciAddress | None = None
    vgpus_per_pgpu: Int64
    framebufferbytes: Int64


class GvtGVgpu(Arm):
    """`Vgpu.implementation`, arm `GVT_g`."""

    kind: Literal["GVT_g"] = "GVT_g"
    config: GvtG


class NvidiaVgpu(Arm):
    """`Vgpu.implementation`, arm `Nvidia`."""

    kind: Literal["Nvidia"] = "Nvidia"
    config: Nvidia


class MxGpuVgpu(Arm):
    """`Vgpu.implementation`, arm `MxGPU`."""

    kind: Literal["MxGPU"] = "MxGPU"
    config: MxGpu


class EmptyVgpu(Arm):
    """`Vgpu.implementation`, arm `Empty`."""

    kind: Literal["Empty"] = "Empty"


VgpuImplementation = Annotated[
    GvtGVgpu | NvidiaVgpu | MxGpuVgpu | EmptyVgpu,
    Field(discriminator="kind"),
    Variant("implementation", default=EmptyVgpu()),
]
"""`Vgpu.implementation`."""


class Vgpu(Struct, wire="t"):
    """`Vgpu.t`."""

    id: DeviceId = wire_default(DeviceId("", ""))
    position: int = wire_default(0)
    virtual_pci_address: PciAddress | None = wire_default(None)
    physical_pci_address: PciAddress = wire_default(PciAddress(domain=0, bus=0, dev=0, fn=0))
    implementation: VgpuImplementation = wire_default(EmptyVgpu())


class VgpuState(Struct, wire="state"):
    """`Vgpu.state`."""

    active: bool
    plugged: bool
    emulator_pid: int | None = None
