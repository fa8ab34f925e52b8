"""Machine: what the host knows of one VM on QEMU, and how it changes; values and no I/O."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

from engine.hosted.machine import HeldDisk, HostedMachine, Source, Value, taken
from engine.hosted.port_rules import PortRules, port_rules
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.errors import DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Vm
from typing_extensions import override

from worker_kvm.card import KvmNic, card_of
from worker_kvm.clock import first_s
from worker_kvm.hostdevices import MMIO_PORTS, PORTS, HostingDomain, Port
from worker_kvm.kind import Kind, kind_of
from worker_kvm.passthrough import free_port, taken_ports

IDE_PLACES: Mapping[Kind, tuple[Literal["sata", "ide"], int]] = {
    Kind.Q35: ("sata", 6),
    Kind.PC: ("ide", 4),
    Kind.MICROVM: ("ide", 0),
}
"""What takes disks without a driver of virtio's, and how many."""

SCSI_TARGETS = 256
"""What one virtio-scsi controller can address."""


class Process(Value):
    """A QEMU by pid and start time, in clock ticks since the host's boot: pids are used again."""

    pid: int
    started: int


class Slot(Value):
    """A disk's place in the machine: on the SATA or IDE controller, or a target of the virtio-scsi one."""

    bus: Literal["sata", "ide", "scsi"]
    unit: int

    @property
    def device(self) -> str:
        """The device's id in QEMU: VM and device names may be longer than QEMU takes."""
        return f"{self.bus}{self.unit}"

    @property
    def node(self) -> str:
        """The name of its content in QEMU."""
        return f"{self.bus}{self.unit}-node"


class Disk(HeldDisk):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    slot: Slot


class Nic(KvmNic):
    """A VIF that the domain has; `tap` is None in QEMU's own network."""

    tap: str | None
    plugs: int = 0
    """How often this place was used before: the guest may not have let go of the device before."""
    port: Port | None = None
    """Which one it has, where that of its position was taken when it came."""

    @property
    def place(self) -> int:
        """The root port that it is at."""
        return self.vif.position if self.port is None else self.port

    @property
    def device(self) -> str:
        """The device's id in QEMU."""
        return f"nic{self.vif.position}-{self.plugs}"

    @property
    def netdev(self) -> str:
        """The id of its other end in QEMU."""
        return f"net{self.vif.position}-{self.plugs}"


class Left(Value):
    """A card of an interface that was taken by force, while the guest has not let go of it."""

    device: str
    port: Port


class Saving(Value):
    """A save that is under way: what is to be done about it should its worker die."""

    was_running: bool
    draft: str | None = None
    """The file that is written, if it is one."""


class Domain(HostingDomain[Disk, Nic]):
    """A domain, from create to destroy; QEMU runs from the device model's creation on."""

    action: DomainAction | None = DomainAction.POWEROFF
    """What is to be done should the domain stop now; or what it asked for when it did."""
    process: Process | None = None
    tpm: Process | None = None
    """Its swtpm, which ends with its QEMU."""
    has_agent_port: bool = False
    """Whether the machine has a port for an agent; those of workers before had none."""
    vcpus_of_start: int | None = None
    """How many vCPUs its machine began with, where it has got others since: devices go by that."""
    nic_plugs: int = 0
    left: tuple[Left, ...] = ()
    """Cards that were seen to stay; a guest may have let go of one since."""
    machine: str = ""
    """QEMU's name of the kind of machine, where it must be just that; else any version."""
    saving: Saving | None = None
    suspended: bool = False
    """Its guest is in an image, or at another host: it must not run, unless it is told to resume."""
    new_here: bool = False
    """It came from another host and has not run here yet: QEMU has not taken its disks."""

    @override
    def places(self) -> set[int]:
        """Also those of cards that stay: nothing else at such a port is seen by the guest."""
        return {nic.place for nic in self.nics} | {left.port for left in self.left}


class Machine(HostedMachine[Domain, Disk, Nic]):
    """One VM on the host. What is there without a domain stands beside it."""

    suspended: Domain | None = None
    """What its domain was when it was saved; the VM is Suspended until a domain is built or restored."""
    clock_s: int | None = None
    """How far from UTC its guest has set its clock since the VM was configured: its next start has it so."""

    def launched(self) -> Domain:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if not domain.built or domain.process is None:
            raise XenopsError(DomainNotBuilt())
        return domain


