"""Machine: what the host knows of one VM under libxl, and how it changes; values and no I/O."""

import uuid

from engine.hosted.machine import HeldDisk, HeldNic, HostedMachine, Source, taken
from engine.hosted.naming import letters
from engine.hosted.usb import UsbDomain
from schema.fault import XenopsError, internal_error
from schema.objects.disk import BusType
from schema.objects.errors import DomainNotBuilt
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm

NICS_MAX = 256
"""Interfaces of a domain: more than xapi allows, and a number that is surely none is refused."""

DISKS_MAX = 256
"""What names like xvda count to before the guest's kernel must know another scheme."""

NAMESPACE = uuid.UUID("6f1a3c52-3f0c-5d0c-9f55-0f1e6d3f8a11")
"""Under it, ids that are no UUIDs get one."""


class Disk(HeldDisk):
    """A VBD that the domain has: attached, and, with `activated`, given to the guest."""

    number: int
    """Its place: 0 is xvda, or hda."""
    is_ide: bool

    @property
    def name(self) -> str:
        """The device's name, as libxl wants it."""
        return ("hd" if self.is_ide else "xvd") + letters(self.number)


class Nic(HeldNic):
    """A VIF that the domain has."""


class Domain(UsbDomain[Disk, Nic]):
    """A domain, from create to destroy; Xen has it from the device model's creation, or from restore, on."""

    uuid: str
    domid: int | None = None
    """None: Xen does not have it yet."""
    is_launching: bool = False
    """Whether Xen was told to make it; if the worker died then, Xen may have part of it."""
    gets_pcis: bool = False
    """Whether it has PCI devices of the host from the beginning, or may get some."""
    has_usb: bool = False
    """Its hardware has a controller for USB devices of the host, which comes with the first one."""
    saved: bool = False
    """Whether its guest has suspended itself into an image."""
    saving: str | None = None
    """Where its image is being written; by libvirt, also where it was written."""
    final: str = ""
    """The id of the VM whose identity its guest sees: of one that has just arrived, not its own yet."""
    life: str = ""
    """What libvirt knows this one by among all that the VM ever has."""
    vcpus: int
    pcis: tuple[Pci, ...] = ()


class Machine(HostedMachine[Domain, Disk, Nic]):
    """One VM on the host. What is there without a domain stands beside it."""

    suspended: bool = False
    """Whether there is an image of it to go on from."""

    def launched(self) -> tuple[Domain, int]:
        """Its domain and number once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if domain.domid is None:
            raise XenopsError(DomainNotBuilt())
        return domain, domain.domid


def created(machine: Machine, vm: Vm, final: str, now: float) -> Machine:
    """With an empty domain, ended should nobody go on with it. `final` is whose identity the guest sees.

    Errors: `Already_exists`.
    """
    return machine.begun(
        lambda: Domain(
            vm=vm,
            uuid=uuid_of(final),
            final=final,
            created_at=now,
            memory_target_bytes=vm.memory_dynamic_max,
            vcpus=vm.vcpus,
        )
    )


def uuid_of(vm: str) -> str:
    """A VM's UUID: its id, where that is one."""
    try:
        return str(uuid.UUID(vm))
    except ValueError:
        return str(uuid.uuid5(NAMESPACE, vm))


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk in its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if machine.disk(vbd.id) is not None:
        return machine
    position = vbd.position or domain.next_position()
    bus, number, _ = position
    if not 0 <= number < DISKS_MAX:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {machine.id}: a VM on Xen has positions 0 to "
            f"{DISKS_MAX - 1}; give it a free one of these"
        )
    if any(other.number == number for other in domain.disks):
        raise taken(position)
    placed = vbd.model_copy(update={"position": position})
    disk = Disk(vbd=placed, number=number, is_ide=bus is BusType.IDE, source=source)
    return machine.with_new_disk(disk)


def plugged(machine: Machine, vif: Vif) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    if machine.nic(vif.id) is not None:
        return machine
    return machine.with_new_nic(Nic(vif=vif), NICS_MAX)


def with_pci(machine: Machine, pci: Pci, *, there: bool) -> Machine:
    """With or without a PCI device."""
    if machine.domain is None:
        return machine
    others = tuple(other for other in machine.domain.pcis if other.id != pci.id)
    return machine.with_domain(pcis=(*others, pci) if there else others)
