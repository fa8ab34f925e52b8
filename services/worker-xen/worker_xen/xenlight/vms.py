"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; Xen then makes it with all."""

from collections.abc import Sequence
from typing import Any

from engine.backend import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream
from engine.refusals import refuse_unless_there
from engine.unrestricted import UnassistedVms
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.errors import BallooningTimeoutBeforeMigration, InvalidVcpus
from schema.objects.network import Network
from schema.objects.vm import DirectBoot, Hvm, Vm, VmState
from typing_extensions import override

from worker_xen.xenlight.config import KIB, booting
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import created
from worker_xen.xenlight.states import action_request, vm_state
from worker_xen.xenlight.suspend import restore_vm, resume_vm, save_vm
from worker_xen.xenlight.values import LibxlError
from worker_xen.xenlight.vifs import set_carrier_of

BALLOONING_TIMEOUT_S = 120.0
"""As in the original."""

POLL_S = 0.1
"""A guest's end, or its acknowledgement, is looked for so often."""

_BALLOON_SLACK_BYTES = 4 << 20
"""A balloon this near to its target has reached it."""


class XenlightVms(UnassistedVms):
    """`VmVerbs` on libxl."""

    minimum_reboot_delay_s = 120.0

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, with its domain if there is one."""
        self._hypervisor.destroy(vm.id)
        self._hypervisor.remove(vm.id)

    @override
    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        self._hypervisor.rename(vm, name)

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        """Note a domain."""
        execution.check_cancelled()
        if self._hypervisor.look(vm.id).domain is None:
            self._hypervisor.destroy(vm.id)  # what is noted of one that Xen has no more
        final, now = str(options.final or vm.id), self._hypervisor.now()
        self._hypervisor.change(vm.id, lambda machine: created(machine, vm, final, now))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; libxl reads it when it makes the domain."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        _refuse_unless_bootable(vm)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True))

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
            set_carrier_of(domid, nic.vif)

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """Nothing: it ends with the domain."""

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._hypervisor.destroy(vm.id)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        _, domid = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.libxl.pause(domid)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        _, domid = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.libxl.unpause(domid)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        _, domid = self._hypervisor.running(vm.id)
        self._hypervisor.nodes.replace_xsdata(domid, dict(xsdata))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        if not 1 <= vcpus <= vm.vcpu_max:
            raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
        _, domid = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.libxl.set_vcpus(domid, vcpus, vm.vcpu_max)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vcpus=vcpus))

    @override
    def set_shadow_multiplier(self, execution: Execution, vm: Vm, multiplier: float) -> None:
        raise unimplemented("VM.set_shadow_multiplier")

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        _, domid = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.libxl.set_memory_target(domid, maximum_bytes // KIB)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(memory_target_bytes=maximum_bytes))

    @override
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Ask by xenstore, where the guest acknowledges; one that is paused does not."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        if request not in {ShutdownRequest.HALT, ShutdownRequest.POWER_OFF, ShutdownRequest.REBOOT}:
            raise unimplemented(f"VM.request_shutdown for {request}")
        _, info = self._hypervisor.seen(vm.id)
        if info is None or info.paused:
            return False
        if info.reason is not None:
            return True
        try:
            self._hypervisor.libxl.ask_shutdown(info.domid, reboot=request is ShutdownRequest.REBOOT)
        except LibxlError:  # its drivers know nothing of Xen
            with spoken():
                self._hypervisor.libxl.press_power_button(info.domid)
            return True
        return self._until(execution, timeout_s, lambda: self._has_acknowledged(vm, info.domid))

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        return self._until(execution, timeout_s, lambda: self._has_ended(vm))

    @override
    def assert_can_save(self, vm: Vm) -> None:
        self._hypervisor.running(vm.id)

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
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""
        domain, _ = self._hypervisor.running(vm.id)
        target = domain.memory_target_bytes

        def is_there() -> bool:
            _, info = self._hypervisor.seen(vm.id)
            return info is None or abs(info.memory_bytes - target) <= _BALLOON_SLACK_BYTES

        if not self._until(execution, BALLOONING_TIMEOUT_S, is_there):
            raise XenopsError(BallooningTimeoutBeforeMigration())

    @override
    def get_state(self, vm: Vm) -> VmState:
        machine, info = self._hypervisor.seen(vm.id)
        console = None
        if info is not None:
            with spoken():
                console = self._hypervisor.libxl.console(info.domid, emulated=isinstance(vm.ty, Hvm))
        return vm_state(machine, info, console)

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; what a guest that has ended wants stands."""
        self._hypervisor.change(
            vm.id, lambda machine: machine.with_domain(action=action) if machine.domain else machine
        )

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        machine, info = self._hypervisor.seen(vm.id)
        return action_request(machine, info)

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """Nothing: what another host must know is in the VM's configuration, and in the image."""
        return ""

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        """Nothing: see `get_internal_state`."""

    def _has_acknowledged(self, vm: Vm, domid: int) -> bool:
        return self._has_ended(vm) or not self._hypervisor.nodes.read(domid, "control/shutdown")

    def _has_ended(self, vm: Vm) -> bool:
        _, info = self._hypervisor.seen(vm.id)
        return info is None or info.reason is not None

    def _until(self, execution: Execution, timeout_s: float, holds: Any) -> bool:
        """Wait, and look, until something holds; answers whether it does."""
        waited_s = 0.0
        while not holds():
            if waited_s >= timeout_s:
                return False
            execution.wait(POLL_S)
            waited_s += POLL_S
        return True


def _refuse_unless_bootable(vm: Vm) -> None:
    """Errors: `Internal_error` that names the file, `Unimplemented`."""
    booting(vm)
    if isinstance(vm.ty, Hvm) or not isinstance(vm.ty.info.boot, DirectBoot):
        return
    boot = vm.ty.info.boot.boot
    refuse_unless_there(vm, boot)
