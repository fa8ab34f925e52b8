"""Machine: what the host knows of one VM on QEMU, and how it changes; values and no I/O."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from engine.holding import find, replacing, without
from engine.records import Record
from pydantic import BaseModel, ConfigDict
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Vm

from worker_kvm.port_rules import PortRules, port_rules

SATA_PORTS = 6
"""What the q35 machine's own controller has."""

SCSI_TARGETS = 256
"""What one virtio-scsi controller can address."""

NIC_PORTS = 8
"""Root ports that each machine is given for interfaces; xapi allows a VM seven."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Process(_Value):
    """A QEMU by pid and start time, in clock ticks since the host's boot: pids are used again."""

    pid: int
    started: int


class Source(_Value):
    """Where a disk's content is, found out once when it is attached."""

    path: str
    format: Literal["raw", "qcow2"]
    is_device: bool = False


class Slot(_Value):
    """A disk's place in the machine: a port of the SATA controller, or a target of the virtio-scsi one."""

    bus: Literal["sata", "scsi"]
    unit: int

    @property
    def device(self) -> str:
        """The device's id in QEMU: VM and device names may be longer than QEMU takes."""
        return f"{self.bus}{self.unit}"

    @property
    def node(self) -> str:
        """The name of its content in QEMU."""
        return f"{self.bus}{self.unit}-node"


class Disk(_Value):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    vbd: Vbd
    slot: Slot
    source: Source | None
    """None: a drive without a medium."""
    activated: bool = False

    @property
    def id(self) -> DeviceId:
        """The VBD's."""
        return self.vbd.id


class Nic(_Value):
    """A VIF that the domain has; `tap` is None in QEMU's own network."""

    vif: Vif
    tap: str | None
    plugs: int = 0
    """How often this place was used before: the guest may not have let go of the device before."""

    @property
    def device(self) -> str:
        """The device's id in QEMU."""
        return f"nic{self.vif.position}-{self.plugs}"

    @property
    def netdev(self) -> str:
        """The id of its other end in QEMU."""
        return f"net{self.vif.position}-{self.plugs}"

    @property
    def id(self) -> DeviceId:
        """The VIF's."""
        return self.vif.id


class Saving(_Value):
    """A save that is under way: what is to be done about it should its worker die."""

    was_running: bool
    draft: str | None = None
    """The file that is written, if it is one."""


class Domain(_Value):
    """A domain, from create to destroy; QEMU runs from the device model's creation on."""

    domid: int
    vm: Vm
    """As configured when it was created."""
    created_at: float
    """Seconds since the epoch."""
    action: DomainAction | None = DomainAction.REBOOT
    """What is to be done should the domain stop now; or what it asked for when it did."""
    built: bool = False
    process: Process | None = None
    tpm: Process | None = None
    """Its swtpm, which ends with its QEMU."""
    has_agent_port: bool = False
    """Whether the machine has a port for an agent; those of workers before had none."""
    memory_target_bytes: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    nic_plugs: int = 0
    machine: str = ""
    """QEMU's name of the kind of machine, where it must be just that; else any version of q35."""
    saving: Saving | None = None
    suspended: bool = False
    """Its guest is in an image, or at another host: it must not run, unless it is told to resume."""

    new_here: bool = False
    """It came from another host and has not run here yet: QEMU has not taken its disks."""


class Machine(Record):
    """One VM on the host. What is there without a domain stands beside it."""

    domain: Domain | None = None
    suspended: Domain | None = None
    """What its domain was when it was saved; the VM is Suspended until a domain is built or restored."""
    active: tuple[str, ...] = ()
    """Devices that the VM shall have: `vbd.xvda`."""

    def living(self) -> Domain:
        """Its domain. Errors: `Does_not_exist("domain", id)`."""
        if self.domain is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.id))
        return self.domain

    def launched(self) -> Domain:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if not domain.built or domain.process is None:
            raise XenopsError(DomainNotBuilt())
        return domain

    def with_domain(self, **fields: Any) -> "Machine":
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        return self.but(domain=self.living().model_copy(update=fields))


