"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; libvirt starts it with all."""

from collections.abc import Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.hosted.ballooning import await_balloon
from engine.image import Image, ImageStream
from engine.unrestricted import UnassistedVms
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.errors import (
    InvalidVcpus,
)
from schema.objects.network import Network
from schema.objects.vm import Vm, VmState
from typing_extensions import override
from virt.spoken import spoken

from worker_kvm.libvirt.bootable import refuse_unless_bootable
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.states import vm_state
from worker_kvm.libvirt.suspend import assert_can_save, restore_vm, resume_vm, save_vm
from worker_kvm.qemu.live import Status
from worker_kvm.qemu.vms import POWER_BUTTON_INTERVAL_S


class LibvirtVms(UnassistedVms):
    """`VmVerbs` on libvirt."""

    minimum_reboot_delay_s = 0.0

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, with its domain if there is one."""
        self._destroy(vm.id)
        self._hypervisor.remove(vm.id)

    @override
    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        """Give the VM another id; its domain goes by its UUID."""
        self._hypervisor.rename(vm, name)

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
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """End the domain at libvirt."""
        self._hypervisor.end(vm.id)

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._destroy(vm.id)

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
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        raise unimplemented("VM.set_xsdata")

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
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Press the power button, which a guest that runs cannot fail to see; one that is paused does not."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        live = self._hypervisor.live(vm.id)
        if live is None or live.status is Status.PAUSED:
            return False
        if live.status is Status.RUNNING:
            with spoken():
                self._hypervisor.virt.press_power_button(live.uuid)
        return True

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        """Wait until the guest has ended, pressing the button again: a guest that boots misses it."""
        live = self._hypervisor.live(vm.id)
        if live is None:
            return True
        waited_s = 0.0
        while waited_s < timeout_s:
            patience_s = min(POWER_BUTTON_INTERVAL_S, timeout_s - waited_s)
            if live.wait_ended(execution, patience_s):
                return True
            waited_s += patience_s
            with spoken():
                self._hypervisor.virt.press_power_button(live.uuid)
        return live.status is Status.ENDED

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
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""
        live = self._hypervisor.running(vm.id)
        target_bytes = self._hypervisor.look(vm.id).launched().memory_target_bytes
        await_balloon(execution, lambda: live.seen.memory_bytes - target_bytes)

    @override
    def get_state(self, vm: Vm) -> VmState:
        """From what events have told: libvirt is not asked."""
        machine = self._hypervisor.look(vm.id)
        domid = 0 if machine.domain is None else machine.domain.domid
        live = self._hypervisor.live(vm.id)
        return vm_state(machine, None if live is None else live.seen, self._hypervisor.console(domid))

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; what a guest that has ended wants stands."""
        live = self._hypervisor.live(vm.id)
        if live is None or live.asked is None:
            self._hypervisor.change(vm.id, lambda machine: machine.asking(action))

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        live, domain = self._hypervisor.live(vm.id), self._hypervisor.look(vm.id).domain
        if live is not None and live.asked is not None:
            return live.asked
        return DomainAction.POWEROFF if domain is None else domain.action

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        raise unimplemented("VM.get_internal_state")

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        raise unimplemented("VM.set_internal_state")

    def _destroy(self, vm: str) -> None:
        domain = self._hypervisor.look(vm).domain
        if domain is None:
            return
        self._hypervisor.end(vm)
        self._hypervisor.clear(domain.domid)
        self._hypervisor.change(vm, lambda machine: machine.but(domain=None))
