"""Machine: what the host knows of one VM under libxl, and how it changes; values and no I/O."""

import uuid
from typing import Literal

from engine.holding import find, replacing, without
from engine.records import Record
from pydantic import BaseModel, ConfigDict
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm

DISKS_MAX = 256
"""What names like xvda count to before the guest's kernel must know another scheme."""

NAMESPACE = uuid.UUID("6f1a3c52-3f0c-5d0c-9f55-0f1e6d3f8a11")
"""Under it, ids that are no UUIDs get one."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Source(_Value):
    """Where a disk's content is, found out once when it is attached."""

    path: str
    format: Literal["raw", "qcow2"]


class Disk(_Value):
    """A VBD that the domain has: attached, and, with `activated`, given to the guest."""

    vbd: Vbd
    number: int
    """Its place: 0 is xvda, or hda."""
    is_ide: bool
    source: Source | None
    """None: a drive without a medium."""
    activated: bool = False

    @property
    def name(self) -> str:
        """The device's name, as libxl wants it."""
        return ("hd" if self.is_ide else "xvd") + letters(self.number)

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
    """A domain, from create to destroy; Xen has it from the device model's creation, or from restore, on."""

    vm: Vm
    """As configured when it was created."""
    uuid: str
    domid: int | None = None
    """None: Xen does not have it yet."""
    is_launching: bool = False
    """Whether Xen was told to make it; if the worker died then, Xen may have part of it."""
    created_at: float
    """Seconds since the epoch."""
    action: DomainAction | None = DomainAction.REBOOT
    """What is to be done should the domain stop now."""
    built: bool = False
    saved: bool = False
    """Whether its guest has suspended itself into an image."""
    saving: str | None = None
    """Where libvirt writes its image, or has written it."""
    life: str = ""
    """What libvirt knows this one by among all that the VM ever has."""
    memory_target_bytes: int
    vcpus: int
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    pcis: tuple[Pci, ...] = ()


class Machine(Record):
    """One VM on the host. What is there without a domain stands beside it."""

    domain: Domain | None = None
    active: tuple[str, ...] = ()
    """Devices that the VM shall have: `vbd.xvda`."""
    suspended: bool = False
    """Whether there is an image of it to go on from."""

    def living(self) -> Domain:
        """Its domain. Errors: `Does_not_exist("domain", id)`."""
        if self.domain is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.id))
        return self.domain

    def launched(self) -> tuple[Domain, int]:
        """Its domain and number once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if domain.domid is None:
            raise XenopsError(DomainNotBuilt())
        return domain, domain.domid

    def with_domain(self, **fields: object) -> "Machine":
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        return self.but(domain=self.living().model_copy(update=fields))


def created(machine: Machine, vm: Vm, final: str, now: float) -> Machine:
    """With an empty domain that wants a reboot should it stop; `final` is whose identity the guest sees.

    Errors: `Already_exists`.
    """
    if machine.domain is None:
        domain = Domain(
            vm=vm,
            uuid=uuid_of(final),
            created_at=now,
            memory_target_bytes=vm.memory_dynamic_max,
            vcpus=vm.vcpus,
        )
        return machine.but(domain=domain)
    if machine.domain.built:
        raise XenopsError(AlreadyExists(klass="domain", id=machine.id))
    return machine


def uuid_of(vm: str) -> str:
    """A VM's UUID: its id, where that is one."""
    try:
        return str(uuid.UUID(vm))
    except ValueError:
        return str(uuid.uuid5(NAMESPACE, vm))


def letters(number: int) -> str:
    """0 is a, 25 is z, 26 is aa."""
    word = ""
    while number >= 0:
        word = chr(ord("a") + number % 26) + word
        number = number // 26 - 1
    return word


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
    bus, number, partition = position
    if not 0 <= number < DISKS_MAX:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {machine.id}: a VM on Xen has positions 0 to "
            f"{DISKS_MAX - 1}; give it a free one of these"
        )
    if any(other.number == number for other in domain.disks):
        raise XenopsError(AlreadyExists(klass="vbd", id=f"{bus}({number}, {partition})"))
    placed = vbd.model_copy(update={"position": position})
    disk = Disk(vbd=placed, number=number, is_ide=bus is BusType.IDE, source=source)
    return machine.with_domain(disks=(*domain.disks, disk))


def with_disk(machine: Machine, disk: Disk) -> Machine:
    """With a disk as given now."""
    return machine.with_domain(disks=replacing(machine.living().disks, disk))


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
    if any(other.vif.position == vif.position for other in domain.nics):
        raise XenopsError(AlreadyExists(klass="vif", id=str(vif.position)))
    return machine.with_domain(nics=(*domain.nics, Nic(vif=vif)))


def with_nic(machine: Machine, nic: Nic) -> Machine:
    """With an interface as given now."""
    return machine.with_domain(nics=replacing(machine.living().nics, nic))


def without_nic(machine: Machine, id_: DeviceId) -> Machine:
    """Without an interface."""
    if machine.domain is None:
        return machine
    return machine.with_domain(nics=without(machine.domain.nics, id_))


def with_pci(machine: Machine, pci: Pci, *, there: bool) -> Machine:
    """With or without a PCI device."""
    if machine.domain is None:
        return machine
    others = tuple(other for other in machine.domain.pcis if other.id != pci.id)
    return machine.with_domain(pcis=(*others, pci) if there else others)


def _next_position(domain: Domain) -> DeviceNumber:
    return (BusType.XEN, 1 + max((disk.number for disk in domain.disks), default=-1), 0)
