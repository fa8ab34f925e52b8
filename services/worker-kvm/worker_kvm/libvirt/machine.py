"""Machine: what the host knows of one VM on libvirt, and how it changes; values and no I/O."""

from enum import StrEnum
from typing import Literal

from engine.hosted.machine import HeldDisk, HostedMachine, Source, Value, taken
from engine.hosted.naming import letters
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.objects.disk import DeviceNumber
from schema.objects.errors import DomainNotBuilt
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif

from worker_kvm.addresses import Addressed
from worker_kvm.card import KvmNic, card_of
from worker_kvm.hostdevices import PORTS, HostingDomain
from worker_kvm.kind import Kind
from worker_kvm.qemu.machine import IDE_PLACES, SCSI_TARGETS, early_place

_EARLY = IDE_PLACES[Kind.Q35][1]
"""How many names of disks are for those that are not on SCSI."""

_LIFE_LETTERS = 9
"""A tap's name has 15 at most, and no other's is like it: rules go by it."""


class Disk(HeldDisk):
    """A VBD that the domain has: attached, and, with `activated`, seen by the guest."""

    bus: Literal["sata", "ide", "scsi"]
    unit: int
    source: Source | None
    """None: a drive without a medium."""

    @property
    def alias(self) -> str:
        """The device's name for libvirt; those that a user may choose begin so."""
        return f"ua-{self.bus}{self.unit}"

    @property
    def target(self) -> str:
        """What libvirt takes for its name in the guest, which must not be another's: `sda`."""
        return f"sd{letters(_EARLY + self.unit if self.bus == 'scsi' else self.unit)}"


class Nic(KvmNic):
    """A VIF that the domain has; `tap` is None in QEMU's own network."""

    plugs: int = 0
    """How often interfaces were plugged before: the guest may not have let go of the one before."""
    tap: str | None = None

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


class Domain(HostingDomain[Disk, Nic]):
    """A domain, from create to destroy; libvirt has it from the device model's creation on."""

    uuid: str
    """What libvirt knows it by."""
    life: str
    """What its metadata say: another domain of that UUID is not ours."""
    action: DomainAction | None = DomainAction.POWEROFF
    """What is to be done should the domain stop now; or what it asked for when it did."""
    stage: Stage = Stage.NOTED
    screen: str | None = None
    """VNC's socket."""
    moving: bool = False
    """It is on its way to another host, and may be there already."""
    saving: str | None = None
    """The image that it is being suspended to."""
    saved: str | None = None
    """The image that it was suspended to: libvirt has it no more."""
    filing: Literal["running", "paused"] | None = None
    """That image goes on to where it lasts, and has not got there; what its guest was before."""
    vcpus: int
    nic_plugs: int = 0


class Carried(Value):
    """What another host must know of a VM besides its configuration and its file."""

    suspended: bool
    addressed: tuple[Addressed, ...] = ()
    """What the guest's agent has given its interfaces; of a worker before: it is given that once more."""


class Machine(HostedMachine[Domain, Disk, Nic]):
    """One VM on the host. What is there without a domain stands beside it."""

    suspended: bool = False
    addressed: tuple[Addressed, ...] = ()
    """Of a guest that is suspended, or on its way here."""
    clock_s: int | None = None
    """How far from UTC its guest has set its clock since the VM was configured: its next start has it so."""
    keeps_as: str = ""
    """The UUID under which libvirt keeps its variables and its TPM; empty: it never ran."""
    is_secure: bool = False
    """Whether the UEFI variables that libvirt keeps have keys: a start that wants the other begins anew."""

    def launched(self) -> Domain:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if domain.stage is not Stage.LAUNCHED:
            raise XenopsError(DomainNotBuilt())
        return domain


def attached(machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
    """With a disk in its place; one that is there already stays. Errors: `Already_exists("vbd", …)`."""
    domain = machine.living()
    if machine.disk(vbd.id) is not None:
        return machine
    position = vbd.position or domain.next_position()
    bus, unit = _place(domain, position)
    if any((other.bus, other.unit) == (bus, unit) for other in domain.disks):
        raise taken(position)
    placed = vbd.model_copy(update={"position": position})
    return machine.with_new_disk(Disk(vbd=placed, bus=bus, unit=unit, source=source))


def saved(machine: Machine, path: str) -> Machine:
    """Its guest is in an image now, and what its agent has given it."""
    addressed = machine.living().addressed
    noted = machine.with_domain(stage=Stage.NOTED, saving=None, saved=path)
    return noted.but(suspended=True, addressed=addressed)


def plugged(machine: Machine, vif: Vif, *, bridged: bool) -> Machine:
    """With an interface; one that is there already stays. Errors: `Already_exists("vif", position)`."""
    domain = machine.living()
    if machine.nic(vif.id) is not None:
        return machine
    tap = f"x{domain.life[:_LIFE_LETTERS]}.{domain.nic_plugs}" if bridged else None
    nic = Nic(vif=vif, card=card_of(domain.vm, domain.kind), plugs=domain.nic_plugs, tap=tap)
    return machine.with_new_nic(nic, PORTS).with_domain(nic_plugs=domain.nic_plugs + 1)


def _place(domain: Domain, position: DeviceNumber) -> tuple[Literal["sata", "ide", "scsi"], int]:
    """SATA or IDE, which a firmware boots from, while the machine is put together; else virtio-scsi."""
    early = early_place(domain.vm, domain.kind, position) if domain.stage is Stage.NOTED else None
    if early is not None:
        return early
    _, number, _ = position
    if not 0 <= number < SCSI_TARGETS:
        raise internal_error(
            f"Cannot attach a disk at position {number} of VM {domain.vm.id}: a VM on libvirt has positions "
            f"0 to {SCSI_TARGETS - 1}; give it a free one of these"
        )
    return "scsi", number
