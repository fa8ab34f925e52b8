"""The libvirt backend as a subject, in dom0, and its libvirtd."""

import queue
from pathlib import Path

import xen_libvirtd
from engine.conformance import Subject, SuiteExecution
from schema.objects.disk import Disk
from schema.objects.dynamic import ObjectId
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Pv, Pvh, Vm
from typing_extensions import override
from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings
from xen_guests import PATIENCE_S, UP, Guests, await_words

UNSUPPORTED = frozenset(
    {
        "HOST.combine_cpu_policies",
        "HOST.console_data",
        "HOST.is_compatible",
        "HOST.send_debug_keys",
        "HOST.update_guest_agent_features",
        "PCI.plug",
        "VGPU.set_active",
        "VGPU.start",
        "VIF.set_ipv4_configuration",
        "VIF.set_locking_mode",
        "VIF.set_trunks",
        "VM.get_internal_state",
        "VM.request_rdp",
        "VM.run_script",
        "VM.s3resume",
        "VM.s3suspend",
        "VM.set_internal_state",
        "VM.set_shadow_multiplier",
        "VM.soft_reset",
        "VUSB.plug",
    }
)


class LibvirtSubject(Subject):
    unsupported = UNSUPPORTED
    patience_s = PATIENCE_S
    keeps_domid = False

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self._settings = LibvirtSettings(directory / "run", xen_libvirtd.URI, "conformance")
        self._guests = Guests(directory, ty)
        self._made: list[Vm] = []
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        self.open()

    def open(self) -> None:
        self.hypervisor = Hypervisor(self._settings)
        self.backend = Libvirt(self.hypervisor)
        self.backend.start(self.changes.put)

    def vm(self, *words: str) -> Vm:
        self._made.append(self._guests.vm(*words))
        return self._made[-1]

    @override
    def make_vm(self) -> Vm:
        return self.vm()

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return self._guests.vbd(vm, number)

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return self._guests.cd(vm, number)

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return self._guests.vif(vm, number)

    @override
    def make_image(self) -> Disk:
        return self._guests.image()

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)
        await_words(vm.id, UP)

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.open()

    def end(self) -> None:
        for vm in self._made:
            self.backend.vm.remove(vm)
        self.backend.stop()
