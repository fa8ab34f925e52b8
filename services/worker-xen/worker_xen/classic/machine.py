"""Machine: what is noted of one VM on Xen by libxc, and how it changes; values and no I/O.

What can be seen at the hypervisor or in xenstore is asked there and not noted.
"""

from uuid import NAMESPACE_URL, UUID, uuid5

from engine.holding import find, without
from engine.hosted.machine import HeldDisk, HeldNic, HostedMachine, Source, Value, taken
from engine.hosted.usb import UsbDomain
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber, LocalDisk
from schema.objects.errors import DomainNotBuilt
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Vm
from typing_extensions import override

from worker_xen.xenstore.devices import DevicePath, device_number

IDE_DISKS = 4

SCRIPT_KEY = "script"
"""In a VBD's `extra_backend_keys`: the hotplug script that makes its content ready."""

NICS_MAX = 256
"""Interfaces of a domain: more than xapi allows, and a number that is surely none is refused."""


class Disk(HeldDisk):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    number: int
    """The device's number for the guest."""

    @property
    def path(self) -> str | None:
        """Where its content is, or what its hotplug script finds that by; None: a drive without a medium."""
        if self.source is not None:
            return self.source.path
        backend = self.vbd.backend  # of disks of the host's own, workers before noted no more
        return backend.path if isinstance(backend, LocalDisk) else None

    @property
    def script(self) -> str | None:
        """The hotplug script that makes its content ready, if one does."""
        return script_of(self.vbd)


class Nic(HeldNic):
    """A VIF that the domain has."""


class HeldPci(Value):
    """A PCI device that the domain has, or, until `plugged`, is about to have."""

    pci: Pci
    slot: int
    """Its number among the domain's."""
    plugged: bool = False

    @property
    def id(self) -> DeviceId:
        """The device's."""
        return self.pci.id


class Domain(UsbDomain[Disk, Nic]):
    """A domain, from create to destroy; `domid` is None before the hypervisor has given it one."""

    uuid: str
    renaming: str | None = None
    """The id that it is about to get, and may have already."""
    domid: int | None = None
    suspended: bool = False
    """The guest has suspended itself, and its image is written."""
    drafting: str | None = None
    """The file that its image is written to until it is whole: it goes, should the worker die meanwhile."""
    vcpus: int
    gets_pcis: bool = False
    """The hypervisor lets it have PCI devices."""
    pcis: tuple[HeldPci, ...] = ()
    has_usb: bool = False
    """Its hardware has a controller for USB devices of the host, which comes with the first one."""

    @property
    def is_hvm(self) -> bool:
        """Whether its guest finds emulated hardware, by a device model."""
        return isinstance(self.vm.ty, Hvm)

    def next_slot(self) -> int:
        """The number of a PCI device that comes now; that of one that went comes again only at the end."""
        return 1 + max((held.slot for held in self.pcis), default=-1)

    @property
    @override
    def owner(self) -> str:
        """Its number."""
        return super().owner if self.domid is None else str(self.domid)

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

    def pci(self, id_: DeviceId) -> HeldPci | None:
        """The PCI device of that id."""
        pcis = () if self.domain is None else self.domain.pcis
        return find(pcis, id_)

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


def created(machine: Machine, vm: Vm, now: float, *, gets_pcis: bool = False) -> Machine:
    """With a domain that the hypervisor does not know yet. Errors: `Already_exists`."""
    return machine.begun(
        lambda: Domain(
            uuid=str(uuid_of(machine.id)),
            vm=vm,
            created_at=now,
            memory_target_bytes=vm.memory_dynamic_max,
            vcpus=vm.vcpus,
            gets_pcis=gets_pcis,
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


def script_of(vbd: Vbd) -> str | None:
    """The hotplug script that makes a VBD's content ready, if one does."""
    return dict(vbd.extra_backend_keys).get(SCRIPT_KEY)


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk at its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if machine.disk(vbd.id) is not None:
        return machine
    position = vbd.position or _next_position(domain)
    try:
        number = device_number(position)
    except ValueError as error:
        raise internal_error(f"Cannot attach VBD {vbd.id.device} of VM {machine.id}: {error}") from error
    if any(disk.number == number for disk in domain.disks):
        raise taken(position)
    disk = Disk(vbd=vbd.model_copy(update={"position": position}), number=number, source=source)
    return machine.with_new_disk(disk)


def _next_position(domain: Domain) -> DeviceNumber:
    """An HVM guest's first ones are on IDE channels, where its firmware finds them, as in the original."""
    _, number, _ = place = domain.next_position()
    return (BusType.IDE, number, 0) if domain.is_hvm and number < IDE_DISKS else place


def plugged(machine: Machine, vif: Vif) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    if machine.nic(vif.id) is not None:
        return machine
    return machine.with_new_nic(Nic(vif=vif), NICS_MAX)


def with_pci(machine: Machine, held: HeldPci, *, there: bool) -> Machine:
    """With a PCI device as given now, or without it; without a domain, nothing to note."""
    if machine.domain is None:
        return machine
    others = without(machine.domain.pcis, held.id)
    return machine.with_domain(pcis=(*others, held) if there else others)


def disk_path(domid: int, disk: Disk) -> DevicePath:
    """Where a disk is in xenstore."""
    return DevicePath("vbd", domid, disk.number)


def nic_path(domid: int, nic: Nic) -> DevicePath:
    """Where an interface is in xenstore."""
    return DevicePath("vif", domid, nic.vif.position)


def pci_path(domid: int) -> DevicePath:
    """Where all of a domain's PCI devices are in xenstore."""
    return DevicePath("pci", domid, 0)


def _remains(domain: Domain) -> Suspended:
    return Suspended(domid=domain.domid or 0, created_at=domain.created_at, vcpus=domain.vcpus)
