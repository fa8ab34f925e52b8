"""The simulator's verbs on VMs: each looks at the machine, or replaces it by a changed one."""

from collections.abc import Callable, Sequence
from typing import Any

from schema.atomics.vm import DomainAction, RenameWhen, ShutdownRequest
from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.dynamic import VmObject
from schema.objects.errors import InvalidVcpus
from schema.objects.network import Network
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm, VmState
from schema.wire.codec import MarshalError, decode_text, encode_text
from schema.wire.errors import JsonError
from typing_extensions import override

from engine.backend import CreateOptions, Devices, Execution, VmVerbs
from engine.image import Image, ImageStream
from engine.simulator import machine as machines
from engine.simulator.hypervisor import Hypervisor
from engine.simulator.image import (
    DiskImage,
    image_name,
    read_image,
    read_vgpu,
    write_end,
    write_head,
    write_memory,
    write_vgpu,
)
from engine.simulator.machine import Domain, Machine
from engine.simulator.states import vm_state

_ASKED_BY = {
    ShutdownRequest.HALT: DomainAction.POWEROFF,
    ShutdownRequest.POWER_OFF: DomainAction.POWEROFF,
    ShutdownRequest.REBOOT: DomainAction.REBOOT,
    ShutdownRequest.SUSPEND: DomainAction.SUSPEND,
    ShutdownRequest.S3_SUSPEND: DomainAction.SUSPEND,
}
"""What a guest that was asked asks for as it ends."""


