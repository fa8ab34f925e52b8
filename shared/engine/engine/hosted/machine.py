"""Machine: what a backend notes of one VM on its host, and how that changes; values and no I/O."""

from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.disk import BusType, DeviceNumber
from schema.objects.disk import Disk as Backend
from schema.objects.errors import AlreadyExists, DoesNotExist
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import Vm

from engine.holding import find, replacing, with_or_without, without
from engine.hosted.records import Record
from engine.refusals import dotted


class Value(BaseModel):
    """A part of what is noted. What a later version has noted besides is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Source(Value):
    """Where a disk's content is, found out once when it is attached."""

    path: str
    format: Literal["raw", "qcow2"]
    is_device: bool = False
    export: str | None = None
    """What it is called by the NBD server whose Unix socket `path` is; None: it is a file or a device."""
    extra: tuple[tuple[str, str], ...] = ()
    """What storage has drivers of Xen's in the guest told of it, in xenstore below `sm-data`."""


class HeldDisk(Value):
    """A VBD that a domain has: attached, and, with `activated`, given to the guest."""

    vbd: Vbd
    activated: bool = False
    source: Source | None = None
    """None: a drive without a medium."""

    @property
    def id(self) -> DeviceId:
        """The VBD's."""
        return self.vbd.id

    def holding(self, medium: Backend | None, **fields: object) -> Self:
        """The same drive with another medium, and with these fields."""
        vbd = self.vbd.model_copy(update={"backend": medium})
        return self.model_copy(update={"vbd": vbd, **fields})


class HeldNic(Value):
    """A VIF that a domain has."""

    vif: Vif

    @property
    def id(self) -> DeviceId:
        """The VIF's."""
        return self.vif.id

    def but(self, **fields: object) -> Self:
        """The same but for these fields of its VIF."""
        return self.model_copy(update={"vif": self.vif.model_copy(update=fields)})


DiskT = TypeVar("DiskT", bound=HeldDisk)
NicT = TypeVar("NicT", bound=HeldNic)


class HostedDomain(Value, Generic[DiskT, NicT]):
    """A domain, from create to destroy."""

    vm: Vm
    """As configured when it was created."""
    created_at: float
    """Seconds since the epoch."""
    action: DomainAction | None = DomainAction.POWEROFF
    """What is to be done should the domain stop now, or whoever makes it; one that is not whole is ended."""
    built: bool = False
    memory_target_bytes: int
    disks: tuple[DiskT, ...] = ()
    nics: tuple[NicT, ...] = ()

    @property
    def owner(self) -> str:
        """As what storage knows it: by its VM, unless it has a number before it has disks."""
        return self.vm.id

    def next_position(self) -> DeviceNumber:
        """Where a disk goes that does not care, on the paravirtual bus: behind all others."""
        numbers = (disk.vbd.position[1] for disk in self.disks if disk.vbd.position is not None)
        return (BusType.XEN, 1 + max(numbers, default=-1), 0)


DomainT = TypeVar("DomainT", bound=HostedDomain[Any, Any])


class HostedMachine(Record, Generic[DomainT, DiskT, NicT]):
    """One VM on the host. What is there without a domain stands beside it."""

    domain: DomainT | None = None
    active: tuple[str, ...] = ()
    """Devices that the VM shall have: `vbd.xvda`."""

    def living(self) -> DomainT:
        """Its domain. Errors: `Does_not_exist("domain", id)`."""
        if self.domain is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.id))
        return self.domain

    def with_domain(self, **fields: object) -> Self:
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        return self.but(domain=self.living().model_copy(update=fields))

    def begun(self, fresh: Callable[[], DomainT]) -> Self:
        """With a fresh domain, or the one it has, nothing being in that yet. Errors: `Already_exists`."""
        if self.domain is None:
            return self.but(domain=fresh())
        if self.domain.built:
            raise XenopsError(AlreadyExists(klass="domain", id=self.id))
        return self

    def asking(self, action: DomainAction | None) -> Self:
        """With what is to be done should its domain stop now; without a domain, nothing to note."""
        return self if self.domain is None else self.with_domain(action=action)

    def noting_active(self, kind: str, id_: DeviceId, *, active: bool) -> Self:
        """With a device, of kind `vbd` or `vif`, among those that the VM shall have; or without."""
        return self.but(active=with_or_without(self.active, f"{kind}.{id_.device}", there=active))

    def is_active(self, kind: str, id_: DeviceId) -> bool:
        """Whether the VM shall have that device."""
        return f"{kind}.{id_.device}" in self.active

    def disk(self, id_: DeviceId) -> DiskT | None:
        """The disk of that id."""
        disks: tuple[DiskT, ...] = () if self.domain is None else self.domain.disks
        return find(disks, id_)

    def held_disk(self, id_: DeviceId) -> DiskT:
        """The disk of that id of its domain. Errors: `Does_not_exist`, of the domain or the VBD."""
        self.living()
        disk = self.disk(id_)
        if disk is None:
            raise XenopsError(DoesNotExist(klass="VBD", id=dotted(id_)))
        return disk

    def with_new_disk(self, disk: DiskT) -> Self:
        """With one disk more."""
        return self.with_domain(disks=(*self.living().disks, disk))

    def with_disk(self, disk: DiskT) -> Self:
        """With a disk as given now; without a domain, nothing to note."""
        return self if self.domain is None else self.with_domain(disks=replacing(self.domain.disks, disk))

    def without_disk(self, id_: DeviceId) -> Self:
        """Without a disk."""
        return self if self.domain is None else self.with_domain(disks=without(self.domain.disks, id_))

    def nic(self, id_: DeviceId) -> NicT | None:
        """The interface of that id."""
        nics: tuple[NicT, ...] = () if self.domain is None else self.domain.nics
        return find(nics, id_)

    def with_new_nic(self, nic: NicT, places: int) -> Self:
        """With one interface more, on a host whose VMs have so many places for them.

        Errors: `Already_exists("vif", position)`; `Internal_error` for a position that there is not.
        """
        domain, vif = self.living(), nic.vif
        if any(other.vif.position == vif.position for other in domain.nics):
            raise XenopsError(AlreadyExists(klass="vif", id=str(vif.position)))
        if not 0 <= vif.position < places:
            raise internal_error(
                f"Cannot plug VIF {vif.id.device} of VM {self.id} at position {vif.position}: a VM on this "
                f"host has positions 0 to {places - 1}; give it a free one of these"
            )
        return self.with_domain(nics=(*domain.nics, nic))

    def with_nic(self, nic: NicT) -> Self:
        """With an interface as given now; without a domain, nothing to note."""
        return self if self.domain is None else self.with_domain(nics=replacing(self.domain.nics, nic))

    def changing_nic(self, id_: DeviceId, **fields: object) -> Self:
        """With other fields of an interface's VIF; it has none of that id, nothing to note."""
        nic = self.nic(id_)
        return self if nic is None else self.with_nic(nic.but(**fields))

    def without_nic(self, id_: DeviceId) -> Self:
        """Without an interface."""
        return self if self.domain is None else self.with_domain(nics=without(self.domain.nics, id_))


def taken(position: DeviceNumber) -> XenopsError:
    """What is said of a disk whose place another one has: `Already_exists("vbd", …)`."""
    bus, number, partition = position
    return XenopsError(AlreadyExists(klass="vbd", id=f"{bus}({number}, {partition})"))
