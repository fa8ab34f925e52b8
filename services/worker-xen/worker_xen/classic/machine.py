"""Machine: what is noted of one VM on Xen by libxc, and how it changes; values and no I/O.

What can be seen at the hypervisor or in xenstore is asked there and not noted.
"""

from uuid import NAMESPACE_URL, UUID, uuid5

from engine.hosted.machine import HeldDisk, HeldNic, HostedDomain, HostedMachine, Value, taken
from schema.fault import XenopsError, internal_error
from schema.objects.errors import DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm

from worker_xen.xenstore.devices import DevicePath, device_number

NICS_MAX = 256
"""Interfaces of a domain: more than xapi allows, and a number that is surely none is refused."""


class Disk(HeldDisk):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    number: int
    """The device's number for the guest."""


class Nic(HeldNic):
    """A VIF that the domain has."""


class Domain(HostedDomain[Disk, Nic]):
    """A domain, from create to destroy; `domid` is None before the hypervisor has given it one."""

    uuid: str
    renaming: str | None = None
    """The id that it is about to get, and may have already."""
    domid: int | None = None
    suspended: bool = False
    """The guest has suspended itself, and its image is written."""
    vcpus: int

    @property
    def uuids(self) -> frozenset[str]:
        """Its id, or both while it is renamed."""
        return frozenset((self.uuid, self.renaming or self.uuid))


class Suspended(Value):
    """What remains of a domain that is suspended."""

    domid: int
    created_at: float
    vcpus: int


class Machine(HostedMachine[Domain, Disk, Nic]):
    """One VM on the host. What is there without a domain stands beside it."""

    suspended: Suspended | None = None

    def built(self) -> Domain:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        return domain


def uuid_of(vm: str) -> UUID:
    """A domain's id by its VM's: the same if that is one; else one that always comes out the same."""
    try:
        return UUID(vm)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"xenops:{vm}")


def created(machine: Machine, vm: Vm, now: float) -> Machine:
    """With a domain that the hypervisor does not know yet. Errors: `Already_exists`."""
    return machine.begun(
        lambda: Domain(
            uuid=str(uuid_of(machine.id)),
            vm=vm,
            created_at=now,
            memory_target_bytes=vm.memory_dynamic_max,
            vcpus=vm.vcpus,
        )
    )


def saved(machine: Machine) -> Machine:
    """Its guest is in an image now."""
    return machine.with_domain(suspended=True).but(suspended=_remains(machine.built()))


def resumed(machine: Machine) -> Machine:
    """It goes on in its domain: the image is of the past."""
    return machine.with_domain(suspended=False).but(suspended=None)


def destroyed(machine: Machine) -> Machine:
    """Without a domain; what is suspended stays so."""
    return machine.but(domain=None)


def attached(machine: Machine, vbd: Vbd) -> Machine:
    """With a disk at its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if machine.disk(vbd.id) is not None:
        return machine
    position = vbd.position or domain.next_position()
    try:
        number = device_number(position)
    except ValueError as error:
        raise internal_error(f"Cannot attach VBD {vbd.id.device} of VM {machine.id}: {error}") from error
    if any(disk.number == number for disk in domain.disks):
        raise taken(position)
    disk = Disk(vbd=vbd.model_copy(update={"position": position}), number=number)
    return machine.with_new_disk(disk)


def plugged(machine: Machine, vif: Vif) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    if machine.nic(vif.id) is not None:
        return machine
    return machine.with_new_nic(Nic(vif=vif), NICS_MAX)


def disk_path(domid: int, disk: Disk) -> DevicePath:
    """Where a disk is in xenstore."""
    return DevicePath("vbd", domid, disk.number)


def nic_path(domid: int, nic: Nic) -> DevicePath:
    """Where an interface is in xenstore."""
    return DevicePath("vif", domid, nic.vif.position)


def _remains(domain: Domain) -> Suspended:
    return Suspended(domid=domain.domid or 0, created_at=domain.created_at, vcpus=domain.vcpus)
