"""Machine: what the simulated host knows of one VM, and how it changes; values and no I/O."""

from typing import Any

from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Vm
from schema.objects.vusb import Vusb
from schema.wire.types import Assoc, DeviceId, Int64, Struct

from engine.backend import Devices

_NO_DEVICES = Devices()


class Domain(Struct, wire="t"):
    """A domain, with the fields of the original simulator's: exported metadata carries it."""

    domid: int
    uuid: str
    hvm: bool
    domain_action_request: DomainAction | None = None
    paused: bool
    built: bool
    vcpus: int
    shadow_multiplier: float
    memory_dynamic_min: Int64
    memory_dynamic_max: Int64
    qemu_created: bool
    suspended: bool
    vbds: tuple[Vbd, ...]
    """The last plugged first, as in the original."""
    vifs: tuple[Vif, ...]
    pcis: tuple[Pci, ...]
    vgpus: tuple[Vgpu, ...]
    vusbs: tuple[Vusb, ...]
    xsdata: Assoc[str]
    last_create_time: float


class Machine(Struct, wire="machine"):
    """One VM on the simulated host. What is there after its domain is gone stands beside the domain."""

    id: str
    domain: Domain | None = None
    suspended: Domain | None = None
    """What its domain was when it was saved; the VM is Suspended until a domain is built or restored."""
    imported: Domain | None = None
    """What another host said of it: the next domain is created so."""
    active: tuple[str, ...] = ()
    """Devices that the VM shall have: `vbd.xvda`."""
    activated: tuple[str, ...] = ()
    """VBDs that the domain has, beyond being attached."""
    leaving: tuple[str, ...] = ()
    """Devices that ask to be unplugged."""
    held: bool = False
    """Whether its domain is paused because VM.pause was asked for, not since its start."""

    def is_blank(self) -> bool:
        """Whether nothing is known of it: as of a VM never heard of."""
        lives = self.domain or self.suspended or self.imported
        return not (lives or self.active or self.activated or self.leaving)

    def living(self) -> Domain:
        """Its domain. Errors: `Does_not_exist`."""
        if self.domain is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.id))
        return self.domain

    def devices(self) -> Devices:
        """What its domain has; without a domain, nothing."""
        domain = self.domain
        if domain is None:
            return _NO_DEVICES
        return Devices(domain.vbds, domain.vifs, domain.pcis, domain.vgpus, domain.vusbs)

    def loaded(self) -> Domain:
        """Its domain once the kernel is in. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.living()
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        return domain

    def built(self) -> Domain:
        """Its domain once it can run, with its device model. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.loaded()
        if domain.hvm and not domain.qemu_created:
            raise XenopsError(DomainNotBuilt())
        return domain

    def but(self, **fields: Any) -> "Machine":
        """The same but for these fields."""
        if all(getattr(self, name) == value for name, value in fields.items()):
            return self  # nothing changes, nothing is written
        return self.model_copy(update=fields)

    def with_domain(self, **fields: Any) -> "Machine":
        """The same but for these fields of its domain. Errors: `Does_not_exist`."""
        domain = self.living()
        if all(getattr(domain, name) == value for name, value in fields.items()):
            return self  # nothing changes, nothing is written
        return self.model_copy(update={"domain": domain.model_copy(update=fields)})


def created(machine: Machine, vm: Vm, domid: int, now: float) -> Machine:
    """With an empty, paused domain that wants a reboot should it stop. Errors: `Already_exists`."""
    if machine.domain is not None:
        if machine.domain.built:
            raise XenopsError(AlreadyExists(klass="domain", id=machine.id))
        return machine
    domain = Domain(
        domid=domid,
        uuid=vm.id,
        hvm=isinstance(vm.ty, Hvm),
        domain_action_request=DomainAction.REBOOT,
        paused=True,
        built=False,
        vcpus=vm.vcpus,
        shadow_multiplier=vm.ty.info.shadow_multiplier if isinstance(vm.ty, Hvm) else 1.0,
        memory_dynamic_min=vm.memory_dynamic_min,
        memory_dynamic_max=vm.memory_dynamic_max,
        qemu_created=False,
        suspended=False,
        vbds=(),
        vifs=(),
        pcis=(),
        vgpus=(),
        vusbs=(),
        xsdata=vm.xsdata,
        last_create_time=now,
    )
    return machine.but(domain=_as_known(domain, machine.imported), imported=None)


def built(machine: Machine) -> Machine:
    """With its kernel in: a new life, what was suspended is void."""
    return machine.with_domain(built=True).but(suspended=None)


def paused(machine: Machine) -> Machine:
    """With its domain paused. Errors: `Does_not_exist`, `Domain_not_built`."""
    machine.built()
    return machine.with_domain(paused=True).but(held=True)


def unpaused(machine: Machine) -> Machine:
    """With its domain running. Errors: `Does_not_exist`, `Domain_not_built`."""
    machine.loaded()
    return machine.with_domain(paused=False).but(held=False)


def saved(machine: Machine) -> Machine:
    """With its domain suspended."""
    return machine.with_domain(suspended=True)


def restored(machine: Machine, image: Domain) -> Machine:
    """With what the image tells in its new domain, paused; it is the same life, begun when it began."""
    same_life = {"built": True, "paused": True, "last_create_time": image.last_create_time}
    domain = _as_known(machine.living(), image).model_copy(update=same_life)
    return machine.but(domain=domain, suspended=None)


def resumed(machine: Machine) -> Machine:
    """Running on after a save, in the same domain."""
    domain = machine.living()
    if not domain.suspended:
        return machine
    return machine.with_domain(suspended=False, paused=False, domain_action_request=None).but(held=False)


def destroyed(machine: Machine) -> Machine:
    """Without its domain and all that was plugged; a saved one is remembered."""
    if machine.domain is None:
        return machine
    suspended = machine.domain if machine.domain.suspended else machine.suspended
    return machine.but(domain=None, suspended=suspended, activated=(), leaving=(), held=False)


def renamed(machine: Machine, name: str) -> Machine:
    """With another id, its devices' too."""
    return machine.but(
        id=name,
        domain=_domain_renamed(machine.domain, name),
        suspended=_domain_renamed(machine.suspended, name),
        imported=_domain_renamed(machine.imported, name),
    )


def _as_known(domain: Domain, known: Domain | None) -> Domain:
    if known is None:
        return domain
    return domain.model_copy(
        update={
            "vcpus": known.vcpus,
            "shadow_multiplier": known.shadow_multiplier,
            "memory_dynamic_min": known.memory_dynamic_min,
            "memory_dynamic_max": known.memory_dynamic_max,
            "xsdata": known.xsdata,
        }
    )


def _domain_renamed(domain: Domain | None, name: str) -> Domain | None:
    if domain is None:
        return None
    kinds = ("vbds", "vifs", "pcis", "vgpus", "vusbs")
    devices = {
        kind: tuple(d.model_copy(update={"id": DeviceId(name, d.id[1])}) for d in getattr(domain, kind))
        for kind in kinds
    }
    return domain.model_copy(update={"uuid": name, **devices})
