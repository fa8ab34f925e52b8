"""Exporting: disks whose content comes with their guest: another host's QEMU writes them over NBD."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from engine.image import ImageStream
from schema.fault import XenopsError, internal_error

from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk
from worker_kvm.qemu.mirrored import SERVER, Mirrored, export_words
from worker_kvm.qemu.nodes import size_of_node
from worker_kvm.qemu.starting import listen
from worker_kvm.tunnels import open_tunnel_in


@contextmanager
def exporting(
    live: Live, mirrored: Sequence[tuple[Mirrored, Disk]], directory: Path, stream: ImageStream | None
) -> Iterator[None]:
    """While inside, the other host writes these disks.

    It takes them by a socket in `directory`, which is not QEMU's: what we connect to is that one.

    Errors: `Internal_error`, a disk is not as large as there; those of `ImageStream.line`.
    """
    if not mirrored or stream is None:
        yield
        return
    for told, disk in mirrored:
        _refuse_other_size(live, told, disk)
    with ExitStack() as ending:
        path = directory / SERVER
        live.give(listen(path, ending), SERVER)
        ending.callback(path.unlink, missing_ok=True)
        live.do("nbd-server-start", {"addr": {"type": "fd", "data": {"str": SERVER}}})
        ending.callback(_stop, live)
        for _, disk in mirrored:
            live.do("block-export-add", export_words(disk.slot))
            open_tunnel_in(path, stream.line(disk.slot.device), ending)
        yield


def _refuse_other_size(live: Live, told: Mirrored, disk: Disk) -> None:
    size, path = size_of_node(live, disk.slot.node), disk.source.path if disk.source else ""
    if size != told.size:
        raise internal_error(
            f"The disk {path} has {size} bytes on this host, and {told.size} on the one that its VM comes "
            f"from: make it as large (qemu-img create -f raw {path} {told.size})"
        )


def _stop(live: Live) -> None:
    with suppress(XenopsError):  # one that is gone takes nothing
        live.try_to("nbd-server-stop")
