"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; QEMU then starts with all."""

from collections.abc import Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream
from engine.refusals import refuse_unless_there
from schema.atomics.vm import DomainAction
from schema.objects.network import Network
from schema.objects.vm import DirectBoot, Hvm, Vm, VmState
from typing_extensions import override

from worker_kvm.kind import Kind, refuse_late, refuse_unfit
from worker_kvm.passthrough import refuse_to_leave
from worker_kvm.pci import name_of
from worker_kvm.qemu.firmware import refuse_if_missing
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.incoming import announce
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Domain, Machine, built, created
from worker_kvm.qemu.saving import Savings
from worker_kvm.qemu.sleeping import ORDER, put_to_sleep, refuse_asleep, wake
from worker_kvm.qemu.states import vm_state
from worker_kvm.qemu.tpm import refuse_without_swtpm
from worker_kvm.qemu.vcpus import refuse_vcpus, set_vcpus
from worker_kvm.qemu.vifs import refuse_left
from worker_kvm.vms import KvmVms, LetGo, PlugVif, told_by_another
from worker_kvm.watched import Status


class QemuVms(KvmVms[Hypervisor, Live]):
    """`VmVerbs` on QEMU."""

    def __init__(
        self, hypervisor: Hypervisor, savings: Savings, plug: PlugVif, let_go: Sequence[LetGo]
    ) -> None:
        super().__init__(hypervisor, plug, let_go)
        self._savings = savings

    @override
    def _press(self, live: Live) -> None:
        """One that sleeps is woken first."""
        wake(live)
        live.do("system_powerdown")

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        """Note a domain; of a VM on its way in, under the id that it will have."""
        execution.check_cancelled()
        named = vm if options.final is None else vm.model_copy(update={"id": options.final})
        own_pcis = tuple(name_of(pci.address) for pci in devices.pcis)
        if self._hypervisor.look(vm.id).domain is None:
            domid, now = self._hypervisor.next_domid(), self._hypervisor.now()
            self._hypervisor.change(
                vm.id, lambda machine: created(machine, named, domid, now).with_domain(own_pcis=own_pcis)
            )
        else:
            self._hypervisor.change(vm.id, lambda machine: created(machine, named, 0, 0.0))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; QEMU reads it when it starts."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        _refuse_unless_bootable(vm)
        refuse_if_missing(vm)
        refuse_without_swtpm(vm)
        self._hypervisor.change(vm.id, built)

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Start QEMU; the guest waits."""
        execution.check_cancelled()
        self._hypervisor.launch(vm.id)
        domain, live = self._hypervisor.look(vm.id).launched(), self._hypervisor.running(vm.id)
        for nic in domain.nics:
            if not nic.vif.carrier:
                live.do("set_link", {"name": nic.device, "up": False})
        if domain.memory_target_bytes < vm.memory_static_max:
            live.do("balloon", {"value": domain.memory_target_bytes})

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        live = self._hypervisor.running(vm.id)
        refuse_asleep(vm.id, live, "paused")
        live.pause()

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        live = self._hypervisor.running(vm.id)
        if live.status is not Status.RUNNING:
            live.unpause()
        if self._hypervisor.look(vm.id).launched().new_here:
            announce(live)
            live.measure()
            self._hypervisor.change(vm.id, lambda machine: machine.with_domain(new_here=False))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        """Plug or unplug vCPUs; the guest must let go of one, and keeps those that it started with."""
        domain = self._hypervisor.look(vm.id).launched()
        refuse_vcpus(domain.vm, vcpus)
        if domain.kind is Kind.MICROVM and vcpus == domain.vm.vcpus:
            return
        refuse_late(domain.kind, vm.id, "vCPUs")
        set_vcpus(self._hypervisor.running(vm.id), vcpus, self._hypervisor.settings.accelerator)
        counted = domain.vm.model_copy(
            update={"vcpus": vcpus, "vcpu_max": max(domain.vm.vcpu_max, domain.vm.vcpus)}
        )
        start = domain.vcpus_of_start or domain.vm.vcpus
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(vm=counted, vcpus_of_start=start))

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """The balloon's target is the upper end: nothing else on this host asks for the memory."""
        live = self._hypervisor.running(vm.id)
        live.do("balloon", {"value": maximum_bytes})
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(memory_target_bytes=maximum_bytes))

    @override
    def assert_can_save(self, vm: Vm) -> None:
        """Whatever runs can be saved, but with devices of this host, or with a card that was taken by force.

        A guest that sleeps is refused, too: QEMU would let that run at the other end.
        """
        refuse_to_leave(self._hypervisor.look(vm.id).launched())
        live = self._hypervisor.running(vm.id)
        refuse_left(self._hypervisor, vm.id, live)
        refuse_asleep(vm.id, live, "saved")

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """Write the state to a disk or to another host. Errors: those of `assert_can_save`, too."""
        self.assert_can_save(vm)
        self._savings.save(vm, image, execution, live=live)

    @override
    def _read_in(self, execution: Execution, vm: Vm, devices: Devices, image: Image) -> None:
        """Into a QEMU of its own."""
        self._savings.restore(vm, devices, image, execution)

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        """Go on after a save."""
        self._savings.resume(vm)

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """By the agent in the guest. Errors: those of `put_to_sleep`."""
        execution.check_cancelled()
        domain = self._hypervisor.look(vm.id).launched()
        live, agents = self._hypervisor.running(vm.id), self._hypervisor.agents
        put_to_sleep(domain.vm, live, lambda: agents.order(domain.domid, ORDER), execution)

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Wake the guest, if it sleeps."""
        wake(self._hypervisor.running(vm.id))

    @override
    def get_state(self, vm: Vm) -> VmState:
        machine = self._hypervisor.look(vm.id)
        domid = 0 if machine.domain is None else machine.domain.domid
        live = self._hypervisor.live(vm.id)
        seen, told = None if live is None else live.seen, self._hypervisor.agents.told(domid)
        return vm_state(machine, seen, self._hypervisor.sockets(domid), told)

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        """Of one that is suspended: what is left of a domain goes, and the image stays what counts."""
        machine = self._hypervisor.look(vm.id)
        if machine.domain is not None and machine.suspended is not None:
            return DomainAction.SUSPEND
        return super().get_domain_action_request(vm)

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """The domain as noted here; what another host calls its devices, it has from their configuration."""
        machine = self._hypervisor.look(vm.id)
        domain = machine.domain or machine.suspended or machine.living()
        return domain.model_copy(update={"process": None, "tpm": None, "saving": None}).model_dump_json()

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        """One that is suspended makes the VM so, unless it has a domain; all else comes with the memory."""
        domain = told_by_another(Domain, vm.id, state)

        def told(machine: Machine) -> Machine:
            return machine.but(suspended=domain) if domain.suspended and machine.domain is None else machine

        self._hypervisor.change(vm.id, told)


def _refuse_unless_bootable(vm: Vm) -> None:
    """Errors: `Internal_error` that names the file; those of `refuse_unfit`."""
    refuse_unfit(vm)
    if not isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.boot, DirectBoot):
        refuse_unless_there(vm, vm.ty.info.boot.boot)
