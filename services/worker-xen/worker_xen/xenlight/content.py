"""Content: where a disk's bytes are on this host."""

from engine.hosted.localdisk import format_of, local_path, refuse_unless_disk
from schema.objects.disk import Disk
from schema.objects.vbd import Vbd

from worker_xen.xenlight.machine import Source


def find_source(vbd: Vbd, disk: Disk) -> Source:
    """Where a disk is. Errors: `Internal_error` that names the file; `Unimplemented`."""
    path = local_path(disk)
    refuse_unless_disk(path)
    return Source(path=path, format=format_of(vbd, path))
