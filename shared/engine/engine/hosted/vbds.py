"""The verbs on disks: attached, when the content is found, then activated, when the guest gets it.

A host's storage hears of each: it has a disk ready before a guest gets it, and hears afterwards that it is
closed.
"""

from abc import abstractmethod
from typing import Any, Generic

from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.errors import DeviceNotConnected, MediaNotEjectable, MediaPresent
from schema.objects.vbd import Vbd, VbdState, VbdType
from typing_extensions import override

from engine.backend import Execution
from engine.hosted.machine import DiskT, Source
from engine.hosted.notes import HostT
from engine.hosted.states import vbd_state
from engine.hosted.storage.content import Content
from engine.hosted.unrestricted import UnrestrictedVbds


class HostedVbds(UnrestrictedVbds, Generic[HostT, DiskT]):
    """`VbdVerbs` by what is noted, but for what content there is, and how a guest gets it and loses it."""

    def __init__(self, hypervisor: HostT, content: Content) -> None:
        self._hypervisor = hypervisor
        self._content = content

    @abstractmethod
    def _attached(self, machine: Any, vbd: Vbd, source: Source | None) -> Any:
        """A machine with a disk in its place; one that is there already stays."""

    @abstractmethod
    def _give(self, execution: Execution, machine: Any, disk: DiskT) -> None:
        """Give a guest a disk; to one that is not there yet, nothing to do."""

    @abstractmethod
    def _take(self, execution: Execution, machine: Any, disk: DiskT, *, force: bool) -> None:
        """Take a disk from its guest; there is none, nothing to do. Errors: `Device_detach_rejected`."""

    @abstractmethod
    def _exchange(self, execution: Execution, machine: Any, drive: DiskT, changed: DiskT) -> None:
        """Have a drive that a guest has become what it shall be."""

    def _refuse(self, vm: VmId, vbd: Vbd) -> None:
        """Refuse what of a VBD this backend cannot do."""

    @override
    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it."""
        self._hypervisor.change(vm, lambda machine: machine.noting_active("vbd", vbd.id, active=active))

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Begin a life of the disk's content. Errors: those of `Content.begin`."""
        execution.check_cancelled()
        self._content.begin(disk, self._owner(vm), persistent=persistent)

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        self._content.end(disk, self._owner(vm))

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Find the disk's content."""
        self._refuse_unattachable(execution, vm, vbd)
        self._refuse(vm, vbd)
        source = self._find(vm, vbd, vbd.backend)
        try:
            self._hypervisor.change(vm, lambda machine: self._attached(machine, vbd, source))
        except XenopsError:
            self._release(vm, vbd, vbd.backend)
            raise

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give the disk to the guest at once, or with all else when it comes to be."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        disk: DiskT = machine.held_disk(vbd.id)
        if not disk.activated:
            self._content.activate(disk.vbd, disk.vbd.backend, machine.living().owner)
            self._give(execution, machine, disk)
            self._put(vm, disk.model_copy(update={"activated": True}))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, or `Device_detach_rejected`; then storage hears that it is closed."""
        machine = self._hypervisor.noted(vm)
        disk: DiskT | None = machine.disk(vbd.id)
        if disk is not None and disk.activated:
            self._take(execution, machine, disk, force=force)
            self._put(vm, disk.model_copy(update={"activated": False}))
            self._content.deactivate(disk.vbd, disk.vbd.backend, machine.living().owner, force=force)

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        disk: DiskT | None = self._hypervisor.noted(vm).disk(vbd.id)
        self._release(vm, vbd, vbd.backend if disk is None else disk.vbd.backend)
        self._hypervisor.change(vm, lambda machine: machine.without_disk(vbd.id))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: DiskBackend) -> None:
        """Put a medium in; the one that is in already is opened anew. Errors: `Media_present`."""
        self._change_medium(execution, vm, vbd, disk)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, whatever the guest thinks of it. Errors: `Media_not_ejectable`."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        self._change_medium(execution, vm, vbd, None)

    @override
    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        return vbd_state(self._hypervisor.look(vm), vbd.id)

    def _refuse_unattachable(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Errors: `Cancelled`, `Does_not_exist("domain", vm)`; `Unimplemented` for a floppy drive."""
        execution.check_cancelled()
        self._hypervisor.look(vm).living()
        if vbd.ty is VbdType.FLOPPY:
            raise unimplemented("VBD.plug of a floppy drive")

    def _put(self, vm: VmId, disk: DiskT) -> None:
        self._hypervisor.change(vm, lambda machine: machine.with_disk(disk))

    def _change_medium(self, execution: Execution, vm: VmId, vbd: Vbd, medium: DiskBackend | None) -> None:
        """Change what is in a drive of the domain: storage has a new medium ready before.

        Of the old one's end it hears afterwards. Errors: `Device_not_connected`, as in the original;
        `Media_present`.
        """
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        machine.living()
        drive: DiskT | None = machine.disk(vbd.id)
        if drive is None:
            raise XenopsError(DeviceNotConnected())
        before = drive.vbd.backend
        if medium is not None and before not in {None, medium}:
            raise XenopsError(MediaPresent())
        try:
            changed = self._holding(drive, vbd, medium)
            if drive.activated:
                self._exchange(execution, machine, drive, changed)
            self._put(vm, changed)
        except XenopsError:
            if before is None:
                self._release(vm, vbd, medium)
            raise
        if medium is None:
            self._release(vm, vbd, before)

    def _holding(self, drive: DiskT, vbd: Vbd, medium: DiskBackend | None) -> DiskT:
        """A drive with another medium. Errors: whatever is wrong with that."""
        vm = VmId(vbd.id.vm)
        if medium is None:
            return drive.holding(None, source=None)
        if drive.vbd.backend is None:
            self._release(vm, vbd, medium)  # its guest may have ejected one, of which storage has not heard
        source = self._find(vm, vbd, medium)
        if drive.activated:
            self._content.activate(vbd, medium, self._hypervisor.look(vm).living().owner)
        return drive.holding(medium, source=source)

    def _find(self, vm: VmId, vbd: Vbd, disk: DiskBackend | None) -> Source | None:
        owner = self._hypervisor.look(vm).living().owner
        return None if disk is None else self._content.find(vbd, disk, owner)

    def _release(self, vm: VmId, vbd: Vbd, disk: DiskBackend | None) -> None:
        owner = self._owner(vm)
        if owner is not None:
            self._content.release(vbd, disk, owner)

    def _owner(self, vm: VmId) -> str | None:
        domain = self._hypervisor.noted(vm).domain
        return None if domain is None else str(domain.owner)
