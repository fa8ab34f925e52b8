"""The verbs on VMs, on libvirt."""

from engine.backend import Devices, Execution
from engine.image import Image, ImageStream
from schema.objects.vm import Vm, VmState
from typing_extensions import override
from virt.spoken import spoken

from worker_xen.gathered.vifs import set_carrier_of
from worker_xen.gathered.vms import GatheredVms
from worker_xen.libvirt.document import console_of, refuse_unless_sayable, screen_of
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.libvirt.suspend import restore_vm, resume_vm, save_vm
from worker_xen.xenlight.config import scheduling
from worker_xen.xenlight.machine import Domain
from worker_xen.xenlight.states import vm_state
from worker_xen.xenlight.values import DomainInfo


class LibvirtVms(GatheredVms[Hypervisor]):
    """`VmVerbs` on libvirt."""

    @override
    def _refuse_unless_sayable(self, vm: Vm) -> None:
        refuse_unless_sayable(vm)

    @override
    def _set_vcpus(self, domain: Domain, domid: int, vcpus: int, maximum: int) -> None:
        with spoken():
            self._hypervisor.virt.set_vcpus(domain.uuid, vcpus)

    @override
    def _set_memory_target(self, domain: Domain, domid: int, target_bytes: int) -> None:
        with spoken():
            self._hypervisor.virt.set_memory(domain.uuid, target_bytes)

    @override
    def _ask_shutdown(self, info: DomainInfo, *, reboot: bool) -> bool:
        with spoken():
            self._hypervisor.virt.ask_shutdown(info.uuid, reboot=reboot)
        return True

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Have libvirt start the domain, with its device model if it needs one; the guest waits."""
        execution.check_cancelled()
        self._hypervisor.launch(vm.id, self._hypervisor.virt.create)
        self._hypervisor.change(vm.id, lambda machine: machine.but(suspended=False))
        domain, domid = self._hypervisor.running(vm.id)
        self._tell_what_documents_do_not(domain, domid)

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """End the domain at libvirt: so its devices go at once, and no guest is waited for."""
        self._hypervisor.end(vm.id)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        self._set_running(vm, runs=False)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        self._set_running(vm, runs=True)

    @override
    def assert_can_save(self, vm: Vm) -> None:
        if not self._hypervisor.look(vm.id).living().saved:
            self._hypervisor.running(vm.id)

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """To a file, by libvirt, and from there to another host; never live."""
        save_vm(self._hypervisor, execution, vm, image)

    @override
    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        restore_vm(self._hypervisor, execution, vm, image, devices=devices)
        self._tell_what_documents_do_not(*self._hypervisor.running(vm.id))

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        resume_vm(self._hypervisor, vm)

    @override
    def get_state(self, vm: Vm) -> VmState:
        machine, info = self._hypervisor.seen(vm.id)
        document = None
        if machine.domain is not None and info is not None and info.reason is None:
            document = self._hypervisor.document(machine.domain)
        console = None if document is None else console_of(document)
        screen = None if document is None else screen_of(document)
        return vm_state(machine, info, console, screen)

    def _set_running(self, vm: Vm, *, runs: bool) -> None:
        domain, _ = self._hypervisor.running(vm.id)
        _, info = self._hypervisor.seen(vm.id)
        if info is not None and info.reason is None and info.paused is runs:
            self._hypervisor.set_running(domain, runs=runs)

    def _tell_what_documents_do_not(self, domain: Domain, domid: int) -> None:
        """A share of the processors, what is for the guest to read, cables that are not in."""
        if words := scheduling(domain.vm):
            with spoken():
                self._hypervisor.virt.set_scheduling(domain.uuid, words["weight"], words["cap"])
        if domain.vm.xsdata:
            self._hypervisor.nodes.replace_xsdata(domid, dict(domain.vm.xsdata))
        for nic in domain.nics:
            set_carrier_of(self._hypervisor.end_of(domid, nic.vif), nic.vif)
