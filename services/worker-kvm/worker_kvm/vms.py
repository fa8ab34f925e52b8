"""The verbs on VMs that QEMU's two backends answer alike: how a guest ends, and what it asks for."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from engine.backend import Devices, Execution
from engine.hosted.ballooning import await_balloon
from engine.hosted.unrestricted import UnassistedVms
from engine.image import Image, ImageStream
from pydantic import BaseModel, ValidationError
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, internal_error, unimplemented
from schema.ids import VmId
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from typing_extensions import override

from worker_kvm.guests import Guests, LiveT, LiveT_co
from worker_kvm.watched import Status

POWER_BUTTON_INTERVAL_S = 5.0
"""A guest whose kernel is not up yet does not see the first press."""


class Lives(Guests[LiveT_co], Protocol[LiveT_co]):
    """The same, to be ended, renamed and forgotten."""

    def end(self, vm: str) -> None:
        """End a VM's QEMU; there is none, nothing to do."""

    def clear(self, domid: int) -> None:
        """Remove the files of a domain that is gone."""

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; its domain goes on."""

    def remove(self, vm: str) -> None:
        """Forget a VM."""


HostT = TypeVar("HostT", bound=Lives[Any])

PlugVif = Callable[[Execution, VmId, Vif], None]
"""The verb."""

LetGo = Callable[[str], None]
"""Takes a VM's id. Errors: `Internal_error`."""

Told = TypeVar("Told", bound=BaseModel)


def told_by_another(kind: type[Told], vm: str, state: str) -> Told:
    """What the other host of a migration has said of a VM. Errors: `Internal_error`, it makes no sense."""
    try:
        return kind.model_validate_json(state)
    except ValidationError as error:
        raise internal_error(f"VM {vm}: what another host knew of it makes no sense: {error}") from error


class KvmVms(UnassistedVms, Generic[HostT, LiveT]):
    """Those of `VmVerbs` that go by whether QEMU is reached, and by what is noted."""

    minimum_reboot_delay_s = 0.0

    def __init__(self, hypervisor: HostT, plug: PlugVif, let_go: Sequence[LetGo]) -> None:
        """`let_go` gives the host what a VM without a QEMU still has of it."""
        self._hypervisor = hypervisor
        self._plug = plug
        self._let_go = let_go

    @abstractmethod
    def _press(self, live: LiveT) -> None:
        """Press the power button, which a guest that runs cannot fail to see. Errors: `Internal_error`."""

    @abstractmethod
    def _read_in(self, execution: Execution, vm: Vm, devices: Devices, image: Image) -> None:
        """Have a domain go on from an image, with the devices that it is of; it does so, nothing to do.

        Errors: those of `VmVerbs.restore`.
        """

    @override
    def add(self, vm: Vm) -> None:
        """What is configured counts from its next start on, also if its guest has set its clock since."""
        self._hypervisor.change(vm.id, lambda machine: machine.but(clock_s=None))

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, with its domain if there is one."""
        self._destroy(vm.id)
        self._hypervisor.remove(vm.id)

    @override
    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        """Give the VM another id; its domain goes by another name, which stays."""
        self._hypervisor.rename(vm, name)

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """End QEMU."""
        self._hypervisor.end(vm.id)

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._destroy(vm.id)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: object) -> None:
        raise unimplemented("VM.set_xsdata")

    @override
    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        """Read the state, then plug what the VM has got since."""
        self._read_in(execution, vm, devices, image)
        for vif in devices.vifs:
            if self._hypervisor.look(vm.id).nic(vif.id) is None:
                self._plug(execution, VmId(vm.id), vif)

    @override
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Press the power button; a guest that is paused does not see it."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        live: LiveT | None = self._hypervisor.live(vm.id)
        if live is None or live.status is Status.PAUSED:
            return False
        if live.status is Status.RUNNING:
            self._press(live)
        return True

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        """Wait until the guest has ended, pressing the button again: a guest that boots misses it."""
        live: LiveT | None = self._hypervisor.live(vm.id)
        if live is None:
            return True
        waited_s = 0.0
        while waited_s < timeout_s:
            patience_s = min(POWER_BUTTON_INTERVAL_S, timeout_s - waited_s)
            if live.wait_ended(execution, patience_s):
                return True
            waited_s += patience_s
            with suppress(XenopsError):  # it may be ending
                self._press(live)
        return live.status is Status.ENDED

    @override
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""
        live: LiveT = self._hypervisor.running(vm.id)
        target_bytes = self._hypervisor.look(vm.id).launched().memory_target_bytes
        await_balloon(execution, lambda: live.seen.memory_bytes - target_bytes)

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; what a guest that has ended wants stands."""
        live: LiveT | None = self._hypervisor.live(vm.id)
        if live is None or live.asked is None:
            self._hypervisor.change(vm.id, lambda machine: machine.asking(action))

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        live: LiveT | None = self._hypervisor.live(vm.id)
        if live is not None and live.asked is not None:
            return live.asked
        domain = self._hypervisor.look(vm.id).domain
        return DomainAction.POWEROFF if domain is None else domain.action

    def _destroy(self, vm: str) -> None:
        """The host has its devices again once QEMU, which used them, has ended."""
        domain = self._hypervisor.look(vm).domain
        if domain is None:
            return
        self._hypervisor.end(vm)
        for let_go in self._let_go:
            let_go(vm)
        self._hypervisor.clear(domain.domid)
        self._hypervisor.change(vm, lambda machine: machine.but(domain=None))