class SimulatedVms(VmVerbs):
    """`VmVerbs` of the simulator."""

    minimum_reboot_delay_s = 0.0

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor

    @override
    def add(self, vm: Vm) -> None:
        """Nothing: the host keeps what outlives a VM's configuration."""

    @override
    def remove(self, vm: Vm) -> None:
        """Forget all of it, what was suspended, too."""
        self._hypervisor.records.remove(vm.id)

    @override
    def rename(self, vm: VmId, name: VmId, when: RenameWhen) -> None:
        """Give the machine another id."""
        self._hypervisor.records.rename(vm, name)

    @override
    def create(self, execution: Execution, vm: Vm, devices: Devices, options: CreateOptions) -> None:
        self._hypervisor.enter(execution, "VM.create", vm.id)
        domid = self._hypervisor.records.next_domid()
        now = self._hypervisor.now()
        self._hypervisor.change(vm.id, lambda machine: machines.created(machine, vm, domid, now))

    @override
    def build(self, execution: Execution, vm: Vm, devices: Devices, *, force: bool) -> None:
        """Note that the kernel is in."""
        self._change(execution, "VM.build", vm, machines.built)

    @override
    def create_device_model(
        self, execution: Execution, vm: Vm, devices: Devices, *, save_state: bool
    ) -> None:
        """Note that it runs."""
        self._change(
            execution, "VM.create_device_model", vm, lambda machine: machine.with_domain(qemu_created=True)
        )

    @override
    def destroy_device_model(self, execution: Execution, vm: Vm) -> None:
        """Note that it does not run."""

        def stopped(machine: Machine) -> Machine:
            return machine.with_domain(qemu_created=False) if machine.domain else machine

        self._change(execution, "VM.destroy_device_model", vm, stopped)

    @override
    def destroy(self, execution: Execution, vm: Vm) -> None:
        """Unmake the domain."""
        self._change(execution, "VM.destroy", vm, machines.destroyed)

    @override
    def pause(self, execution: Execution, vm: Vm) -> None:
        """Hold its vCPUs."""
        self._change(execution, "VM.pause", vm, machines.paused)

    @override
    def unpause(self, execution: Execution, vm: Vm) -> None:
        """Let it run; as on Xen, one whose device model is not there yet, too."""
        self._change(execution, "VM.unpause", vm, machines.unpaused)

    @override
    def set_xsdata(self, execution: Execution, vm: Vm, xsdata: Sequence[tuple[str, str]]) -> None:
        keys = tuple(xsdata)
        self._change(execution, "VM.set_xsdata", vm, lambda machine: machine.with_domain(xsdata=keys))

    @override
    def set_vcpus(self, execution: Execution, vm: Vm, vcpus: int) -> None:
        if not 0 < vcpus <= vm.vcpu_max:
            raise XenopsError(InvalidVcpus(count=vm.vcpu_max))
        self._set(execution, "VM.set_vcpus", vm, vcpus=vcpus)

    @override
    def set_shadow_multiplier(self, execution: Execution, vm: Vm, multiplier: float) -> None:
        self._set(execution, "VM.set_shadow_multiplier", vm, shadow_multiplier=multiplier)

    @override
    def set_memory_dynamic_range(
        self, execution: Execution, vm: Vm, minimum_bytes: int, maximum_bytes: int
    ) -> None:
        """Change the range; the balloon follows at once."""
        self._change(
            execution,
            "VM.set_memory_dynamic_range",
            vm,
            lambda machine: machine.with_domain(
                memory_dynamic_min=minimum_bytes, memory_dynamic_max=maximum_bytes
            ),
        )

    @override
    def request_shutdown(
        self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float
    ) -> bool:
        """Ask the guest, which answers at once or, if settings say so, never."""
        self._hypervisor.enter(execution, "VM.request_shutdown", vm.id)
        self._hypervisor.look(vm.id).living()
        guest = self._hypervisor.settings.guest
        if not guest.acknowledges:
            execution.wait(timeout_s)
            return False
        if guest.shutdown_s == 0:
            self._end_guest(vm, request)
        return True

    @override
    def wait_shutdown(self, execution: Execution, vm: Vm, request: ShutdownRequest, timeout_s: float) -> bool:
        """Wait for as long as settings say that a guest takes."""
        self._hypervisor.enter(execution, "VM.wait_shutdown", vm.id)
        shutdown_s = self._hypervisor.settings.guest.shutdown_s
        execution.wait(min(shutdown_s, timeout_s))
        if shutdown_s > timeout_s:
            return False
        if shutdown_s > 0:
            self._end_guest(vm, request)
        return True

    @override
    def assert_can_save(self, vm: Vm) -> None:
        """Whatever runs can be saved."""
        self._hypervisor.look(vm.id).built()

    @override
    def save(
        self, execution: Execution, vm: Vm, image: Image, *, live: bool, vgpu: ImageStream | None = None
    ) -> None:
        """Write the suspend image; to a disk as a whole, once it is complete.

        Of one that goes to another host it is noted before its end is sent: its name may change then.
        """
        self._hypervisor.enter(execution, "VM.save", vm.id)
        domain = self._hypervisor.look(vm.id).built()
        if domain.suspended:
            return
        stream = DiskImage() if isinstance(image, LocalDisk | Vdi) else image
        write_head(stream, domain)
        memory_bytes = self._hypervisor.settings.memory_bytes
        write_memory(stream, domain, memory_bytes, self._hypervisor.pace(execution))
        execution.forbid_cancel()
        if vgpu is not None:
            write_vgpu(vgpu, domain)
        if isinstance(image, LocalDisk | Vdi) and isinstance(stream, DiskImage):
            write_end(stream)
            self._hypervisor.records.write_image(image_name(image), stream.content())
            self._hypervisor.change(vm.id, machines.saved)
        else:
            self._hypervisor.change(vm.id, machines.saved)
            execution.stands_still()
            write_end(stream)

    @override
    def restore(
        self, execution: Execution, vm: Vm, devices: Devices, image: Image, *, vgpu: ImageStream | None = None
    ) -> None:
        """Read the suspend image."""
        self._hypervisor.enter(execution, "VM.restore", vm.id)
        if self._hypervisor.look(vm.id).living().built:
            return
        stream = self._disk_image(image) if isinstance(image, LocalDisk | Vdi) else image
        domain = read_image(stream, vm.id, self._hypervisor.pace(execution))
        if vgpu is not None:
            read_vgpu(vgpu, vm.id)
        self._hypervisor.change(vm.id, lambda machine: machines.restored(machine, domain))

    @override
    def resume(self, execution: Execution, vm: Vm) -> None:
        """Go on after a save."""
        self._change(execution, "VM.resume", vm, machines.resumed)

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        """Nothing: simulated guests sleep soundly."""
        self._hypervisor.enter(execution, "VM.s3suspend", vm.id)

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        """Nothing."""
        self._hypervisor.enter(execution, "VM.s3resume", vm.id)

    @override
    def soft_reset(self, execution: Execution, vm: Vm) -> None:
        """Reset the domain in place: it asks for nothing more."""
        self._change(
            execution,
            "VM.soft_reset",
            vm,
            lambda machine: machine.with_domain(domain_action_request=None),
        )

    @override
    def wait_ballooning(self, execution: Execution, vm: Vm) -> None:
        """Nothing: simulated balloons are fast."""
        self._hypervisor.enter(execution, "VM.wait_ballooning", vm.id)

    @override
    def run_script(self, execution: Execution, vm: Vm, script: str) -> Any:
        """Every script succeeds and prints nothing, as in the original."""
        self._hypervisor.enter(execution, "VM.run_script", vm.id)
        return {"rc": 0, "stdout": "", "stderr": ""}

    @override
    def request_rdp(self, vm: Vm, *, enabled: bool) -> None:
        """Nothing."""

    @override
    def get_state(self, vm: Vm) -> VmState:
        """The VM as it is now."""
        starts_paused = self._hypervisor.settings.starts_paused
        return vm_state(self._hypervisor.look(vm.id), vm, starts_paused=starts_paused)

    @override
    def set_domain_action_request(self, vm: Vm, action: DomainAction | None) -> None:
        """What shall be done if the domain stops now; none, nothing to do."""

        def asking(machine: Machine) -> Machine:
            return machine.with_domain(domain_action_request=action) if machine.domain else machine

        self._hypervisor.change(vm.id, asking)

    @override
    def get_domain_action_request(self, vm: Vm) -> DomainAction | None:
        """What the domain asks for."""
        domain = self._hypervisor.look(vm.id).domain
        return DomainAction.POWEROFF if domain is None else domain.domain_action_request

    @override
    def get_hook_args(self, vm: VmId) -> Sequence[str]:
        """None."""
        return ()

    @override
    def generate_state_string(self, vm: Vm) -> str:
        """Empty, as in the original: all simulated VMs are built alike."""
        return ""

    @override
    def get_internal_state(
        self, vdi_map: Sequence[tuple[str, str]], vif_map: Sequence[tuple[str, Network]], vm: Vm
    ) -> str:
        """The domain in the original simulator's JSON, its disks and networks as the other host has them."""
        machine = self._hypervisor.look(vm.id)
        domain = machine.domain or machine.suspended or machine.imported or machine.living()
        vdis, networks = dict(vdi_map), dict(vif_map)
        return encode_text(
            Domain,
            domain.model_copy(
                update={
                    "vbds": tuple(_with_disk(vbd, vdis) for vbd in domain.vbds),
                    "vifs": tuple(_with_network(vif, networks) for vif in domain.vifs),
                }
            ),
        )

    @override
    def set_internal_state(self, vm: Vm, state: str) -> None:
        """Keep it for the next domain; one that is there knows better. A suspended one makes the VM so."""
        try:
            domain: Domain = decode_text(Domain, state)
        except (JsonError, MarshalError) as error:
            raise internal_error(f"Failed to unmarshal Domain.t: {error}") from error

        def told(machine: Machine) -> Machine:
            if machine.domain is not None:
                return machine
            return machine.but(suspended=domain) if domain.suspended else machine.but(imported=domain)

        self._hypervisor.change(vm.id, told)

    def _disk_image(self, disk: Disk) -> DiskImage | None:
        content = self._hypervisor.records.read_image(image_name(disk))
        return None if content is None else DiskImage(content)

    def _change(self, execution: Execution, verb: str, vm: Vm, change: Callable[[Machine], Machine]) -> None:
        self._hypervisor.enter(execution, verb, vm.id)
        self._hypervisor.change(vm.id, change)

    def _set(self, execution: Execution, verb: str, vm: Vm, **fields: Any) -> None:
        """Set fields of a domain that can run."""

        def change(machine: Machine) -> Machine:
            machine.built()
            return machine.with_domain(**fields)

        self._change(execution, verb, vm, change)

    def _end_guest(self, vm: Vm, request: ShutdownRequest) -> None:
        action = _ASKED_BY[request]
        self._hypervisor.change(vm.id, lambda machine: machine.with_domain(domain_action_request=action))
        self._hypervisor.on_change(VmObject(id=vm.id))


def _with_disk(vbd: Vbd, vdis: dict[str, str]) -> Vbd:
    match vbd.backend:
        case Vdi(name=name) if name in vdis:
            return vbd.model_copy(update={"backend": Vdi(name=vdis[name])})
        case _:
            return vbd


def _with_network(vif: Vif, networks: dict[str, Network]) -> Vif:
    network = networks.get(vif.id[1])
    return vif if network is None else vif.model_copy(update={"backend": network})
