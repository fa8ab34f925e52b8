"""The libxl backend on the Xen test host, as a subject of the conformance suite and of tests of its own."""

from pathlib import Path

from guest_subject import UNSUPPORTED, GuestSubject
from hvm_subject import BootSectors
from schema.objects.vm import Pv, Pvh
from typing_extensions import override
from worker_xen.settings import BINDINGS
from worker_xen.xenlight.backend import Xenlight
from worker_xen.xenlight.hypervisor import XenlightSettings


class XenlightSubject(GuestSubject):
    unsupported = UNSUPPORTED | {
        "HOST.combine_cpu_policies",
        "HOST.is_compatible",
        "HOST.update_guest_agent_features",
    }

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self._settings = XenlightSettings(directory / "run", BINDINGS)
        super().__init__(directory, ty)

    @override
    def open(self) -> None:
        self.backend = Xenlight(self._settings)
        self.backend.start(lambda _: None)


class XenlightHvmSubject(BootSectors, XenlightSubject):
    """With HVM guests."""

    unsupported = XenlightSubject.unsupported - {"VM.s3resume", "VM.s3suspend", "VUSB.plug"}
