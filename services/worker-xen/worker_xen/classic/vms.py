"""The verbs on VMs: a domain is made and filled by libxc, and shown to its guest by xenstore."""

from collections.abc import Callable, Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.hosted.ballooning import await_balloon
from engine.hosted.unrestricted import UnassistedVms
from engine.image import Image, ImageStream
from pydantic import ValidationError
from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.errors import (
    InvalidVcpus,
    NotEnoughMemory,
)
from schema.objects.network import Network
from schema.objects.vm import Hvm, Vm, VmState
from typing_extensions import override

from worker_xen.classic.birth import birth_of, introduce
from worker_xen.classic.boot.bootloader import Booted
from worker_xen.classic.guest import Guest
from worker_xen.classic.hvm.sleeping import put_to_sleep, refuse_asleep, wake
from worker_xen.classic.hvm.switching import switch_on
from worker_xen.classic.hypervisor import Found, Hypervisor
from worker_xen.classic.kernel import kernel_of, refuse_unbootable
from worker_xen.classic.machine import (
    Domain,
    Machine,
    Suspended,
    created,
    destroyed,
    uuid_of,
)
from worker_xen.classic.nature import nature_of
from worker_xen.classic.saving import Saving, refuse_hardware
from worker_xen.classic.states import Said, action_request, vm_state
from worker_xen.classic.suspend import Built
from worker_xen.libxc.values import Loaded, Rings
from worker_xen.xenstore.layout import (
    birth_nodes,
    rename_nodes,
    vcpu_nodes,
    xsdata_nodes,
)
from worker_xen.xenstore.tree import Node, domain_path, vm_path

_KIB = 1024
_MIB = 1 << 20

CONSOLE_TIMEOUT_S = 5.0
"""How long the console's daemon may take; a VM without a console starts all the same."""


