"""The verbs on VMs: a domain is noted, its kernel checked, devices gathered; libvirt starts it with all."""

from collections.abc import Sequence

from engine.backend import CreateOptions, Devices, Execution
from engine.image import Image, ImageStream
from schema.fault import XenopsError
from schema.objects.errors import InvalidVcpus
from schema.objects.network import Network
from schema.objects.vm import Vm, VmState
from typing_extensions import override
from virt.spoken import spoken

from worker_kvm.clock import first_s
from worker_kvm.kind import kind_of
from worker_kvm.libvirt.bootable import refuse_unless_bootable
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Carried, Machine
from worker_kvm.libvirt.sleeping import ordering, wake
from worker_kvm.libvirt.states import vm_state
from worker_kvm.libvirt.suspend import assert_can_save, restore_vm, resume_vm, save_vm
from worker_kvm.pci import name_of
from worker_kvm.qemu.sleeping import put_to_sleep, refuse_asleep
from worker_kvm.qemu.vcpus import refuse_to_take
from worker_kvm.vms import KvmVms, told_by_another
from worker_kvm.watched import Status


class LibvirtVms(KvmVms[Hypervisor, Live]):
    """`VmVerbs` on libvirt."""

    @override
    def _press(self, live: Live) -> None:
        """One that sleeps is woken first."""
        wake(self._hypervisor, live)
        with spoken():
            self._hypervisor.virt.press_power_button(live.uuid)

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, with its domain if there is one, and what libvirt keeps of it."""
        self._destroy(vm.id)
        self._hypervisor.forget_kept(vm)
        self._hypervisor.remove(vm.id)

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        """Note a domain; of a VM on its way in, under the id that it will have."""
        execution.check_cancelled()
        named = vm if options.final is None else vm.model_copy(update={"id": options.final})
        clock_s = first_s(self._hypervisor.look(vm.id).clock_s, named)
        own = {
            "own_pcis": tuple(name_of(pci.address) for pci in devices.pcis),
            "kind": kind_of(named),
            "clock_base_s": clock_s,
            "clock_s": clock_s,
        }
        domain = self._hypervisor.look(vm.id).domain or self._hypervisor.fresh(named).model_copy(update=own)
        self._hypervisor.change(vm.id, lambda machine: machine.begun(lambda: domain))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """See that the kernel is there; QEMU reads it when it starts."""
        execution.check_cancelled()
        self._hypervisor.look(vm.id).living()
        refuse_unless_bootable(vm)
        anew = {"suspended": False, "addressed": ()}
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(built=True).but(**anew))

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
        refuse_asleep(vm.id, live, "paused")
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
        if vcpus < domain.vcpus:
            refuse_to_take(self._hypervisor.settings.accelerator)
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
        """To a file, by libvirt, and on from there to another host; never live."""
        save_vm(self._hypervisor, execution, vm, image)

    @override
    def _read_in(self, execution: Execution, vm: Vm, devices: Devices, image: Image) -> None:
        restore_vm(self._hypervisor, execution, vm, image, devices=devices)

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        resume_vm(self._hypervisor, vm)

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """By the agent in the guest. Errors: those of `put_to_sleep`."""
        execution.check_cancelled()
        domain, live = self._hypervisor.look(vm.id).launched(), self._hypervisor.running(vm.id)
        with ordering(self._hypervisor, live) as order:
            put_to_sleep(domain.vm, live, order, execution)

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Wake the guest, if it sleeps."""
        wake(self._hypervisor, self._hypervisor.running(vm.id))

    @override
    def get_state(self, vm: Vm) -> VmState:
        """From what events have told: libvirt is not asked."""
        machine = self._hypervisor.look(vm.id)
        domid = 0 if machine.domain is None else machine.domain.domid
        live = self._hypervisor.live(vm.id)
        seen = None if live is None else live.seen
        told = None if live is None else self._hypervisor.agents.told(live.uuid)
        return vm_state(machine, seen, self._hypervisor.console(domid), told)

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """Whether it is suspended, and what its agent has done; all else comes with its file."""
        machine = self._hypervisor.look(vm.id)
        addressed = machine.addressed if machine.domain is None else machine.domain.addressed
        return Carried(suspended=machine.suspended, addressed=addressed).model_dump_json()

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        """One that is suspended makes the VM so, unless it has a domain."""
        carried = told_by_another(Carried, vm.id, state)

        def told(machine: Machine) -> Machine:
            if machine.domain is not None:
                return machine
            return machine.but(suspended=carried.suspended or machine.suspended, addressed=carried.addressed)

        self._hypervisor.change(vm.id, told)
