"""A backend on the Xen test host as a subject of the conformance suite, with real guests."""

from abc import abstractmethod
from pathlib import Path

from engine.conformance import Subject, SuiteExecution
from schema.objects.disk import Disk
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Pv, Pvh, Vm
from typing_extensions import override
from xen_guests import PATIENCE_S, UP, Guests, await_words

UNSUPPORTED = frozenset(
    {
        "VGPU.set_active",
        "VGPU.start",
        "VIF.set_ipv4_configuration",
        "VIF.set_locking_mode",
        "VIF.set_trunks",
        "VM.request_rdp",
        "VM.run_script",
        "VM.s3resume",
        "VM.s3suspend",
        "VM.set_shadow_multiplier",
        "VM.soft_reset",
        "VUSB.plug",
    }
)
"""What no backend of worker-xen does."""


class GuestSubject(Subject):
    """Its files are below `directory`; guests are of the type `ty`."""

    unsupported = UNSUPPORTED
    patience_s = PATIENCE_S

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self.guests = Guests(directory, ty)
        self._made: list[Vm] = []
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Have a backend, started."""

    @override
    def make_vm(self) -> Vm:
        return self.vm()

    def vm(self, *words: str) -> Vm:
        """A VM whose guest finds `words` on its command line."""
        self._made.append(self.guests.vm(*words))
        return self._made[-1]

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return self.guests.vbd(vm, number)

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return self.guests.cd(vm, number)

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return self.guests.vif(vm, number)

    @override
    def make_image(self) -> Disk:
        return self.guests.image()

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)
        await_words(vm.id, UP)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.open()

    def end(self) -> None:
        """All of its VMs are gone."""
        for vm in self._made:
            self.backend.vm.remove(vm)
        self.backend.stop()
