"""Atomics on PCI devices, VUSBs and VGPUs: single steps of a plan, each one backend verb."""

from typing import Annotated, Literal

from pydantic import Field

from schema.atomics.step import Step
from schema.objects.pci import PciAddress
from schema.wire.types import DeviceId


class PciPlug(Step):
    """Give the device to the domain."""

    kind: Literal["PCI_plug"] = "PCI_plug"
    id: DeviceId
    use_qmp: bool


class PciUnplug(Step):
    """Take it away."""

    kind: Literal["PCI_unplug"] = "PCI_unplug"
    id: DeviceId


class PciDequarantine(Step):
    """Let the host use it again."""

    kind: Literal["PCI_dequarantine"] = "PCI_dequarantine"
    address: PciAddress


class VusbPlug(Step):
    """Give the device to the domain."""

    kind: Literal["VUSB_plug"] = "VUSB_plug"
    id: DeviceId


class VusbUnplug(Step):
    """Take it away."""

    kind: Literal["VUSB_unplug"] = "VUSB_unplug"
    id: DeviceId


class VgpuSetActive(Step):
    """Note that the VM shall have it."""

    kind: Literal["VGPU_set_active"] = "VGPU_set_active"
    id: DeviceId
    active: bool


class VgpuStart(Step):
    """Start the emulators."""

    kind: Literal["VGPU_start"] = "VGPU_start"
    ids: tuple[DeviceId, ...]
    saved: bool


PassthroughAtomic = Annotated[
    PciPlug | PciUnplug | PciDequarantine | VusbPlug | VusbUnplug | VgpuSetActive | VgpuStart,
    Field(discriminator="kind"),
]
"""Any of the above, told apart by `kind`."""
