"""The verbs on disks, on libvirt."""

from dataclasses import asdict

from engine.backend import Execution
from engine.hosted.machine import Source
from engine.refusals import detach_rejected
from schema.ids import VmId
from schema.objects.vbd import Vbd
from typing_extensions import override
from virt.spoken import configured, spoken
from virt.xml import written

from worker_kvm.libvirt.document import disk_node, drive_node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Disk, Machine, attached
from worker_kvm.qemu.media import insistently
from worker_kvm.qemu.mirrored import goes_along
from worker_kvm.throttle import Throttle
from worker_kvm.vbds import IS_SLOW, ON_IDE, UNPLUG_TIMEOUT_S, KvmVbds


class LibvirtVbds(KvmVbds[Hypervisor, Disk]):
    """`VbdVerbs` on libvirt."""

    @override
    def _refuse(self, vm: VmId, vbd: Vbd) -> None:
        super()._refuse(vm, vbd)
        goes_along(vbd)

    @override
    def _attached(self, machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
        return attached(machine, vbd, source)

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        live = self._hypervisor.live(machine.id)
        if live is not None and not self._hypervisor.has_device(live.uuid, disk.alias):
            with configured(f"plug VBD {disk.id.device} of VM {disk.id.vm}"):
                device = disk_node(disk)
            self._hypervisor.attach(live.uuid, device)

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        """The guest is told and not asked."""
        live = self._hypervisor.lasting(machine.id)
        if live is None:
            return
        if disk.bus != "scsi":
            raise detach_rejected("VBD", disk.vbd.id, ON_IDE)
        if not self._hypervisor.detach(live, disk.alias, UNPLUG_TIMEOUT_S):
            raise detach_rejected("VBD", disk.vbd.id, IS_SLOW)

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        """Libvirt takes no medium for one that is in: the drive is emptied first."""
        live = self._hypervisor.lasting(machine.id)
        if live is None:
            return
        with live.trays:
            if drive.source is not None and changed.source is not None:
                self._change(live, drive.holding(None, source=None))
            self._change(live, changed)

    def _change(self, live: Live, drive: Disk) -> None:
        """Have a drive hold what it shall. Errors: `Internal_error`."""
        with configured(f"change the medium of VBD {drive.id.device} of VM {drive.id.vm}"):
            document = written(drive_node(drive))

        def change() -> None:
            with spoken():
                self._hypervisor.virt.update(live.uuid, document)

        def open_tray() -> None:
            """Libvirt does not, where it has not heard that a reset of the drive has closed it."""
            with spoken():
                self._hypervisor.virt.open_tray(live.uuid, drive.alias)

        insistently(change, open_tray)

    @override
    def _limit(self, vm: VmId, disk: Disk, limits: Throttle) -> None:
        live = self._hypervisor.lasting(vm)
        if live is not None:
            with spoken():
                self._hypervisor.virt.set_throttle(live.uuid, disk.target, asdict(limits))
