"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; libvirt makes it."""

import time
from collections.abc import Callable, Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream
from engine.refusals import refuse_unless_there
from engine.unrestricted import UnassistedVms
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.errors import BallooningTimeoutBeforeMigration, InvalidVcpus
from schema.objects.network import Network
from schema.objects.vm import Console, ConsoleProtocol, DirectBoot, Hvm, Vm, VmState
from typing_extensions import override
from virt.spoken import spoken
from virt.xml import Element

from worker_xen.libvirt.document import console_of, refuse_unless_sayable, screen_of
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.libvirt.suspend import restore_vm, resume_vm, save_vm
from worker_xen.libvirt.vifs import set_carrier_of
from worker_xen.xenlight.config import scheduling
from worker_xen.xenlight.machine import Domain, created
from worker_xen.xenlight.states import action_request, vm_state
from worker_xen.xenlight.vms import BALLOONING_TIMEOUT_S, POLL_S

_BALLOON_SLACK_BYTES = 4 << 20
"""A balloon this near to its target has reached it."""

_ASKED = frozenset({ShutdownRequest.HALT, ShutdownRequest.POWER_OFF, ShutdownRequest.REBOOT})
"""What libvirt can ask a guest for."""


class LibvirtVms(UnassistedVms):
    """`VmVerbs` on libvirt."""

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
            self._hypervisor.destroy(vm.id)  # what is noted of one that libvirt has no more
        final = str(options.final or vm.id)
        self._hypervisor.change(vm.id, lambda machine: created(machine, vm, final, time.time()))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; Xen reads it when it makes the domain."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        refuse_unless_sayable(vm)
        if not isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.boot, DirectBoot):
            refuse_unless_there(vm, vm.ty.info.boot.boot)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True))

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
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._hypervisor.destroy(vm.id)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        self._set_running(vm, runs=False)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        self._set_running(vm, runs=True)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        """In xenstore, which libvirt has no words for."""
        _, domid = self._hypervisor.running(vm.id)
        self._hypervisor.nodes.replace_xsdata(domid, dict(xsdata))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        if not 1 <= vcpus <= vm.vcpu_max:
            raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
        domain, _ = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.virt.set_vcpus(domain.uuid, vcpus)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vcpus=vcpus))

    @override
    def set_shadow_multiplier(self, execution: Execution, vm: Vm, multiplier: float) -> None:
        raise unimplemented("VM.set_shadow_multiplier")

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        domain, _ = self._hypervisor.running(vm.id)
        with spoken():
            self._hypervisor.virt.set_memory(domain.uuid, maximum_bytes)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(memory_target_bytes=maximum_bytes))

    @override
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Ask, and look in xenstore, where the guest acknowledges; one that is paused does not."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        if request not in _ASKED:
            raise unimplemented(f"VM.request_shutdown for {request}")
        _, info = self._hypervisor.seen(vm.id)
        if info is None or info.paused:
            return False
        if info.reason is not None:
            return True
        with spoken():
            self._hypervisor.virt.ask_shutdown(info.uuid, reboot=request is ShutdownRequest.REBOOT)
        return self._until(execution, timeout_s, lambda: self._has_acknowledged(vm, info.domid))

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        return self._until(execution, timeout_s, lambda: self._has_ended(vm))

    @override
    def assert_can_save(self, vm: Vm) -> None:
        if not self._hypervisor.look(vm.id).living().saved:
            self._hypervisor.running(vm.id)

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
        self._tell_what_documents_do_not(*self._hypervisor.running(vm.id))

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        resume_vm(self._hypervisor, vm)

    @override
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""
        domain, _ = self._hypervisor.running(vm.id)

        def is_there() -> bool:
            _, info = self._hypervisor.seen(vm.id)
            return info is None or abs(info.memory_bytes - domain.memory_target_bytes) <= _BALLOON_SLACK_BYTES

        if not self._until(execution, BALLOONING_TIMEOUT_S, is_there):
            raise XenopsError(BallooningTimeoutBeforeMigration())

    @override
    def get_state(self, vm: Vm) -> VmState:
        machine, info = self._hypervisor.seen(vm.id)
        document = None
        if machine.domain is not None and info is not None and info.reason is None:
            document = self._hypervisor.document(machine.domain)
        console = None if document is None else console_of(document)
        state = vm_state(machine, info, console)
        return state.model_copy(
            update={
                "nomigrate": machine.domain is not None,
                "consoles": (*_screens(document), *state.consoles),
            }
        )

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
        raise unimplemented("VM.get_internal_state")

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        raise unimplemented("VM.set_internal_state")

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
            set_carrier_of(domain, nic.vif)

    def _has_acknowledged(self, vm: Vm, domid: int) -> bool:
        return self._has_ended(vm) or not self._hypervisor.nodes.read(domid, "control/shutdown")

    def _has_ended(self, vm: Vm) -> bool:
        _, info = self._hypervisor.seen(vm.id)
        return info is None or info.reason is not None

    def _until(self, execution: Execution, timeout_s: float, holds: Callable[[], bool]) -> bool:
        """Wait, and look, until something holds; answers whether it does."""
        waited_s = 0.0
        while not holds():
            if waited_s >= timeout_s:
                return False
            execution.wait(POLL_S)
            waited_s += POLL_S
        return True


def _screens(document: Element | None) -> tuple[Console, ...]:
    port = None if document is None else screen_of(document)
    return () if port is None else (Console(protocol=ConsoleProtocol.RFB, port=port, path=""),)
