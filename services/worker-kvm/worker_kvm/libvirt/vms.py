"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; libvirt starts it with all."""

from collections.abc import Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream
from schema.fault import XenopsError, unimplemented
from schema.objects.errors import InvalidVcpus
from schema.objects.network import Network
from schema.objects.vm import Vm, VmState
from typing_extensions import override
from virt.spoken import spoken

from worker_kvm.libvirt.bootable import refuse_unless_bootable
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.states import vm_state
from worker_kvm.libvirt.suspend import assert_can_save, restore_vm, resume_vm, save_vm
from worker_kvm.seen import Status
from worker_kvm.vms import KvmVms


class LibvirtVms(KvmVms[Hypervisor, Live]):
    """`VmVerbs` on libvirt."""

    @override
    def _press(self, live: Live) -> None:
        with spoken():
            self._hypervisor.virt.press_power_button(live.uuid)

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        """Note a domain."""
        execution.check_cancelled()
        domain = self._hypervisor.look(vm.id).domain or self._hypervisor.fresh(vm)
        self._hypervisor.change(vm.id, lambda machine: machine.begun(lambda: domain))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; QEMU reads it when it starts."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        refuse_unless_bootable(vm)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True).but(suspended=False))

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Have libvirt start the domain; the guest waits."""
        execution.check_cancelled()
        self._hypervisor.launch(vm.id)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        """Stop the vCPUs; a guest that has ended counts as paused from now on."""
        live = self._hypervisor.running(vm.id)
        match live.status:
            case Status.ENDED:
                live.count_as_paused()
            case Status.RUNNING:
                with spoken():
                    live.change(lambda: self._hypervisor.virt.suspend(live.uuid), Status.PAUSED)
            case Status.PAUSED:
                pass

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        live = self._hypervisor.running(vm.id)
        if live.status is not Status.RUNNING:
            with spoken():
                live.change(lambda: self._hypervisor.virt.resume(live.uuid), Status.RUNNING)

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        """Plug or unplug vCPUs; a guest that does not let go of one makes libvirt say no."""
        domain = self._hypervisor.look(vm.id).launched()
        maximum = max(domain.vm.vcpu_max, domain.vm.vcpus)
        if not 1 <= vcpus <= maximum:
            raise XenopsError(InvalidVcpus(count=maximum))
        if vcpus != domain.vcpus:
            live = self._hypervisor.running(vm.id)
            with spoken():
                self._hypervisor.virt.set_vcpus(live.uuid, vcpus)
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vcpus=vcpus))

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        live = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.virt.set_memory(live.uuid, maximum_bytes)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(memory_target_bytes=maximum_bytes))

    @override
    def assert_can_save(self, vm: Vm) -> None:
        assert_can_save(self._hypervisor, vm)

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """To a file, by libvirt; never live."""
        save_vm(self._hypervisor, execution, vm, image)

    @override
    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        restore_vm(self._hypervisor, execution, vm, image, devices=devices)

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        resume_vm(self._hypervisor, vm)

    @override
    def get_state(self, vm: Vm) -> VmState:
        """From what events have told: libvirt is not asked."""
        machine = self._hypervisor.look(vm.id)
        domid = 0 if machine.domain is None else machine.domain.domid
        live = self._hypervisor.live(vm.id)
        return vm_state(machine, None if live is None else live.seen, self._hypervisor.console(domid))

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        raise unimplemented("VM.get_internal_state")

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        raise unimplemented("VM.set_internal_state")
