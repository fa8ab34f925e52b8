"""The libvirt backend as a subject, in dom0, and its libvirtd."""

import queue
from pathlib import Path

import xen_libvirtd
from guest_subject import UNSUPPORTED, GuestSubject
from hvm_subject import BootSectors
from schema.objects.dynamic import ObjectId
from schema.objects.vm import Pv, Pvh
from typing_extensions import override
from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings


class LibvirtSubject(GuestSubject):
    unsupported = UNSUPPORTED | {
        "HOST.combine_cpu_policies",
        "HOST.console_data",
        "HOST.is_compatible",
        "HOST.send_debug_keys",
        "HOST.update_guest_agent_features",
        "PCI.plug",
    }
    keeps_domid = False

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self._settings = LibvirtSettings(directory / "run", xen_libvirtd.URI, "conformance")
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        super().__init__(directory, ty)

    @override
    def open(self) -> None:
        self.hypervisor = Hypervisor(self._settings)
        self.backend = Libvirt(self.hypervisor)
        self.backend.start(self.changes.put)


class LibvirtHvmSubject(BootSectors, LibvirtSubject):
    """With HVM guests."""
