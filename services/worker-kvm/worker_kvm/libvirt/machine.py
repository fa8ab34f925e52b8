"""Machine: what the host knows of one VM on libvirt, and how it changes; values and no I/O."""

from enum import StrEnum
from typing import Any, Literal

from engine.holding import find, replacing, without
from engine.records import Record
from pydantic import BaseModel, ConfigDict
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.disk import Disk as Backend
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Vm

from worker_kvm.qemu.machine import NIC_PORTS, SATA_PORTS, SCSI_TARGETS, Source

_LIFE_LETTERS = 9
"""A tap's name has 15 at most, and no other's is like it: rules go by it."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Disk(_Value):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    vbd: Vbd
    bus: Literal["sata", "scsi"]
    unit: int
    source: Source | None
    """None: a drive without a medium."""
    activated: bool = False

    @property
    def id(self) -> DeviceId:
        """The VBD's."""
        return self.vbd.id

    @property
    def alias(self) -> str:
        """The device's name for libvirt; those that a user may choose begin so."""
        return f"ua-{self.bus}{self.unit}"

    @property
    def target(self) -> str:
        """What libvirt takes for its name in the guest, which must not be another's: `sda`."""
        return f"sd{_letters(self.unit if self.bus == 'sata' else SATA_PORTS + self.unit)}"

    def holding(self, backend: Backend | None, source: Source | None) -> "Disk":
        """The same drive with another medium."""
        vbd = self.vbd.model_copy(update={"backend": backend})
        return self.model_copy(update={"vbd": vbd, "source": source})


class Nic(_Value):
    """A VIF that the domain has; `tap` is None in QEMU's own network."""

    vif: Vif
    plugs: int = 0
    """How often interfaces were plugged before: the guest may not have let go of the one before."""
    tap: str | None = None

    @property
    def id(self) -> DeviceId:
        """The VIF's."""
        return self.vif.id

    @property
    def alias(self) -> str:
        """The device's name for libvirt."""
        return f"ua-nic{self.vif.position}-{self.plugs}"


class Stage(StrEnum):
    """How far a domain is libvirt's."""

    NOTED = "noted"
    LAUNCHING = "launching"
    """Libvirt was told to make it; should the worker die now, the next one ends it."""
    LAUNCHED = "launched"


class Domain(_Value):
    """A domain, from create to destroy; libvirt has it from the device model's creation on."""

    domid: int
    uuid: str
    """What libvirt knows it by."""
    life: str
    """What its metadata say: another domain of that UUID is not ours."""
    vm: Vm
    """As configured when it was created."""
    created_at: float
    """Seconds since the epoch."""
    action: DomainAction | None = DomainAction.REBOOT
    """What is to be done should the domain stop now; or what it asked for when it did."""
    built: bool = False
    stage: Stage = Stage.NOTED
    screen: str | None = None
    """VNC's socket."""
    saving: str | None = None
    """The image that it is being suspended to."""
    saved: str | None = None
    """The image that it was suspended to: libvirt has it no more."""
    memory_target_bytes: int
    vcpus: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    nic_plugs: int = 0


class Machine(Record):
    """One VM on the host. What is there without a domain stands beside it."""

    domain: Domain | None = None
    suspended: bool = False
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
        if domain.stage is not Stage.LAUNCHED:
            raise XenopsError(DomainNotBuilt())
        return domain

    def with_domain(self, **fields: Any) -> "Machine":
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        return self.but(domain=self.living().model_copy(update=fields))


def created(machine: Machine, domain: Domain) -> Machine:
    """With an empty domain that wants a reboot should it stop; the one it has. Errors: `Already_exists`."""
    if machine.domain is None:
        return machine.but(domain=domain)
    if machine.domain.built:
        raise XenopsError(AlreadyExists(klass="domain", id=machine.id))
    return machine


def find_disk(machine: Machine, id_: DeviceId) -> Disk | None:
    """The disk of that id."""
    disks = () if machine.domain is None else machine.domain.disks
    return find(disks, id_)


def find_nic(machine: Machine, id_: DeviceId) -> Nic | None:
    """The interface of that id."""
    nics = () if machine.domain is None else machine.domain.nics
    return find(nics, id_)


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk in its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if find_disk(machine, vbd.id) is not None:
        return machine
    position = vbd.position or _next_position(domain)
    bus, unit = _place(domain, position)
    if any((other.bus, other.unit) == (bus, unit) for other in domain.disks):
        kind, number, partition = position
        raise XenopsError(AlreadyExists(klass="vbd", id=f"{kind}({number}, {partition})"))
    placed = vbd.model_copy(update={"position": position})
    return machine.with_domain(disks=(*domain.disks, Disk(vbd=placed, bus=bus, unit=unit, source=source)))


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
            f"Cannot plug VIF {vif.id.device} of VM {machine.id} at position {vif.position}: a VM on libvirt "
            f"has positions 0 to {NIC_PORTS - 1}; give it a free one of these"
        )
    tap = f"x{domain.life[:_LIFE_LETTERS]}.{domain.nic_plugs}" if bridged else None
    nic = Nic(vif=vif, plugs=domain.nic_plugs, tap=tap)
    return machine.with_domain(nics=(*domain.nics, nic), nic_plugs=domain.nic_plugs + 1)


def with_nic(machine: Machine, nic: Nic) -> Machine:
    """With an interface as given now."""
    return machine.with_domain(nics=replacing(machine.living().nics, nic))


def without_nic(machine: Machine, id_: DeviceId) -> Machine:
    """Without an interface."""
    if machine.domain is None:
        return machine
    return machine.with_domain(nics=without(machine.domain.nics, id_))


def _next_position(domain: Domain) -> DeviceNumber:
    numbers = (disk.vbd.position[1] for disk in domain.disks if disk.vbd.position is not None)
    return (BusType.XEN, 1 + max(numbers, default=-1), 0)


def _place(domain: Domain, position: DeviceNumber) -> tuple[Literal["sata", "scsi"], int]:
    """SATA, which a firmware boots from, while the machine is put together; later, and else, virtio-scsi."""
    bus, number, _ = position
    is_early = domain.stage is Stage.NOTED
    if bus is BusType.IDE and isinstance(domain.vm.ty, Hvm) and is_early and number < SATA_PORTS:
        return "sata", number
    if not 0 <= number < SCSI_TARGETS:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {domain.vm.id}: a VM on libvirt has positions "
            f"0 to {SCSI_TARGETS - 1}; give it a free one of these"
        )
    return "scsi", number


def _letters(number: int) -> str:
    """As Linux names disks: a to z, then aa."""
    text = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        text = chr(ord("a") + letter) + text
        number -= 1
    return text
