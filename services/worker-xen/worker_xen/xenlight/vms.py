"""The verbs on VMs, on libxl."""

from collections.abc import Callable

from engine.backend import Devices, Execution
from engine.hosted.usb import refuse_with_usbs
from engine.image import Image, ImageStream
from schema.objects.vm import Hvm, Vm, VmState
from typing_extensions import override

from worker_xen.gathered.vifs import set_carrier_of
from worker_xen.gathered.vms import GatheredVms
from worker_xen.xenlight.bridging import end_of
from worker_xen.xenlight.config import KIB, booting
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Domain
from worker_xen.xenlight.sleeping import put_to_sleep, refuse_asleep, wake
from worker_xen.xenlight.states import port_of, vm_state
from worker_xen.xenlight.suspend import restore_vm, resume_vm, save_vm
from worker_xen.xenlight.values import DomainInfo, LibxlError


class XenlightVms(GatheredVms[Hypervisor]):
    """`VmVerbs` on libxl."""

    @override
    def _refuse_unless_sayable(self, vm: Vm) -> None:
        booting(vm)

    @override
    def _set_vcpus(self, domain: Domain, domid: int, vcpus: int, maximum: int) -> None:
        with spoken():
            self._hypervisor.libxl.set_vcpus(domid, vcpus, maximum)

    @override
    def _set_memory_target(self, domain: Domain, domid: int, target_bytes: int) -> None:
        with spoken():
            self._hypervisor.libxl.set_memory_target(domid, target_bytes // KIB)

    @override
    def _ask_shutdown(self, info: DomainInfo, *, reboot: bool) -> bool:
        """By xenstore; a guest whose drivers know nothing of Xen has its power button pressed."""
        try:
            self._hypervisor.libxl.ask_shutdown(info.domid, reboot=reboot)
        except LibxlError:
            with spoken():
                self._hypervisor.libxl.trigger(info.domid, "POWER")
            return False
        return True

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Have Xen make the domain, with its device model if it needs one; the guest waits."""
        execution.check_cancelled()
        self._hypervisor.launch(execution, vm.id, self._hypervisor.libxl.create)
        self._hypervisor.change(vm.id, lambda machine: machine.but(suspended=False))
        domain, domid = self._hypervisor.running(vm.id)
        for nic in domain.nics:
            set_carrier_of(end_of(domid, nic.vif.position), nic.vif)

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """Nothing: it ends with the domain."""

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        self._hold(vm, self._hypervisor.libxl.pause, paused=True)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        self._hold(vm, self._hypervisor.libxl.unpause, paused=False)

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """Of an HVM guest. Errors: those of `put_to_sleep`."""
        execution.check_cancelled()
        put_to_sleep(self._hypervisor, vm, execution)

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Wake the guest, if it sleeps."""
        wake(self._hypervisor, vm, execution)

    @override
    def assert_can_save(self, vm: Vm) -> None:
        domain, domid = self._hypervisor.running(vm.id)
        refuse_with_usbs(vm.id, domain)
        refuse_asleep(self._hypervisor, domain, domid)

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        save_vm(self._hypervisor, execution, vm, image, live=live)

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
        machine, info = self._hypervisor.seen(vm.id)
        if info is None:
            return vm_state(machine, None, None)
        is_hvm = isinstance(vm.ty, Hvm)
        with spoken():
            console = self._hypervisor.libxl.console(info.domid, emulated=is_hvm)
        screen = self._hypervisor.nodes.read(info.domid, "console/vnc-port") if is_hvm else None
        return vm_state(machine, info, console, port_of(screen))

    def _hold(self, vm: Vm, do: Callable[[int], None], *, paused: bool) -> None:
        """Pause a guest or let it run, unless it is so: Xen counts pauses, and ends none too many."""
        domain, domid = self._hypervisor.running(vm.id)
        info = self._hypervisor.info(domain)
        if info is None or info.paused != paused:
            with spoken():
                do(domid)
