"""Content: disks as the control domain has them, for its block driver or for a hotplug script to find."""

from engine.hosted.localdisk import format_of
from engine.hosted.machine import Source
from engine.hosted.storage.content import LastingContent, is_read_only
from engine.hosted.storage.ports import Storage
from schema.fault import internal_error, unimplemented
from schema.objects.disk import Disk
from schema.objects.vbd import Vbd
from typing_extensions import override

from worker_xen.classic.dom0 import Dom0
from worker_xen.classic.machine import script_of


class Dom0Content(LastingContent):
    """The disks of this host."""

    def __init__(self, dom0: Dom0, storage: Storage | None = None) -> None:
        super().__init__(storage)
        self._dom0 = dom0

    @override
    def _in_file(self, vbd: Vbd, disk: Disk, path: str) -> Source:
        """One that can be opened, and is raw; what a hotplug script finds is not looked at.

        Errors: `Internal_error` that names it; `Unimplemented`.
        """
        if not path.startswith("/"):
            raise internal_error(f"The disk {path!r} has no absolute path: correct the VBD's backend")
        if format_of(vbd, path) != "raw":
            raise unimplemented("VBD.plug of a disk that is not raw")
        if script_of(vbd) is None:
            self._dom0.check(path, read_only=is_read_only(vbd))
        return Source(path=path, format="raw")
