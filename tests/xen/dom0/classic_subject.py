"""Backend classic on the Xen test host, as a subject of the conformance suite and of tests of its own."""

from pathlib import Path

from engine.conformance import Subject, SuiteExecution
from schema.objects.disk import Disk
from schema.objects.dynamic import ObjectId
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from typing_extensions import override
from worker_xen.classic.backend import Classic, open_classic
from worker_xen.settings import BINDINGS
from xen_guests import PATIENCE_S, UP, Guests, await_words

UNSUPPORTED = frozenset(
    {
        "PCI.plug",
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


class ClassicSubject(Subject):
    """Its run directory is below `directory`; what changed by itself is in `changed`."""

    unsupported = UNSUPPORTED
    patience_s = PATIENCE_S
    backend: Classic

    def __init__(self, directory: Path) -> None:
        self.changed: list[ObjectId] = []
        self.guests = Guests(directory)
        self._run = directory / "run"
        self._made: list[Vm] = []
        self.open()

    def open(self) -> None:
        """Have a backend."""
        self.backend = open_classic(self._run, BINDINGS)
        self.backend.start(self.changed.append)

    @override
    def make_vm(self) -> Vm:
        return self.vm()

    def vm(self, *words: str) -> Vm:
        """A VM whose guest finds `words` on its command line."""
        vm = self.guests.vm(*words)
        self._made.append(vm.model_copy(update={"name": vm.id}))  # by which its console is logged
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
