"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; it is then made with all."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic

from engine.backend import CreateOptions, Devices, Execution
from engine.hosted.ballooning import await_balloon
from engine.hosted.unrestricted import UnassistedVms
from engine.refusals import refuse_unless_there
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.errors import InvalidVcpus
from schema.objects.network import Network
from schema.objects.vm import DirectBoot, Hvm, Vm
from typing_extensions import override

from worker_xen.gathered.domains import Host
from worker_xen.xenlight.machine import Domain, created
from worker_xen.xenlight.states import action_request
from worker_xen.xenlight.values import DomainInfo

POLL_S = 0.1
"""A guest's end, or its acknowledgement, is looked for so often."""

_ASKED = frozenset({ShutdownRequest.HALT, ShutdownRequest.POWER_OFF, ShutdownRequest.REBOOT})
"""What a guest can be asked for."""


class GatheredVms(UnassistedVms, Generic[Host]):
    """Those of `VmVerbs` that libxl and libvirt answer alike."""

    minimum_reboot_delay_s = 120.0

    def __init__(self, hypervisor: Host) -> None:
        self._hypervisor = hypervisor

    @abstractmethod
    def _refuse_unless_sayable(self, vm: Vm) -> None:
        """Errors: `Unimplemented` for what the host cannot be told of a VM."""

    @abstractmethod
    def _set_vcpus(self, domain: Domain, domid: int, vcpus: int, maximum: int) -> None:
        """Have so many of a domain's vCPUs run, of `maximum`. Errors: `Internal_error`."""

    @abstractmethod
    def _set_memory_target(self, domain: Domain, domid: int, target_bytes: int) -> None:
        """Ask a domain's balloon for it. Errors: `Internal_error`."""

    @abstractmethod
    def _ask_shutdown(self, info: DomainInfo, *, reboot: bool) -> bool:
        """Ask a guest to end; answers whether it shall acknowledge that. Errors: `Internal_error`."""

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
            self._hypervisor.destroy(vm.id)  # what is noted of one that the host has no more
        final = str(options.final or vm.id)
        gets_pcis = bool(devices.pcis) or vm.ty.info.pci_passthrough
        self._hypervisor.change(
            vm.id, lambda machine: created(machine, vm, final, time.time()).with_domain(gets_pcis=gets_pcis)
        )

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; Xen reads it when it makes the domain."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        self._refuse_unless_sayable(vm)
        if not isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.boot, DirectBoot):
            refuse_unless_there(vm, vm.ty.info.boot.boot)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True))

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._hypervisor.destroy(vm.id)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        _, domid = self._hypervisor.running(vm.id)
        self._hypervisor.nodes.replace_xsdata(domid, dict(xsdata))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        if not 1 <= vcpus <= vm.vcpu_max:
            raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
        self._set_vcpus(*self._hypervisor.running(vm.id), vcpus, vm.vcpu_max)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vcpus=vcpus))

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        self._set_memory_target(*self._hypervisor.running(vm.id), maximum_bytes)
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
        if not self._ask_shutdown(info, reboot=request is ShutdownRequest.REBOOT):
            return True
        return self._until(execution, timeout_s, lambda: self._has_acknowledged(vm, info.domid))

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        return self._until(execution, timeout_s, lambda: self._has_ended(vm))

    @override
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""
        domain, _ = self._hypervisor.running(vm.id)

        def distance_bytes() -> int:
            _, info = self._hypervisor.seen(vm.id)
            return 0 if info is None else info.memory_bytes - domain.memory_target_bytes

        await_balloon(execution, distance_bytes)

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; what a guest that has ended wants stands."""
        self._hypervisor.change(vm.id, lambda machine: machine.asking(action))

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

    def _until(self, execution: Execution, timeout_s: float, holds: Callable[[], bool]) -> bool:
        """Wait, and look, until something holds; answers whether it does."""
        waited_s = 0.0
        while not holds():
            if waited_s >= timeout_s:
                return False
            execution.wait(POLL_S)
            waited_s += POLL_S
        return True