class ClassicVms(UnassistedVms):
    """`VmVerbs` on Xen by libxc."""

    minimum_reboot_delay_s = 120.0

    def __init__(self, hypervisor: Hypervisor, let_go: Callable[[str], None]) -> None:
        """`let_go` gives the host all USB devices that a VM has of it whose device model has ended."""
        self._hypervisor = hypervisor
        self._let_go = let_go
        self._guest = Guest(hypervisor)
        self._saving = Saving(hypervisor, self._guest)

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, with its domain if there is one."""
        self._hypervisor.unmake(vm.id)
        self._let_go(vm.id)
        self._hypervisor.remove(vm.id)

    @override
    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        """Give the VM another id, and its domain with it."""
        found = self._hypervisor.find(vm)
        domain = found.machine.domain
        if domain is not None and found.info is not None:
            uuid = uuid_of(name)
            self._hypervisor.change(vm, lambda machine: machine.with_domain(renaming=str(uuid)))
            with self._hypervisor.told(vm):
                self._hypervisor.xen.set_uuid(found.info.domid, uuid)
            nodes = rename_nodes(found.info.domid, str(uuid), domain.vm.name)
            self._hypervisor.store.replace([vm_path(domain.uuid)], nodes)
            self._hypervisor.change(vm, lambda machine: machine.with_domain(uuid=str(uuid), renaming=None))
        self._hypervisor.rename(vm, name)

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        execution.check_cancelled()
        refuse_unbootable(vm)
        nature = nature_of(vm, has_pcis=bool(devices.pcis))
        self._hypervisor.refuse_strangers(vm.id, uuid_of(vm.id))
        now = self._hypervisor.now()
        domain = self._hypervisor.change(
            vm.id, lambda machine: created(machine, vm, now, gets_pcis=nature.gets_pcis)
        ).living()
        domid = self._hypervisor.make(
            vm.id,
            lambda uuid: self._hypervisor.xen.create(uuid, nature),
        )
        self._hypervisor.store.write(birth_nodes(birth_of(domid, domain)))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """Put the kernel in; one that the guest has on a disk is fetched from there by a bootloader.

        Errors: `Not_enough_memory`, those of `kernel_of`, `Internal_error` with libxc's words.
        """
        execution.check_cancelled()
        domain, info = self._hypervisor.find(vm.id).living()
        if domain.built:
            return
        booted_by = kernel_of(vm, info.domid, self._hypervisor.bootloaders, execution)
        with booted_by as booted, self._hypervisor.told(vm.id):
            rings = self._build(domain, info.domid, booted, execution)
        introduce(self._hypervisor.store, info.domid, rings)
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True).but(suspended=None))

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Start it for an HVM guest, perhaps where it was; of any guest the console is waited for.

        Errors: `Failed_to_start_emulator`.
        """
        execution.check_cancelled()
        domain, info = self._hypervisor.find(vm.id).built()
        if domain.is_hvm:
            switch_on(self._hypervisor, domain, info.domid, execution)
        path = f"{domain_path(info.domid)}/console/tty"
        self._hypervisor.store.await_change(
            [path], lambda: self._hypervisor.store.read(path), CONSOLE_TIMEOUT_S, execution
        )

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """End it; there is none, nothing to do."""
        found = self._hypervisor.find(vm.id)
        if found.info is not None:
            self._hypervisor.emulators.end(found.info.domid)
        self._let_go(vm.id)

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        self._hypervisor.unmake(vm.id)
        self._let_go(vm.id)
        self._hypervisor.change(vm.id, destroyed)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        _, info = self._hypervisor.find(vm.id).built()
        if not info.is_paused:
            with self._hypervisor.told(vm.id):
                self._hypervisor.xen.pause(info.domid)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        _, info = self._hypervisor.find(vm.id).built()
        if info.is_paused:
            with self._hypervisor.told(vm.id):
                self._hypervisor.xen.unpause(info.domid)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        found = self._hypervisor.find(vm.id)
        if found.info is not None:
            old = xsdata_nodes(found.info.domid, found.machine.living().vm.xsdata)
            self._hypervisor.store.replace(
                [node.path for node in old], xsdata_nodes(found.info.domid, xsdata)
            )
            kept = found.machine.living().vm.model_copy(update={"xsdata": tuple(xsdata)})
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vm=kept))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        """Which ones the guest shall use; it does so by itself."""
        if not 0 < vcpus <= vm.vcpu_max:
            raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
        domain, info = self._hypervisor.find(vm.id).built()
        if domain.vcpus != vcpus:
            self._hypervisor.store.write(vcpu_nodes(info.domid, vcpus, domain.vm.vcpu_max))
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vcpus=vcpus))

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        _, info = self._hypervisor.find(vm.id).built()
        path = f"{domain_path(info.domid)}/memory"
        words = {"dynamic-min": minimum_bytes, "dynamic-max": maximum_bytes, "target": maximum_bytes}
        self._hypervisor.store.write(
            Node(f"{path}/{name}", str(size // _KIB)) for name, size in words.items()
        )
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(memory_target_bytes=maximum_bytes))

    @override
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Ask the guest; one that is paused cannot answer."""
        execution.check_cancelled()
        return self._guest.ask(vm.id, request, timeout_s, execution)

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        return self._guest.wait_stopped(vm.id, timeout_s, execution)

    @override
    def assert_can_save(self, vm: Vm) -> None:
        domain, info = self._hypervisor.find(vm.id).built()
        refuse_hardware(domain)
        refuse_asleep(self._hypervisor, domain, info.domid)

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """Suspend the guest and write it out; see `Saving.save`."""
        execution.check_cancelled()
        self._saving.save(vm, image, execution, live=live)

    @override
    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        """Read the suspend image."""
        execution.check_cancelled()
        self._saving.restore(vm, image, execution)

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        self._saving.resume(vm)

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """Of an HVM guest. Errors: those of `put_to_sleep`."""
        execution.check_cancelled()
        put_to_sleep(self._hypervisor, self._guest, vm, execution)

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Wake the guest, if it sleeps."""
        wake(self._hypervisor, vm, execution)

    @override
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Errors: `Ballooning_timeout_before_migration`."""

        def distance_bytes() -> int:
            domain, info = self._hypervisor.find(vm.id).built()
            return info.memory_bytes - domain.memory_target_bytes

        await_balloon(execution, distance_bytes)

    @override
    def get_state(self, vm: Vm) -> VmState:
        found = self._hypervisor.find(vm.id)
        return vm_state(found.machine, found.info, self._said(found))

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; how one has stopped stands."""
        self._hypervisor.change(vm.id, lambda machine: machine.asking(action))

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        found = self._hypervisor.find(vm.id)
        return action_request(found.machine.domain, found.info)

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """What remains of a suspended VM; all else is in its image or at its hypervisor."""
        suspended = self._hypervisor.find(vm.id).machine.suspended
        return "" if suspended is None else suspended.model_dump_json()

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        """A suspended VM is so on this host, too; one with a domain knows better."""
        if not state:
            return
        try:
            suspended = Suspended.model_validate_json(state)
        except ValidationError as error:
            raise internal_error(f"The internal state of VM {vm.id} is none of classic's: {error}") from error

        def told(machine: Machine) -> Machine:
            return machine if machine.domain is not None else machine.but(suspended=suspended)

        self._hypervisor.change(vm.id, told)

    def _build(self, domain: Domain, domid: int, booted: Booted, execution: Execution) -> Rings:
        xen, vm = self._hypervisor.xen, domain.vm
        needed, free = domain.memory_target_bytes, xen.host().memory_free_bytes
        if needed > free:
            raise XenopsError(NotEnoughMemory(needed_bytes=needed - free))
        nature = nature_of(vm)
        ports = xen.prepare(domid, nature, restored=False)
        has_acpi = not isinstance(vm.ty, Hvm) or vm.ty.info.acpi
        loaded = Loaded(booted.kernel, needed // _MIB, domain.vcpus, has_acpi)
        with self._hypervisor.scheduling.placed(domid, vm, needed):
            if booted.descriptors:
                built = Built(nature, loaded, ports, booted.descriptors)
                return self._hypervisor.courier.build(domid, built, execution)
            return xen.build(domid, nature, loaded, ports)

    def _said(self, found: Found) -> Said:
        if found.info is None:
            return Said()
        path, store = domain_path(found.info.domid), self._hypervisor.store
        domid, is_hvm = found.info.domid, found.machine.living().is_hvm
        terminals = [*([f"{path}/serial/0/tty"] if is_hvm else []), f"{path}/console/tty"]
        words = store.values([*terminals, f"{path}/memory/uncooperative"])
        console = next((words[terminal] for terminal in terminals if terminal in words), b"")
        return Said(
            console=console.decode(errors="replace"),
            screen=self._hypervisor.emulators.screen(domid) if is_hvm else None,
            guest_agent=tuple(store.below(path, ("attr", "data", "drivers", "feature"))),
            xsdata=tuple(store.below(path, ("vm-data", "FIST"))),
            is_uncooperative=f"{path}/memory/uncooperative" in words,
        )
