"""The verbs on disks: attached, when the content is found, then activated, when the guest gets it."""

from abc import abstractmethod
from typing import ClassVar, Generic

from engine.backend import Execution
from engine.noted import noted
from engine.refusals import dotted
from engine.unrestricted import UnrestrictedVbds
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.errors import DeviceDetachRejected, DoesNotExist, MediaNotEjectable, MediaPresent
from schema.objects.vbd import Vbd, VbdState, VbdType
from typing_extensions import override

from worker_xen.gathered.domains import Host
from worker_xen.xenlight.content import find_source
from worker_xen.xenlight.machine import Disk, Domain, Source, attached, find_disk, with_disk, without_disk
from worker_xen.xenlight.states import vbd_state


class GatheredVbds(UnrestrictedVbds, Generic[Host]):
    """`VbdVerbs` but for how a domain gets a disk, loses it, and gets another medium."""

    refusal: ClassVar[type[Exception]]
    """How `_take` says that it cannot."""

    def __init__(self, hypervisor: Host) -> None:
        self._hypervisor = hypervisor

    @abstractmethod
    def _give(self, execution: Execution, domain: Domain, disk: Disk) -> None:
        """Give a domain a disk; to one that is not there yet, nothing to do. Errors: `Internal_error`."""

    @abstractmethod
    def _take(self, domain: Domain, disk: Disk, *, force: bool) -> None:
        """Take a disk from a domain; from one that is not there yet, nothing to do. Errors: `refusal`."""

    @abstractmethod
    def _exchange(self, execution: Execution, domain: Domain, drive: Disk, changed: Disk) -> None:
        """Have a drive that the guest has become what it shall be. Errors: `Internal_error`."""

    @override
    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it."""
        name = f"vbd.{vbd.id.device}"
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=noted(machine.active, name, there=active))
        )

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Begin a life of the disk's content; all of it is kept."""
        execution.check_cancelled()
        if not persistent:
            raise unimplemented("VBD.epoch_begin of a disk that forgets what is written")

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        """Nothing: see `epoch_begin`."""

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Find the disk's content."""
        execution.check_cancelled()
        self._hypervisor.look(vm).living()
        if vbd.ty is VbdType.FLOPPY:
            raise unimplemented("VBD.plug of a floppy drive")
        source = None if vbd.backend is None else find_source(vbd, vbd.backend)
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd, source))

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give the disk to the guest at once, or with all else when the domain is made."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        domain, disk = machine.living(), find_disk(machine, vbd.id)
        if disk is None:
            raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
        if not disk.activated:
            self._give(execution, domain, disk)
            self._put(vm, disk.model_copy(update={"activated": True}))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, or `Device_detach_rejected`."""
        machine = self._hypervisor.look(vm)
        disk = find_disk(machine, vbd.id)
        if machine.domain is None or disk is None or not disk.activated:
            return
        try:
            self._take(machine.domain, disk, force=force)
        except self.refusal as error:
            raise XenopsError(
                DeviceDetachRejected(klass="VBD", id=dotted(vbd.id), reason=str(error))
            ) from error
        self._put(vm, disk.model_copy(update={"activated": False}))

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._hypervisor.change(vm, lambda machine: without_disk(machine, vbd.id))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: DiskBackend) -> None:
        """Put a medium in."""
        drive = find_disk(self._hypervisor.look(vm), vbd.id)
        if drive is None:
            return
        if drive.vbd.backend not in {None, disk}:
            raise XenopsError(MediaPresent())
        self._change_medium(execution, vm, drive, _with_medium(drive, disk, find_source(vbd, disk)))

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, whatever the guest thinks of it."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        drive = find_disk(self._hypervisor.look(vm), vbd.id)
        if drive is not None:
            self._change_medium(execution, vm, drive, _with_medium(drive, None, None))

    @override
    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        return vbd_state(self._hypervisor.look(vm), vbd.id)

    def _put(self, vm: VmId, disk: Disk) -> None:
        self._hypervisor.change(vm, lambda machine: with_disk(machine, disk))

    def _change_medium(self, execution: Execution, vm: VmId, drive: Disk, changed: Disk) -> None:
        execution.check_cancelled()
        domain = self._hypervisor.look(vm).living()
        if drive.activated:
            self._exchange(execution, domain, drive, changed)
        self._put(vm, changed)


def _with_medium(drive: Disk, backend: DiskBackend | None, source: Source | None) -> Disk:
    vbd = drive.vbd.model_copy(update={"backend": backend})
    return drive.model_copy(update={"vbd": vbd, "source": source})
