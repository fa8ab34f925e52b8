"""Hot-plugging: XenAPI's operations on disks and interfaces of a VM that runs.

After xapi: xapi_xenops.ml (vbd_plug, vbd_unplug, vbd_insert, vbd_eject, vif_plug, vif_unplug, vif_move, ...).
"""

from collections.abc import Callable
from dataclasses import dataclass

from schema.fault import XenopsError
from schema.objects.errors import DeviceDetachRejected, DoesNotExist
from schema.objects.network import SriovNetwork
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif

from xenops.toolstack.convert.disk import vbd_of
from xenops.toolstack.convert.network import vif_of
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import NULL, DomainType, VbdRecord, VifRecord, VmRecord
from xenops.toolstack.session import Operation, Session
from xenops.toolstack.tasks import ForeignTask


@dataclass(frozen=True, slots=True)
class Disks:
    """The operations on VBDs, each by its reference."""

    session: Session

    def plug(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Give a disk to its running VM."""
        vbd = self.session.source.get(VbdRecord, ref)
        with self.session.operation("VBD.plug", vbd.vm, task) as operation:
            self.session.database.update(VbdRecord.klass, ref, {"currently_attached": True})
            client = self.session.client
            _plug(self.session, operation, lambda: client.vbd.plug(client.vbd.add(self._vbd(ref))))
        _expect(self.session, VbdRecord.klass, ref, attached=True)

    def unplug(self, ref: str, *, force: bool = False, task: ForeignTask | None = None) -> None:
        """Take a disk from its VM; the guest may refuse, unless `force`."""
        vbd = self.session.source.get(VbdRecord, ref)
        with self.session.operation("VBD.unplug", vbd.vm, task) as operation:
            name = self._vbd(ref).id
            unplug = lambda: self.session.client.vbd.unplug(name, force=force)  # noqa: E731  one of two
            _unplug(self.session, operation, (VbdRecord.klass, ref), unplug)
        _expect(self.session, VbdRecord.klass, ref, attached=False)

    def eject(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Take the medium out of a drive; where no device model is, the drive itself is taken away."""
        vbd = self.session.source.get(VbdRecord, ref)
        if not self._is_drive(vbd):
            self.unplug(ref, task=task)
            self.session.database.update(VbdRecord.klass, ref, {"empty": True, "VDI": NULL})
            return
        name = self._vbd(ref).id
        self.session.simple("VBD.eject", vbd.vm, task, lambda _: self.session.client.vbd.eject(name))

    def insert(self, ref: str, vdi: str, *, task: ForeignTask | None = None) -> None:
        """Put a medium into an empty drive."""
        vbd = self.session.source.get(VbdRecord, ref)
        disk = self.session.disk(vdi)
        if not self._is_drive(vbd):
            self.session.database.update(VbdRecord.klass, ref, {"empty": False, "VDI": vdi})
            self.plug(ref, task=task)
            return
        name = self._vbd(ref).id
        self.session.simple("VBD.insert", vbd.vm, task, lambda _: self.session.client.vbd.insert(name, disk))

    def _is_drive(self, vbd: VbdRecord) -> bool:
        return self.session.source.get(VmRecord, vbd.vm).domain_type is DomainType.HVM

    def _vbd(self, ref: str) -> Vbd:
        source = self.session.source
        vbd = source.get(VbdRecord, ref)
        return vbd_of(source, source.get(VmRecord, vbd.vm), vbd)


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The operations on VIFs, each by its reference. What is set is what the record says by now."""

    session: Session

    def plug(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Give an interface to its running VM."""
        vif = self.session.source.get(VifRecord, ref)
        with self.session.operation("VIF.plug", vif.vm, task) as operation:
            self.session.database.update(VifRecord.klass, ref, {"currently_attached": True})
            client = self.session.client
            _plug(self.session, operation, lambda: client.vif.plug(client.vif.add(self._vif(ref))))
        _expect(self.session, VifRecord.klass, ref, attached=True)

    def unplug(self, ref: str, *, force: bool = False, task: ForeignTask | None = None) -> None:
        """Take an interface from its VM."""
        vif = self.session.source.get(VifRecord, ref)
        with self.session.operation("VIF.unplug", vif.vm, task) as operation:
            name = self._vif(ref).id
            unplug = lambda: self.session.client.vif.unplug(name, force=force)  # noqa: E731  one of two
            _unplug(self.session, operation, (VifRecord.klass, ref), unplug)
        _expect(self.session, VifRecord.klass, ref, attached=False)

    def move(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Connect an interface to the network that its record says."""
        vif = self._vif(ref)
        if isinstance(vif.backend, SriovNetwork):
            raise XenApiFailure("INTERNAL_ERROR", f"Unable to move a network SR-IOV backed VIF {ref}")
        self._set("VIF.move", ref, task, lambda: self.session.client.vif.move(vif.id, vif.backend))

    def set_locking_mode(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Have the addresses that an interface may use, as its record or its network says."""
        vif = self._vif(ref)
        calls = self.session.client.vif
        self._set("VIF.set_locking_mode", ref, task, lambda: calls.set_locking_mode(vif.id, vif.locking_mode))

    def configure(self, ref: str, *, task: ForeignTask | None = None) -> None:
        """Tell the guest the interface's addresses of either kind, as its record says."""
        vif = self._vif(ref)
        calls = self.session.client.vif
        ipv4, ipv6 = vif.ipv4_configuration, vif.ipv6_configuration
        self._set("VIF.configure_ipv4", ref, task, lambda: calls.set_ipv4_configuration(vif.id, ipv4))
        self._set("VIF.configure_ipv6", ref, task, lambda: calls.set_ipv6_configuration(vif.id, ipv6))

    def _set(self, name: str, ref: str, task: ForeignTask | None, submit: Callable[[], str]) -> None:
        vm = self.session.source.get(VifRecord, ref).vm
        self.session.simple(name, vm, task, lambda _: submit())

    def _vif(self, ref: str) -> Vif:
        source = self.session.source
        return vif_of(source, source.get(VmRecord, source.get(VifRecord, ref).vm), ref)


def _plug(session: Session, operation: Operation, submit: Callable[[], str]) -> None:
    """Nobody looks in between: the device is there but not plugged, and would be taken away again."""
    try:
        with session.applier.suppressed(operation.uuid):
            session.sync(operation, submit())
    finally:
        session.applier.forget(operation.uuid)
        session.look(operation.uuid)


def _unplug(
    session: Session, operation: Operation, record: tuple[str, str], submit: Callable[[], str]
) -> None:
    """A device that xenops does not know is unplugged."""
    klass, ref = record
    try:
        session.sync(operation, submit())
    except XenopsError as error:
        match error.error:
            case DoesNotExist():
                session.database.update(klass, ref, {"currently_attached": False})
            case DeviceDetachRejected(reason=reason):
                raise XenApiFailure("DEVICE_DETACH_REJECTED", klass, ref, reason) from error
            case _:
                raise
    finally:
        session.await_looks(operation.uuid)


def _expect(session: Session, klass: str, ref: str, *, attached: bool) -> None:
    if session.database.fields(klass, ref)["currently_attached"] is not attached:
        raise XenApiFailure("INTERNAL_ERROR", f"Unable to {'plug' if attached else 'unplug'} {klass} {ref}")
