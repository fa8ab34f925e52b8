"""Operations: the closed set of things that a client, or a backend's event, may ask of a VM."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schema.atomics import Atomic
from schema.objects.disk import Disk
from schema.objects.network import Network
from schema.objects.pci import PciAddress
from schema.wire.types import Assoc, DeviceId, VmId


class OperationBase(BaseModel):
    """What a worker turns into a plan; `kind` is the original's name of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class VmStart(OperationBase):
    """Start a halted VM; it is left Paused."""

    kind: Literal["VM_start"] = "VM_start"
    vm: VmId
    force: bool = False


class VmPoweroff(OperationBase):
    """Shut down with hooks and epoch ends: VM.shutdown on the wire."""

    kind: Literal["VM_poweroff"] = "VM_poweroff"
    vm: VmId
    timeout_s: float | None = None


class VmShutdown(OperationBase):
    """Take the domain down, devices and all."""

    kind: Literal["VM_shutdown"] = "VM_shutdown"
    vm: VmId
    timeout_s: float | None = None


class VmReboot(OperationBase):
    """Shut down and start again, unpaused."""

    kind: Literal["VM_reboot"] = "VM_reboot"
    vm: VmId
    timeout_s: float | None = None


class VmSuspend(OperationBase):
    """Save to a disk, then shut down."""

    kind: Literal["VM_suspend"] = "VM_suspend"
    vm: VmId
    image: Disk


class VmResume(OperationBase):
    """Restore from a disk."""

    kind: Literal["VM_resume"] = "VM_resume"
    vm: VmId
    image: Disk


class VmRestoreVifs(OperationBase):
    """Plug the VIFs of a restored VM."""

    kind: Literal["VM_restore_vifs"] = "VM_restore_vifs"
    vm: VmId


class VmRestoreDevices(OperationBase):
    """Plug the devices of a restored VM."""

    kind: Literal["VM_restore_devices"] = "VM_restore_devices"
    vm: VmId
    restore_vifs: bool


class VmMigrate(OperationBase):
    """Send a running VM elsewhere."""

    kind: Literal["VM_migrate"] = "VM_migrate"
    vm: VmId
    vdi_map: Assoc[str]
    vif_map: Assoc[Network]
    pci_map: Assoc[PciAddress]
    url: str
    compress: bool
    verify_dest: bool
    localhost_migration: bool


class VmReceiveMemory(OperationBase):
    """Take a running VM from elsewhere.

    The source's control channel waits at `socket`, a frontend's address, for whoever shows `ticket` there.
    """

    kind: Literal["VM_receive_memory"] = "VM_receive_memory"
    vm: VmId
    final: VmId
    memory_limit_bytes: int
    socket: str
    compressed: bool
    ticket: str = ""
    separate_memory: bool = True
    """Whether memory comes on a channel of its own; from old sources it comes on the control channel."""


class VbdHotplug(OperationBase):
    """Set active, plug."""

    kind: Literal["VBD_hotplug"] = "VBD_hotplug"
    id: DeviceId


class VbdHotunplug(OperationBase):
    """Unplug, set inactive."""

    kind: Literal["VBD_hotunplug"] = "VBD_hotunplug"
    id: DeviceId
    force: bool = False


class VifHotplug(OperationBase):
    """Set active, plug."""

    kind: Literal["VIF_hotplug"] = "VIF_hotplug"
    id: DeviceId


class VifHotunplug(OperationBase):
    """Unplug, set inactive."""

    kind: Literal["VIF_hotunplug"] = "VIF_hotunplug"
    id: DeviceId
    force: bool = False


class VmCheckState(OperationBase):
    """Do what the domain asks for."""

    kind: Literal["VM_check_state"] = "VM_check_state"
    vm: VmId


class PciCheckState(OperationBase):
    """Do what the device asks for."""

    kind: Literal["PCI_check_state"] = "PCI_check_state"
    id: DeviceId


class VbdCheckState(OperationBase):
    """Do what the device asks for."""

    kind: Literal["VBD_check_state"] = "VBD_check_state"
    id: DeviceId


class VifCheckState(OperationBase):
    """Do what the device asks for."""

    kind: Literal["VIF_check_state"] = "VIF_check_state"
    id: DeviceId


class VusbCheckState(OperationBase):
    """Do what the device asks for."""

    kind: Literal["VUSB_check_state"] = "VUSB_check_state"
    id: DeviceId


class AtomicOperation(OperationBase):
    """One atomic on its own, for the calls that are just that (VM.pause, VIF.set_carrier, ...)."""

    kind: Literal["Atomic"] = "Atomic"
    atomic: Atomic


Operation = Annotated[
    VmStart
    | VmPoweroff
    | VmShutdown
    | VmReboot
    | VmSuspend
    | VmResume
    | VmRestoreVifs
    | VmRestoreDevices
    | VmMigrate
    | VmReceiveMemory
    | VbdHotplug
    | VbdHotunplug
    | VifHotplug
    | VifHotunplug
    | VmCheckState
    | PciCheckState
    | VbdCheckState
    | VifCheckState
    | VusbCheckState
    | AtomicOperation,
    Field(discriminator="kind"),
]
"""All twenty, told apart by `kind`."""