def created(machine: Machine, vm: Vm, domid: int, now: float) -> Machine:
    """With an empty domain that is ended should nobody go on with it.

    Errors: `Already_exists`; those of `kind_of` and `configured_s`.
    """
    kind, target, clock_s = kind_of(vm), vm.memory_dynamic_max, first_s(machine.clock_s, vm)
    return machine.begun(
        lambda: Domain(
            domid=domid,
            vm=vm,
            kind=kind,
            created_at=now,
            memory_target_bytes=target,
            has_agent_port=True,
            clock_base_s=clock_s,
            clock_s=clock_s,
        )
    )


def built(machine: Machine) -> Machine:
    """With its kernel in: a new life, what was suspended is void."""
    return machine.with_domain(built=True).but(suspended=None)


def saved(machine: Machine) -> Machine:
    """Its guest is in an image now."""
    domain = machine.living()
    kept = domain.model_copy(update={"process": None, "tpm": None, "saving": None})
    return machine.with_domain(suspended=True, saving=None).but(suspended=kept)


def resumed(machine: Machine) -> Machine:
    """It goes on in its domain: the image is of the past."""
    return machine.with_domain(suspended=False, saving=None).but(suspended=None)


def restored(machine: Machine, *, new_here: bool) -> Machine:
    """Its guest is in its new domain, as it was, and has its disks: it asks for nothing."""
    machine = machine.with_domain(built=True, action=None, new_here=new_here).but(suspended=None)
    for disk in machine.living().disks:
        if disk.activated:
            machine = machine.noting_active("vbd", disk.id, active=True)
    return machine


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk in its slot; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if machine.disk(vbd.id) is not None:
        return machine
    position = vbd.position or domain.next_position()
    slot = _slot(domain, position)
    if any(other.slot == slot for other in domain.disks):
        raise taken(position)
    disk = Disk(vbd=vbd.model_copy(update={"position": position}), slot=slot, source=source)
    return machine.with_new_disk(disk)


def plugged(machine: Machine, vif: Vif, *, bridged: bool) -> Machine:
    """With an interface, at the port of its position, or at a free one where something has that.

    One that is there already stays. Errors: `Already_exists("vif", position)`; `Internal_error`, there is no
    such position, or no port is free.
    """
    domain = machine.living()
    if machine.nic(vif.id) is not None:
        return machine
    tap = f"vif{domain.domid}.{vif.position}" if bridged else None
    nic = Nic(vif=vif, tap=tap, card=card_of(domain.vm, domain.kind), plugs=domain.nic_plugs)
    places = MMIO_PORTS if domain.kind is Kind.MICROVM else PORTS
    placed = machine.with_new_nic(nic, places).with_domain(nic_plugs=domain.nic_plugs + 1)
    if vif.position not in taken_ports(domain):
        return placed
    return placed.with_nic(nic.model_copy(update={"port": free_port(domain)}))


def unplugged(machine: Machine, nic: Nic, *, stays: bool) -> Machine:
    """Without an interface, whose card `stays` in the guest or not."""
    machine = machine.without_nic(nic.id)
    if not stays or machine.domain is None:
        return machine
    return machine.with_domain(left=(*machine.domain.left, Left(device=nic.device, port=nic.place)))


def without_left(machine: Machine, gone: Collection[str]) -> Machine:
    """Without cards that the guest has let go of since."""
    if machine.domain is None or not gone:
        return machine
    return machine.with_domain(left=tuple(left for left in machine.domain.left if left.device not in gone))


def restricted(nics: Iterable[Nic]) -> Iterator[PortRules]:
    """What the taps of those interfaces let pass that may not send everything."""
    for nic in nics:
        if nic.tap is not None:
            rules = port_rules(nic.tap, nic.vif)
            if not rules.is_open:
                yield rules


def early_place(vm: Vm, kind: Kind, position: DeviceNumber) -> tuple[Literal["sata", "ide"], int] | None:
    """Where a firmware finds a disk, in a machine that is being put together; None: virtio-scsi has it."""
    bus, number, _ = position
    early, places = IDE_PLACES[kind]
    return (early, number) if bus is BusType.IDE and isinstance(vm.ty, Hvm) and number < places else None


def _slot(domain: Domain, position: DeviceNumber) -> Slot:
    """IDE, which the guest can boot from without a driver, while the machine is put together.

    Neither SATA nor IDE takes anything while it runs: a disk that comes later is on virtio-scsi, as on Xen
    it would be on the paravirtual bus alone.
    """
    early = early_place(domain.vm, domain.kind, position) if domain.process is None else None
    if early is not None:
        bus, unit = early
        return Slot(bus=bus, unit=unit)
    _, number, _ = position
    if not 0 <= number < SCSI_TARGETS:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {domain.vm.id}: a VM on QEMU has positions "
            f"0 to {SCSI_TARGETS - 1}; give it a free one of these"
        )
    return Slot(bus="scsi", unit=number)
