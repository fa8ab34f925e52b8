"""A medium is put in, though the guest may close the tray in the very moment."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.fault import internal_error
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vbd import Vbd, VbdType
from virt.values import VirtError
from worker_kvm.libvirt import machine as libvirt_machine
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.vbds import LibvirtVbds
from worker_kvm.qemu.content import OverlaidContent
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk, Slot
from worker_kvm.qemu.media import exchange, insistently

DRIVE = Disk(vbd=Vbd(id=DeviceId("v1", "xvdd"), ty=VbdType.CDROM), slot=Slot(bus="scsi", unit=3), source=None)
FULL = DRIVE.holding(LocalDisk(path="/cd"), source=Source(path="/cd", format="raw"))
CLOSED = internal_error("Tray of the device is not open")


class Qemu:
    """As much of `Live` as `exchange` uses; its guest closes the tray so many times."""

    def __init__(self, closes: int) -> None:
        self.done: list[str] = []
        self._closes = closes

    def do(self, command: str, _arguments: object = None) -> Any:
        self.done.append(command)
        if command == "blockdev-insert-medium" and self.done.count(command) <= self._closes:
            raise CLOSED
        return {}

    def open_node(self, *_: object, **__: object) -> None:
        self.done.append("open")

    def remove_node(self, *_: object) -> bool:
        return True


class Libvirt:
    """As much of `Hypervisor` as `LibvirtVbds` uses; the guest closes the tray so many times."""

    def __init__(self, closes: int) -> None:
        self.virt = self
        self.told: list[str] = []
        self.opened: list[str] = []
        self.closes = closes

    def lasting(self, vm: str) -> Any:
        return SimpleNamespace(uuid=vm, trays=nullcontext())

    def open_tray(self, _uuid: str, alias: str) -> None:
        self.opened.append(alias)

    def update(self, _uuid: str, document: str) -> None:
        """It opens no tray that it believes to be open."""
        self.told.append(document)
        if len(self.opened) < self.closes:
            raise VirtError("unable to execute QEMU command: Tray of device 'ua-scsi3' is not open")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_kvm.qemu.media.PAUSE_S", 0.0)


@pytest.mark.parametrize("closes", [0, 1, 100])
def test_a_tray_that_a_guest_closes_is_opened_again(closes: int) -> None:
    qemu = Qemu(closes)
    exchange(cast("Live", qemu), DRIVE, FULL)
    assert qemu.done.count("blockdev-open-tray") == closes + 1
    assert qemu.done.count("blockdev-close-tray") == 1


def test_a_tray_that_a_guest_always_closes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_kvm.qemu.media.PATIENCE_S", 0.0)
    qemu = Qemu(1_000_000)
    error = refusal(lambda: exchange(cast("Live", qemu), DRIVE, FULL))
    assert isinstance(error, InternalError)
    assert "Tray" in error.message


def test_what_fails_otherwise_is_not_tried_again() -> None:
    asked: list[None] = []

    def act() -> None:
        asked.append(None)
        raise internal_error("there is no such file")

    assert isinstance(refusal(lambda: insistently(act)), InternalError)
    assert len(asked) == 1


@pytest.mark.parametrize("closes", [0, 100])
def test_a_tray_that_a_guest_on_libvirt_closes_is_opened_again(closes: int) -> None:
    libvirt = Libvirt(closes)
    drive = libvirt_machine.Disk(vbd=DRIVE.vbd, bus="scsi", unit=3, source=FULL.source)
    machine = cast("libvirt_machine.Machine", SimpleNamespace(id="v1"))
    LibvirtVbds(cast("Hypervisor", libvirt), cast("OverlaidContent", None))._exchange(
        SuiteExecution(), machine, drive.holding(None, source=None), drive
    )
    assert len(libvirt.told) == closes + 1
    assert libvirt.opened == ["ua-scsi3"] * closes
