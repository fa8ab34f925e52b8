"""Media: what is in a drive, changed by us or taken out by the guest."""

import time
from collections.abc import Callable

from schema.fault import XenopsError

from worker_kvm.qemu.devices import takes_media
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk
from worker_kvm.qemu.throttling import throttle

CLOSE_TIMEOUT_S = 10.0
"""How long QEMU may take to let go of a medium's file: what is under way to it ends first."""

PATIENCE_S, PAUSE_S = 10.0, 0.05
"""A guest closes a tray that is open with nothing in yet, or resets the drive, which closes it unheard."""

_SHUT = "is not open"
"""QEMU's words then, which libvirt hands on."""


def exchange(live: Live, drive: Disk, changed: Disk) -> None:
    """The medium that is in goes out, even if it is the same: it is opened anew. The caller holds `trays`."""
    insistently(lambda: _exchange(live, drive, changed))


def insistently(act: Callable[[], None], prepare: Callable[[], None] | None = None) -> None:
    """Do what needs an open tray; again where the guest has closed it meanwhile. Errors: those of `act`.

    `prepare` is done before each time but the first.
    """
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except XenopsError as error:
            if _SHUT not in str(error) or time.monotonic() > end_s:
                raise
        time.sleep(PAUSE_S)
        if prepare is not None:
            prepare()


def _exchange(live: Live, drive: Disk, changed: Disk) -> None:
    tray = {"id": drive.slot.device}
    live.do("blockdev-open-tray", {**tray, "force": True})
    _take_out(live, drive)
    if changed.source is None:
        return
    live.open_node(changed.slot, changed.source, read_only=True)
    live.do("blockdev-insert-medium", {**tray, "node-name": changed.slot.node})
    live.do("blockdev-close-tray", tray)
    throttle(live, changed)


def empty_if_opened(live: Live, disk: Disk) -> bool:
    """Take out what the guest has opened the tray on: it is ejected. The caller holds `trays`.

    Answers whether there was something to do. Errors: `Internal_error` with QEMU's words.
    """
    if not takes_media(disk) or disk.source is None or disk.slot.device not in opened_trays(live):
        return False
    _take_out(live, disk)
    return True


def opened_trays(live: Live) -> set[str]:
    """The drives whose tray is open and that have a medium. Errors: `Internal_error` with QEMU's words."""
    return {
        str(found.get("qdev"))
        for found in live.do("query-block")
        if found.get("tray_open", False) and "inserted" in found
    }


def _take_out(live: Live, drive: Disk) -> None:
    live.do("blockdev-remove-medium", {"id": drive.slot.device})
    live.remove_node(drive.slot.node, CLOSE_TIMEOUT_S)
