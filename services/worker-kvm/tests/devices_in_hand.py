"""A host's PCI and USB devices in a directory, with a kernel that does what it is told; and who uses them."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

from bus.pids import start_time
from engine.conformance.samples import sample_vm
from engine.conformance.usb import UsbFiles
from engine.hosted.machine import HostedMachine
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId, VmId
from schema.objects.errors import DomainNotBuilt
from schema.objects.pci import Pci, PciAddress
from typing_extensions import override
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Machine, Process, created

NIC, AUDIO, GPU = "0000:03:00.0", "0000:01:00.1", "0000:01:00.0"
VFIO = "vfio-pci"


@dataclass
class Kernel(UsbFiles):
    """Of the host in `root`: it has these drivers, `usual` ones for the devices."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        for driver in (VFIO, "e1000e", "snd_hda_intel", "nouveau"):
            (self.sysfs / "bus/pci/drivers" / driver).mkdir(parents=True)

    def add_pci(self, name: str, driver: str | None, group: int | None) -> None:
        device = self.sysfs / "bus/pci/devices" / name
        device.mkdir(parents=True)
        (device / "driver_override").write_text("")
        if group is not None:
            members = self.sysfs / "kernel/iommu_groups" / str(group) / "devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / name).symlink_to(device)
            (device / "iommu_group").symlink_to(members.parent)
        if driver is not None:
            self.usual[name] = driver
            self.bind(device, driver)

    @override
    def obey(self, path: Path, text: str) -> None:
        match path.name:
            case "driver_override":
                path.write_text(text.strip())
            case "unbind":
                (self.sysfs / "bus/pci/devices" / text / "driver").unlink()
                self._update_nodes()
            case "drivers_probe" if (path.parent / "devices" / text / "driver_override").exists():
                self._probe(path.parent / "devices" / text)
            case _:
                super().obey(path, text)

    def _probe(self, device: Path) -> None:
        wanted = (device / "driver_override").read_text() or self.usual.get(device.name)
        if wanted is not None and wanted != "nothing":
            self.bind(device, wanted)

    @override
    def bind(self, device: Path, driver: str) -> None:
        super().bind(device, driver)
        self._update_nodes()

    def _update_nodes(self) -> None:
        """A group has a file while vfio-pci has a device of it."""
        for group in (self.sysfs / "kernel/iommu_groups").glob("*"):
            drivers = [device / "driver" for device in (group / "devices").iterdir()]
            node = self.nodes / group.name
            if not any(driver.exists() and driver.resolve().name == VFIO for driver in drivers):
                node.unlink(missing_ok=True)
            elif not node.exists():
                node.touch()

    def driver(self, name: str) -> str | None:
        driver = self.sysfs / "bus/pci/devices" / name / "driver"
        return driver.resolve().name if driver.exists() else None

    def unplug(self, name: str) -> None:
        """As by a hand."""
        shutil.rmtree(self.sysfs / "bus/pci/devices" / name)


class Qemu:
    """As much of `Live` as the verbs use; its guest lets go of what it is asked for, or does not."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.process = Process(pid=pid, started=start_time(pid) or 0)
        self.there: set[str] = set()
        self.lent: list[str] = []
        self.done: list[tuple[str, Any]] = []
        self.lets_go = True
        self.refuses: str | None = None
        """The driver of the device that it does not take."""
        self.attached = True
        self.answers = True

    def has_device(self, device: str) -> bool:
        if not self.answers:
            raise internal_error("no answer")
        return device in self.there

    def lacks(self, device: str) -> bool:
        return self.answers and device not in self.there

    def do(self, command: str, arguments: Any) -> Any:
        self.done.append((command, arguments))
        if command == "qom-get":
            return self.attached
        if arguments["driver"] == self.refuses:
            raise internal_error("QEMU does not want it")
        self.there.add(arguments["id"])
        return {}

    def remove_device(self, device: str, _timeout_s: float) -> bool:
        if self.lets_go:
            self.there.discard(device)
        return self.lets_go

    def lend(self, _descriptor: int, name: str) -> str:
        self.lent.append(name)
        return f"/dev/fdset/{len(self.lent)}"

    def forget(self, name: str) -> None:
        self.lent.remove(name)


MachineT = TypeVar("MachineT", bound="HostedMachine[Any, Any, Any]")
LiveT = TypeVar("LiveT")


class Known(ABC, Generic[MachineT, LiveT]):
    """What verbs ask of either backend's `Hypervisor`: its VMs, and their QEMUs."""

    _machines: dict[str, MachineT]

    def machines(self) -> Sequence[MachineT]:
        return list(self._machines.values())

    def look(self, vm: str) -> MachineT:
        return self._machines[vm]

    def noted(self, vm: str) -> MachineT:
        return self.look(vm)

    def change(self, vm: str, change: Callable[[MachineT], MachineT]) -> MachineT:
        self._machines[vm] = change(self._machines[vm])
        return self._machines[vm]

    @abstractmethod
    def live(self, vm: str) -> LiveT | None:
        """A VM's QEMU; None when there is none."""

    def running(self, vm: str) -> LiveT:
        live = self.live(vm)
        if live is None:
            raise XenopsError(DomainNotBuilt())
        return live


class Host(Known[Machine, Live]):
    """As much of `Hypervisor` as the verbs use: VMs `a` and `b`, each with a QEMU."""

    def __init__(self, own_pcis: tuple[str, ...] = (), user: Any = None) -> None:
        self.settings = SimpleNamespace(user=user)
        self.qemus = {name: Qemu() for name in "ab"}
        self._machines = {
            name: created(Machine(id=name), sample_vm(name), number, 0.0).with_domain(
                own_pcis=tuple(own_pcis)
            )
            for number, name in enumerate("ab", 1)
        }

    @override
    def live(self, vm: str) -> Live | None:
        return cast("Live | None", self.qemus.get(vm))

    def as_hypervisor(self) -> Hypervisor:
        return cast("Hypervisor", self)


def pci(name: str, vm: str = "a", position: int = 0) -> Pci:
    domain, bus, rest = name.split(":")
    dev, fn = rest.split(".")
    address = PciAddress(domain=int(domain, 16), bus=int(bus, 16), dev=int(dev, 16), fn=int(fn, 16))
    return Pci(id=DeviceId(vm, name), position=position, address=address)


A, B = VmId("a"), VmId("b")
