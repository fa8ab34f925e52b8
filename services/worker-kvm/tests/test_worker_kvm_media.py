"""A medium is put in, though the guest may close the tray in the very moment."""

from typing import Any, cast

import pytest
from engine.conformance.subject import refusal
from schema.fault import internal_error
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vbd import Vbd, VbdType
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk, Slot, Source
from worker_kvm.qemu.media import TRIES, exchange

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


@pytest.mark.parametrize("closes", range(TRIES))
def test_a_tray_that_a_guest_closes_is_opened_again(closes: int) -> None:
    qemu = Qemu(closes)
    exchange(cast("Live", qemu), DRIVE, FULL)
    assert qemu.done.count("blockdev-open-tray") == closes + 1
    assert qemu.done.count("blockdev-close-tray") == 1


def test_a_tray_that_a_guest_always_closes_is_told() -> None:
    qemu = Qemu(TRIES)
    error = refusal(lambda: exchange(cast("Live", qemu), DRIVE, FULL))
    assert isinstance(error, InternalError)
    assert "Tray" in error.message
