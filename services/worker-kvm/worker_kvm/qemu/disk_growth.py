"""Disk growth: raw disks that have grown on the host, of which QEMU hears nothing by itself."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from engine.hosted.machine import Source
from schema.fault import XenopsError

from worker_kvm.qemu.devices import is_read_only
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk
from worker_kvm.qemu.nodes import size_of_node
from worker_kvm.watched import Status

SECTOR_BYTES = 512
"""A disk has whole ones."""

_LOG = logging.getLogger(__name__)


class Growth:
    """What is known of the disks' sizes; for one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[str, int]] = {}

    def look(self, guests: Iterable[tuple[int, Live, Iterable[Disk]]]) -> None:
        """Tell guests, by domain's number, what has grown. Only one that runs is sure to have its disks."""
        before, self._known = self._known, {}
        for domid, live, disks in guests:
            for disk in disks:
                if _may_grow(disk) and disk.source is not None:
                    key = (domid, disk.slot.node)
                    try:
                        self._note(key, live, disk.source, before.get(key))
                    except XenopsError as error:
                        _LOG.warning("%s", error)

    def _note(self, key: tuple[int, str], live: Live, source: Source, known: tuple[str, int] | None) -> None:
        size = size_on_host(source)
        if size is None or live.status is not Status.RUNNING:
            if known is not None:
                self._known[key] = known
            return
        if known is None or known[0] != source.path:
            told = size_of_node(live, key[1])
            if told is None:
                return
            known = source.path, told
        if size > known[1] and _has_open(live.process.pid, Path(source.path)):
            live.do("block_resize", {"node-name": key[1], "size": size})
            _LOG.info("%s has grown to %d bytes, and its guest was told", source.path, size)
        self._known[key] = source.path, max(size, known[1])


def _may_grow(disk: Disk) -> bool:
    return (
        disk.activated and not is_read_only(disk) and disk.source is not None and disk.source.format == "raw"
    )


def size_on_host(source: Source) -> int | None:
    """Of a raw disk, in bytes, whole sectors; None: it cannot be told."""
    if source.export is not None:
        return None
    try:
        if not source.is_device:
            size = Path(source.path).stat().st_size
        else:
            descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.lseek(descriptor, 0, os.SEEK_END)
            finally:
                os.close(descriptor)
    except OSError:
        return None
    return size // SECTOR_BYTES * SECTOR_BYTES


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has just this file open: another may be at its path by now."""
    try:
        wanted = path.stat()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if entry.exists() and os.path.samestat(entry.stat(), wanted):
                return True
    except OSError:
        return False
    return False
