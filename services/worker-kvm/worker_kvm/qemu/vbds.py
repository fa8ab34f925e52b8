"""The verbs on disks, on QEMU."""

from contextlib import nullcontext

from engine.backend import Execution
from engine.hosted.machine import Source
from engine.refusals import detach_rejected
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.vbd import Vbd
from typing_extensions import override

from worker_kvm.qemu.devices import disk_device, is_read_only
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk, Machine, attached
from worker_kvm.qemu.media import exchange
from worker_kvm.qemu.mirrored import goes_along
from worker_kvm.qemu.throttling import set_limits, throttle
from worker_kvm.throttle import Throttle
from worker_kvm.vbds import IS_SLOW, ON_IDE, UNPLUG_TIMEOUT_S, KvmVbds


class QemuVbds(KvmVbds[Hypervisor, Disk]):
    """`VbdVerbs` on QEMU."""

    @override
    def _attached(self, machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
        return attached(machine, vbd, source)

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        live = self._hypervisor.live(machine.id)
        if live is not None:
            _add(live, disk)

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        """The guest is told and not asked."""
        live = self._hypervisor.live(machine.id)
        if live is not None:
            _remove(live, disk)

    @override
    def _change_medium(self, execution: Execution, vm: VmId, vbd: Vbd, medium: DiskBackend | None) -> None:
        """The guest, too, may open a drive meanwhile."""
        live = self._hypervisor.live(vm)
        with nullcontext() if live is None else live.trays:
            super()._change_medium(execution, vm, vbd, medium)

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        live = self._hypervisor.live(machine.id)
        if live is not None:
            exchange(live, drive, changed)

    @override
    def _limit(self, vm: VmId, disk: Disk, limits: Throttle) -> None:
        live = self._hypervisor.live(vm)
        if live is not None:
            set_limits(live, disk, limits)

    @override
    def _refuse(self, vm: VmId, vbd: Vbd) -> None:
        """Errors: those of `goes_along`, too."""
        super()._refuse(vm, vbd)
        goes_along(vbd)

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """The same; and whether it is to go along now, or not: a migration goes by what is noted."""
        disk = self._hypervisor.look(vm).disk(vbd.id)
        is_other = disk is not None and goes_along(disk.vbd) is not goes_along(vbd)
        return is_other or super().wants_qos(vm, vbd)

    @override
    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether the guest has let go of it by itself, or too late for who had asked it to."""
        disk, live = self._hypervisor.look(vm).disk(vbd.id), self._hypervisor.live(vm)
        return disk is not None and disk.activated and live is not None and live.lacks(disk.slot.device)


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
    if disk.slot.bus != "scsi":
        raise detach_rejected("VBD", disk.vbd.id, ON_IDE)
    removed = live.remove_device(disk.slot.device, UNPLUG_TIMEOUT_S)
    if not (removed and live.remove_node(disk.slot.node, UNPLUG_TIMEOUT_S)):
        raise detach_rejected("VBD", disk.vbd.id, IS_SLOW)
