"""The verbs on disks: attached, when the content is found, then activated, when the guest gets it."""

from collections.abc import Callable
from contextlib import nullcontext

from engine.backend import Execution, VbdVerbs
from engine.noted import noted
from engine.refusals import dotted
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
from worker_kvm.qemu.machine import Disk, Machine, attached, find_disk, with_disk, without_disk
from worker_kvm.qemu.media import exchange, with_medium
from worker_kvm.qemu.states import vbd_state
from worker_kvm.qemu.throttling import set_limits, throttle
from worker_kvm.throttle import refuse_scheduling, throttle_of

UNPLUG_TIMEOUT_S = 10.0
"""SCSI asks no guest: a disk is gone as soon as what it does has ended."""


class QemuVbds(VbdVerbs):
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
        refuse_scheduling(vbd, "VBD.plug")
        throttle_of(vbd)
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
            return with_medium(drive, disk, self._content.find(vbd, disk))

        self._change_medium(execution, vm, vbd, inserted)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, whatever the guest thinks of it."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        self._change_medium(execution, vm, vbd, lambda drive: with_medium(drive, None, None))

    @override
    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Hold it to the limits that its keys have now."""
        refuse_scheduling(vbd, "VBD.set_qos")
        disk, live = find_disk(self._hypervisor.look(vm), vbd.id), self._hypervisor.live(vm)
        if disk is None:
            return
        limits = throttle_of(vbd)
        if live is not None and disk.activated:
            set_limits(live, disk, limits)
        keys = {"extra_backend_keys": vbd.extra_backend_keys}
        self._put(vm, disk.model_copy(update={"vbd": disk.vbd.model_copy(update=keys)}))

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether its keys have other limits now than it is held to. Errors: those of `throttle_of`."""
        disk = find_disk(self._hypervisor.look(vm), vbd.id)
        return disk is not None and throttle_of(disk.vbd) != throttle_of(vbd)

    @override
    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether the guest has let go of it by itself, or too late for who had asked it to."""
        disk, live = find_disk(self._hypervisor.look(vm), vbd.id), self._hypervisor.live(vm)
        return disk is not None and disk.activated and live is not None and live.lacks(disk.slot.device)

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
        live = self._hypervisor.live(vm)
        with nullcontext() if live is None else live.trays:
            drive = find_disk(self._hypervisor.look(vm), vbd.id)
            if drive is None:
                return
            changed = change(drive)
            if live is not None and drive.activated:
                exchange(live, drive, changed)
            self._put(vm, changed)


def _attached_disk(machine: Machine, vbd: Vbd) -> Disk:
    machine.living()
    disk = find_disk(machine, vbd.id)
    if disk is None:
        raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
    return disk


def _add(live: Live, disk: Disk) -> None:
    """A device that QEMU refuses leaves no content open behind it."""
    if live.has_device(disk.slot.device):
        return
    live.remove_node(disk.slot.node, UNPLUG_TIMEOUT_S)  # a worker that died may have left it
    if disk.source is not None:
        live.open_node(disk.slot, disk.source, read_only=is_read_only(disk))
    try:
        live.do("device_add", disk_device(disk))
        throttle(live, disk)
    except XenopsError:
        live.remove_device(disk.slot.device, UNPLUG_TIMEOUT_S)
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
