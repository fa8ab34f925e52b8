"""The verbs on disks: attached, when the content is found, then activated, when the guest gets it."""

from collections.abc import Callable

from engine.backend import Execution
from engine.noted import noted
from engine.refusals import dotted
from engine.unrestricted import UnrestrictedVbds
from schema.fault import XenopsError, unimplemented
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.errors import (
    DeviceDetachRejected,
    DoesNotExist,
    MediaNotEjectable,
    MediaPresent,
)
from schema.objects.vbd import Vbd, VbdState, VbdType
from typing_extensions import override

from worker_kvm.qemu.content import Content
from worker_kvm.qemu.devices import disk_device, is_read_only
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import (
    Disk,
    Machine,
    Source,
    attached,
    find_disk,
    with_disk,
    without_disk,
)
from worker_kvm.qemu.states import vbd_state

UNPLUG_TIMEOUT_S = 10.0
"""SCSI asks no guest: a disk is gone as soon as what it does has ended."""


class QemuVbds(UnrestrictedVbds):
    """`VbdVerbs` on QEMU."""

    def __init__(self, hypervisor: Hypervisor, content: Content) -> None:
        self._hypervisor = hypervisor
        self._content = content

    @override
    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it."""
        name = f"vbd.{vbd.id.device}"
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=noted(machine.active, name, there=active))
        )

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Begin a life of the disk's content; what is written to one that is not persistent goes aside."""
        execution.check_cancelled()
        if not persistent:
            self._content.begin(disk)

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        self._content.end(disk)

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Find the disk's content."""
        execution.check_cancelled()
        self._hypervisor.look(vm).living()
        if vbd.ty is VbdType.FLOPPY:
            raise unimplemented("VBD.plug of a floppy drive")
        source = None if vbd.backend is None else self._content.find(vbd, vbd.backend)
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd, source))

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give the disk to the guest at once, or to QEMU when it starts."""
        execution.check_cancelled()
        disk = _attached_disk(self._hypervisor.look(vm), vbd)
        if disk.activated:
            return
        live = self._hypervisor.live(vm)
        if live is not None:
            _add(live, disk)
        self._put(vm, disk.model_copy(update={"activated": True}))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, which is told and not asked."""
        disk = find_disk(self._hypervisor.look(vm), vbd.id)
        if disk is None or not disk.activated:
            return
        live = self._hypervisor.live(vm)
        if live is not None:
            _remove(live, disk)
        self._put(vm, disk.model_copy(update={"activated": False}))

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._hypervisor.change(vm, lambda machine: without_disk(machine, vbd.id))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: DiskBackend) -> None:
        """Put a medium in."""

        def inserted(drive: Disk) -> Disk:
            if drive.vbd.backend not in {None, disk}:
                raise XenopsError(MediaPresent())
            return _with_medium(drive, disk, self._content.find(vbd, disk))

        self._change_medium(execution, vm, vbd, inserted)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, whatever the guest thinks of it."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        self._change_medium(execution, vm, vbd, lambda drive: _with_medium(drive, None, None))

    @override
    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        return vbd_state(self._hypervisor.look(vm), vbd.id)

    def _put(self, vm: VmId, disk: Disk) -> None:
        self._hypervisor.change(vm, lambda machine: with_disk(machine, disk))

    def _change_medium(
        self, execution: Execution, vm: VmId, vbd: Vbd, change: Callable[[Disk], Disk]
    ) -> None:
        """Change what is in the drive that the domain has, if it has it."""
        execution.check_cancelled()
        drive = find_disk(self._hypervisor.look(vm), vbd.id)
        if drive is None:
            return
        changed = change(drive)
        live = self._hypervisor.live(vm)
        if live is not None and drive.activated:
            _exchange(live, drive, changed)
        self._put(vm, changed)


def _attached_disk(machine: Machine, vbd: Vbd) -> Disk:
    machine.living()
    disk = find_disk(machine, vbd.id)
    if disk is None:
        raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
    return disk


def _with_medium(drive: Disk, backend: DiskBackend | None, source: Source | None) -> Disk:
    vbd = drive.vbd.model_copy(update={"backend": backend})
    return drive.model_copy(update={"vbd": vbd, "source": source})


def _add(live: Live, disk: Disk) -> None:
    """A device that QEMU refuses leaves no content open behind it."""
    if live.has_device(disk.slot.device):
        return
    live.remove_node(disk.slot.node, UNPLUG_TIMEOUT_S)  # a worker that died may have left it
    if disk.source is not None:
        live.open_node(disk.slot, disk.source, read_only=is_read_only(disk))
    try:
        live.do("device_add", disk_device(disk))
    except XenopsError:
        live.remove_node(disk.slot.node, UNPLUG_TIMEOUT_S)
        raise


def _remove(live: Live, disk: Disk) -> None:
    if disk.slot.bus == "sata":
        reason = (
            "a disk on SATA cannot be unplugged while the VM runs: shut the VM down, or give it position xvd…"
        )
        raise XenopsError(DeviceDetachRejected(klass="VBD", id=dotted(disk.vbd.id), reason=reason))
    removed = live.remove_device(disk.slot.device, UNPLUG_TIMEOUT_S)
    if not (removed and live.remove_node(disk.slot.node, UNPLUG_TIMEOUT_S)):
        reason = f"QEMU has not let go of it within {UNPLUG_TIMEOUT_S:g} s: its storage is slow, try again"
        raise XenopsError(DeviceDetachRejected(klass="VBD", id=dotted(disk.vbd.id), reason=reason))


def _exchange(live: Live, drive: Disk, changed: Disk) -> None:
    """The medium that is in goes out, even if it is the same: it is opened anew."""
    tray = {"id": drive.slot.device}
    live.do("blockdev-open-tray", {**tray, "force": True})
    live.do("blockdev-remove-medium", tray)
    live.remove_node(drive.slot.node, UNPLUG_TIMEOUT_S)
    if changed.source is None:
        return
    live.open_node(changed.slot, changed.source, read_only=True)
    live.do("blockdev-insert-medium", {**tray, "node-name": changed.slot.node})
    live.do("blockdev-close-tray", tray)
