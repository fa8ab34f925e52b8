"""Vfio: the host's PCI devices by sysfs, from their drivers to guests and back.

A device of a guest is the driver vfio-pci's, and whoever opens the file of its IOMMU group has it.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.hosted.sysfs import SYSFS, Write
from schema.fault import internal_error

from worker_kvm.pci import VFIO_DRIVER, Group, Member

GROUP_BUSY_S = 10.0
"""How long the kernel may take to notice that nobody uses a group any more."""

_GROUP_BUSY_POLL_S = 0.05

_ANY_DRIVER = "\n"
"""Written to a device's `driver_override`: from then on any that knows it may take it."""


class Vfio:
    """A host's PCI devices, below its `sysfs` and `devices` directories."""

    def __init__(
        self,
        sysfs: Path = SYSFS,
        devices: Path = Path("/dev/vfio"),
        write: Write = Path.write_text,
        patience_s: float = GROUP_BUSY_S,
    ) -> None:
        self._patience_s = patience_s
        self._pci = sysfs / "bus" / "pci"
        self._nodes = devices
        self._write = write

    def group(self, name: str) -> Group:
        """The IOMMU group of a device. Errors: `Internal_error` that says what is missing."""
        device = self._device(name)
        if not device.is_dir():
            raise internal_error(f"This host has no PCI device {name}: correct the address, see `lspci -D`")
        if not (device / "iommu_group").exists():
            raise internal_error(
                f"PCI device {name} cannot be given to a VM: this host has no IOMMU that Linux uses; switch "
                "on VT-d or AMD-Vi in the firmware, and boot with `intel_iommu=on` where the host is Intel's"
            )
        group = (device / "iommu_group").resolve()
        names = sorted(member.name for member in (group / "devices").iterdir())
        return Group(int(group.name), tuple(Member(each, self.driver(each)) for each in names))

    def driver(self, name: str) -> str | None:
        """The driver that has a device; None: none has."""
        driver = self._device(name) / "driver"
        return driver.resolve().name if driver.exists() else None

    def take(self, name: str) -> None:
        """Have vfio-pci have a device; it has it already, nothing to do. Failed, it is as it was.

        Errors: `Internal_error` that names the device.
        """
        before = self.driver(name)
        if before == VFIO_DRIVER:
            return
        if not (self._pci / "drivers" / VFIO_DRIVER).is_dir():
            raise internal_error(f"PCI device {name} cannot be given to a VM: `modprobe vfio-pci`")
        try:
            self._bind(name, VFIO_DRIVER)
        except OSError as error:
            self._undo(name, before)
            raise internal_error(
                f"PCI device {name} cannot be given to a VM: {error}; the worker must be root, and the "
                "kernel's log says more"
            ) from error
        if self.driver(name) != VFIO_DRIVER:
            self._undo(name, before)
            raise internal_error(
                f"PCI device {name} cannot be given to a VM: vfio-pci does not want it, a bridge for example"
            )

    def give_back(self, drivers: Mapping[str, str | None]) -> None:
        """Let the host have devices of a group again, as it had them: each with its driver, or without one.

        All are taken from vfio-pci first: the kernel lets no other driver have one of a group that is in use,
        as it is for a moment after the end of a QEMU that was killed. What is gone, or was vfio-pci's before,
        is left alone. Errors: `Internal_error` that names the first that failed, when all were tried.
        """
        owed = {name: driver for name, driver in drivers.items() if driver != VFIO_DRIVER}
        owed = {name: driver for name, driver in owed.items() if self._device(name).is_dir()}
        failures: dict[str, OSError] = {}
        for bind in (self._unbind, self._probe_patiently):
            for name, driver in owed.items():
                try:
                    bind(name, driver)
                except OSError as error:
                    failures.setdefault(name, error)
        for name, failure in failures.items():
            raise internal_error(
                f"PCI device {name} cannot be given back to this host's driver {owed[name]}: {failure}; the "
                "kernel's log says more"
            ) from failure

    def owner(self, number: int) -> tuple[int, int]:
        """Whose the file of a group is: uid and gid. Errors: `Internal_error`, it has none."""
        try:
            found = self._node(number).stat()
        except OSError as error:
            raise self._unusable(number, error) from error
        return found.st_uid, found.st_gid

    def refuse_if_open(self, number: int) -> None:
        """Errors: `Internal_error`, a program has the group, or nobody can."""
        try:
            os.close(os.open(self._node(number), os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise self._unusable(number, error) from error

    def hand_over(self, number: int, owner: tuple[int, int]) -> None:
        """Let a user, and nobody else, open a group; its file has gone with its devices: nothing to do.

        Errors: `Internal_error`.
        """
        try:
            os.chown(self._node(number), *owner)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(number, error) from error

    def _undo(self, name: str, driver: str | None) -> None:
        with suppress(OSError):
            self._bind(name, driver)

    def _bind(self, name: str, driver: str | None) -> None:
        self._unbind(name, driver)
        self._probe(name, driver)

    def _unbind(self, name: str, driver: str | None) -> None:
        """Take a device from the driver that has it, for another one."""
        device = self._device(name)
        self._write(device / "driver_override", driver or _ANY_DRIVER)
        if (device / "driver").exists():
            self._write(device / "driver" / "unbind", name)

    def _probe(self, name: str, driver: str | None) -> None:
        if driver is not None:
            self._write(self._pci / "drivers_probe", name)
        if driver != VFIO_DRIVER:
            self._write(self._device(name) / "driver_override", _ANY_DRIVER)

    def _probe_patiently(self, name: str, driver: str | None) -> None:
        end = time.monotonic() + self._patience_s
        while True:
            try:
                self._probe(name, driver)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(_GROUP_BUSY_POLL_S)
            else:
                return

    def _device(self, name: str) -> Path:
        return self._pci / "devices" / name

    def _node(self, number: int) -> Path:
        return self._nodes / str(number)

    def _unusable(self, number: int, error: OSError) -> Exception:
        return internal_error(
            f"IOMMU group {number} cannot be given to a VM: {self._node(number)}: {error.strerror}; if it is "
            f"busy, a program has it (`fuser {self._node(number)}`)"
        )
