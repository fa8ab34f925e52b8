"""Machine: what is noted of one VM on Xen by libxc, and how it changes; values and no I/O.

What can be seen at the hypervisor or in xenstore is asked there and not noted.
"""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from engine.holding import find, replacing, without
from engine.records import Record
from pydantic import BaseModel, ConfigDict
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm

from worker_xen.xenstore.devices import DevicePath, device_number, free_position

NICS_MAX = 256
"""Interfaces of a domain: more than xapi allows, and a number that is surely none is refused."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Disk(_Value):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    vbd: Vbd
    number: int
    """The device's number for the guest."""
    activated: bool = False

    @property
    def id(self) -> DeviceId:
        """The VBD's."""
        return self.vbd.id


class Nic(_Value):
    """A VIF that the domain has."""

    vif: Vif

    @property
    def id(self) -> DeviceId:
        """The VIF's."""
        return self.vif.id


class Domain(_Value):
    """A domain, from create to destroy; `domid` is None before the hypervisor has given it one."""

    uuid: str
    renaming: str | None = None
    """The id that it is about to get, and may have already."""
    vm: Vm
    """As configured when it was created."""
    created_at: float
    """Seconds since the epoch."""
    domid: int | None = None
    action: DomainAction | None = DomainAction.REBOOT
    """What is to be done should the domain stop now and say nothing else."""
    built: bool = False
    suspended: bool = False
    """The guest has suspended itself, and its image is written."""
    memory_target_bytes: int
    vcpus: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()

    @property
    def uuids(self) -> frozenset[str]:
        """Its id, or both while it is renamed."""
        return frozenset((self.uuid, self.renaming or self.uuid))


class Suspended(_Value):
    """What remains of a domain that is suspended."""

    domid: int
    created_at: float
    vcpus: int


class Machine(Record):
    """One VM on the host. What is there without a domain stands beside it."""

    domain: Domain | None = None
    suspended: Suspended | None = None
    active: tuple[str, ...] = ()
    """Devices that the VM shall have: `vbd.xvda`."""

    def living(self) -> Domain:
        """Its domain. Errors: `Does_not_exist("domain", id)`."""
        if self.domain is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.id))
        return self.domain

    def built(self) -> Domain:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        return domain

    def with_domain(self, **fields: Any) -> "Machine":
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        return self.but(domain=self.living().model_copy(update=fields))


def uuid_of(vm: str) -> UUID:
    """A domain's id by its VM's: the same if that is one; else one that always comes out the same."""
    try:
        return UUID(vm)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"xenops:{vm}")


def created(machine: Machine, vm: Vm, now: float) -> Machine:
    """With a domain that the hypervisor does not know yet. Errors: `Already_exists`."""
    if machine.domain is not None:
        if machine.domain.built:
            raise XenopsError(AlreadyExists(klass="domain", id=machine.id))
        return machine
    domain = Domain(
        uuid=str(uuid_of(machine.id)),
        vm=vm,
        created_at=now,
        memory_target_bytes=vm.memory_dynamic_max,
        vcpus=vm.vcpus,
    )
    return machine.but(domain=domain)


def saved(machine: Machine) -> Machine:
    """Its guest is in an image now."""
    return machine.with_domain(suspended=True).but(suspended=_remains(machine.built()))


def resumed(machine: Machine) -> Machine:
    """It goes on in its domain: the image is of the past."""
    return machine.with_domain(suspended=False).but(suspended=None)


def destroyed(machine: Machine) -> Machine:
    """Without a domain; what is suspended stays so."""
    return machine.but(domain=None)


def find_disk(machine: Machine, id_: DeviceId) -> Disk | None:
    """The disk of that id."""
    disks = () if machine.domain is None else machine.domain.disks
    return find(disks, id_)


def find_nic(machine: Machine, id_: DeviceId) -> Nic | None:
    """The interface of that id."""
    nics = () if machine.domain is None else machine.domain.nics
    return find(nics, id_)


def attached(machine: Machine, vbd: Vbd) -> Machine:
    """With a disk at its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if find_disk(machine, vbd.id) is not None:
        return machine
    position = vbd.position or free_position(disk.vbd.position for disk in domain.disks)
    try:
        number = device_number(position)
    except ValueError as error:
        raise internal_error(f"Cannot attach VBD {vbd.id.device} of VM {machine.id}: {error}") from error
    if any(disk.number == number for disk in domain.disks):
        bus, place, partition = position
        raise XenopsError(AlreadyExists(klass="vbd", id=f"{bus}({place}, {partition})"))
    disk = Disk(vbd=vbd.model_copy(update={"position": position}), number=number)
    return machine.with_domain(disks=(*domain.disks, disk))


def with_disk(machine: Machine, disk: Disk) -> Machine:
    """With a disk as given now; without a domain, nothing to note."""
    if machine.domain is None:
        return machine
    return machine.with_domain(disks=replacing(machine.domain.disks, disk))


def without_disk(machine: Machine, id_: DeviceId) -> Machine:
    """Without a disk."""
    if machine.domain is None:
        return machine
    return machine.with_domain(disks=without(machine.domain.disks, id_))


def plugged(machine: Machine, vif: Vif) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    domain = machine.living()
    if find_nic(machine, vif.id) is not None:
        return machine
    if any(nic.vif.position == vif.position for nic in domain.nics):
        raise XenopsError(AlreadyExists(klass="vif", id=str(vif.position)))
    if not 0 <= vif.position < NICS_MAX:
        raise internal_error(
            f"Cannot plug VIF {vif.id.device} of VM {machine.id} at position {vif.position}: a VM on Xen has "
            f"positions 0 to {NICS_MAX - 1}; give it a free one of these"
        )
    return machine.with_domain(nics=(*domain.nics, Nic(vif=vif)))


def with_nic(machine: Machine, nic: Nic) -> Machine:
    """With an interface as given now; without a domain, nothing to note."""
    if machine.domain is None:
        return machine
    return machine.with_domain(nics=replacing(machine.domain.nics, nic))


def without_nic(machine: Machine, id_: DeviceId) -> Machine:
    """Without an interface."""
    if machine.domain is None:
        return machine
    return machine.with_domain(nics=without(machine.domain.nics, id_))


def disk_path(domid: int, disk: Disk) -> DevicePath:
    """Where a disk is in xenstore."""
    return DevicePath("vbd", domid, disk.number)


def nic_path(domid: int, nic: Nic) -> DevicePath:
    """Where an interface is in xenstore."""
    return DevicePath("vif", domid, nic.vif.position)


def _remains(domain: Domain) -> Suspended:
    return Suspended(domid=domain.domid or 0, created_at=domain.created_at, vcpus=domain.vcpus)