def created(machine: Machine, vm: Vm, domid: int, now: float) -> Machine:
    """With an empty domain that wants a reboot should it stop. Errors: `Already_exists`."""
    if machine.domain is None:
        target = vm.memory_dynamic_max
        domain = Domain(domid=domid, vm=vm, created_at=now, memory_target_bytes=target, has_agent_port=True)
        return machine.but(domain=domain)
    if machine.domain.built:
        raise XenopsError(AlreadyExists(klass="domain", id=machine.id))
    return machine


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
    disks = tuple(f"vbd.{disk.id.device}" for disk in machine.living().disks if disk.activated)
    active = tuple(dict.fromkeys((*machine.active, *disks)))
    return machine.with_domain(built=True, action=None, new_here=new_here).but(suspended=None, active=active)


def find_disk(machine: Machine, id_: DeviceId) -> Disk | None:
    """The disk of that id."""
    disks = () if machine.domain is None else machine.domain.disks
    return find(disks, id_)


def find_nic(machine: Machine, id_: DeviceId) -> Nic | None:
    """The interface of that id."""
    nics = () if machine.domain is None else machine.domain.nics
    return find(nics, id_)


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk in its slot; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if find_disk(machine, vbd.id) is not None:
        return machine
    position = vbd.position or _next_position(domain)
    slot = _slot(domain, position)
    if any(other.slot == slot for other in domain.disks):
        bus, number, partition = position
        raise XenopsError(AlreadyExists(klass="vbd", id=f"{bus}({number}, {partition})"))
    disk = Disk(vbd=vbd.model_copy(update={"position": position}), slot=slot, source=source)
    return machine.with_domain(disks=(*domain.disks, disk))


def with_disk(machine: Machine, disk: Disk) -> Machine:
    """With a disk as given now."""
    return machine.with_domain(disks=replacing(machine.living().disks, disk))


def without_disk(machine: Machine, id_: DeviceId) -> Machine:
    """Without a disk."""
    if machine.domain is None:
        return machine
    return machine.with_domain(disks=without(machine.domain.disks, id_))


def plugged(machine: Machine, vif: Vif, *, bridged: bool) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    domain = machine.living()
    if find_nic(machine, vif.id) is not None:
        return machine
    if any(other.vif.position == vif.position for other in domain.nics):
        raise XenopsError(AlreadyExists(klass="vif", id=str(vif.position)))
    if not 0 <= vif.position < NIC_PORTS:
        raise internal_error(
            f"Cannot plug VIF {vif.id.device} of VM {machine.id} at position {vif.position}: a VM on QEMU "
            f"has positions 0 to {NIC_PORTS - 1}; give it a free one of these"
        )
    tap = f"vif{domain.domid}.{vif.position}" if bridged else None
    nic = Nic(vif=vif, tap=tap, plugs=domain.nic_plugs)
    return machine.with_domain(nics=(*domain.nics, nic), nic_plugs=domain.nic_plugs + 1)


def with_nic(machine: Machine, nic: Nic) -> Machine:
    """With an interface as given now."""
    return machine.with_domain(nics=replacing(machine.living().nics, nic))


def without_nic(machine: Machine, id_: DeviceId) -> Machine:
    """Without an interface."""
    if machine.domain is None:
        return machine
    return machine.with_domain(nics=without(machine.domain.nics, id_))


def restricted(nics: Iterable[Nic]) -> Iterator[PortRules]:
    """What the taps of those interfaces let pass that may not send everything."""
    for nic in nics:
        if nic.tap is not None:
            rules = port_rules(nic.tap, nic.vif)
            if not rules.is_open:
                yield rules


def _next_position(domain: Domain) -> DeviceNumber:
    numbers = (disk.vbd.position[1] for disk in domain.disks if disk.vbd.position is not None)
    return (BusType.XEN, 1 + max(numbers, default=-1), 0)


def _slot(domain: Domain, position: DeviceNumber) -> Slot:
    """IDE, which the guest can boot from without a driver, while the machine is put together.

    SATA ports take nothing while it runs: a disk that comes later is on virtio-scsi, as on Xen it would be
    on the paravirtual bus alone.
    """
    bus, number, _ = position
    if (
        bus is BusType.IDE
        and isinstance(domain.vm.ty, Hvm)
        and domain.process is None
        and number < SATA_PORTS
    ):
        return Slot(bus="sata", unit=number)
    if not 0 <= number < SCSI_TARGETS:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {domain.vm.id}: a VM on QEMU has positions "
            f"0 to {SCSI_TARGETS - 1}; give it a free one of these"
        )
    return Slot(bus="scsi", unit=number)
