"""The port to the metadata store: VMs by id, and a table for each kind of device.

Configuration only: what a running VM is like is its backend's to say.
"""

from typing import Protocol, TypeVar

from schema.ids import DeviceId, VmId
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb

from engine.backend import Devices

DeviceT = TypeVar("DeviceT", Vbd, Vif, Pci, Vgpu, Vusb)
"""Any kind of device."""


class DeviceTable(Protocol[DeviceT]):
    """All devices of one kind. Unknown ones are `Does_not_exist("VM", "<vm>/vbd.<device>")`, PCIs "PCI"."""

    def read(self, id: DeviceId) -> DeviceT:  # noqa: A002  the interface's word
        """One device. Errors: `Does_not_exist`; `Internal_error` when its file is damaged."""

    def exists(self, id: DeviceId) -> bool:  # noqa: A002  the interface's word
        """Whether there is such a device."""

    def write(self, device: DeviceT) -> None:
        """Add or replace it. Errors: `Does_not_exist("VM", "<vm>")` when there is no such VM."""

    def remove(self, id: DeviceId) -> None:  # noqa: A002  the interface's word
        """Forget it. Errors: `Does_not_exist`."""

    def ids(self, vm: str) -> tuple[DeviceId, ...]:
        """The devices of a VM by name; of an unknown VM: none."""

    def list(self, vm: str) -> tuple[DeviceT, ...]:
        """The devices of a VM by name. Errors: `Internal_error` when a file is damaged."""


class Store(Protocol):
    """What is configured. Safe for use by any thread, and by several processes on one tree."""

    reads_wait: bool
    """Whether reading may take a while; where not, requests need no thread."""

    @property
    def vbds(self) -> DeviceTable[Vbd]:
        """All disks."""

    @property
    def vifs(self) -> DeviceTable[Vif]:
        """All network interfaces."""

    @property
    def pcis(self) -> DeviceTable[Pci]:
        """All PCI devices."""

    @property
    def vgpus(self) -> DeviceTable[Vgpu]:
        """All virtual GPUs."""

    @property
    def vusbs(self) -> DeviceTable[Vusb]:
        """All USB devices."""

    def ids(self) -> tuple[VmId, ...]:
        """All VMs, by id."""

    def list(self) -> tuple[Vm, ...]:
        """All VMs that can be read; a damaged one is logged and left out, the others do not suffer."""

    def exists(self, vm: str) -> bool:
        """Whether there is such a VM."""

    def read(self, vm: str) -> Vm:
        """One VM. Errors: `Does_not_exist("VM", "<vm>/config")`, `Internal_error` for a damaged file."""

    def write(self, vm: Vm) -> None:
        """Add or replace a VM; its devices stay. Errors: `Internal_error` for an id that is unfit."""

    def remove(self, vm: str) -> None:
        """Forget a VM with all its devices, at once. Errors: `Does_not_exist`."""

    def rename(self, vm: str, name: str) -> None:
        """Give a VM and its devices another id; the new one is whole before the old one goes.

        Errors: `Does_not_exist`, `Already_exists`.
        """

    def devices(self, vm: str) -> Devices:
        """All devices of a VM; of an unknown VM: none. Errors: `Internal_error` when a file is damaged."""
