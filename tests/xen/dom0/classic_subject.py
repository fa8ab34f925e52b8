"""Backend classic on the Xen test host, as a subject of the conformance suite and of tests of its own."""

from pathlib import Path
from typing import ClassVar

from guest_subject import UNSUPPORTED, GuestSubject
from hvm_subject import BootSectors
from schema.objects.dynamic import ObjectId
from schema.objects.vm import Pv, Pvh, Vm
from typing_extensions import override
from worker_xen.classic.backend import Classic, ClassicSettings, open_classic
from worker_xen.classic.users import Users
from worker_xen.settings import BINDINGS


class ClassicSubject(GuestSubject):
    """Its run directory is below `directory`; what changed by itself is in `changed`."""

    unsupported = UNSUPPORTED - {"VIF.set_ipv4_configuration", "VIF.set_locking_mode", "VIF.set_trunks"}
    users: ClassVar[Users | None] = None
    """As whom device models run; None: as root."""

    backend: Classic

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self.changed: list[ObjectId] = []
        self._run = directory / "run"
        super().__init__(directory, ty)

    @override
    def open(self) -> None:
        self.backend = open_classic(ClassicSettings(self._run, BINDINGS, self.users))
        self.backend.start(self.changed.append)

    @override
    def vm(self, *words: str) -> Vm:
        """Its console is logged by its name."""
        vm = super().vm(*words)
        self._made[-1] = vm.model_copy(update={"name": vm.id})
        return self._made[-1]


class ClassicHvmSubject(BootSectors, ClassicSubject):
    """With HVM guests; each device model runs as a user of its own."""

    unsupported = ClassicSubject.unsupported - {"VM.s3resume", "VM.s3suspend", "VUSB.plug"}
    users = (300000, 365535)
