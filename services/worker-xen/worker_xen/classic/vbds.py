"""The verbs on disks: attached, when the content is looked at, then activated, when the guest gets it."""

from collections.abc import Iterator

from engine.backend import Execution
from engine.hosted.machine import Source
from engine.hosted.storage.content import Content, is_read_only
from engine.hosted.vbds import HostedVbds
from engine.refusals import detach_rejected
from schema.fault import unimplemented
from schema.ids import VmId
from schema.objects.disk import BusType
from schema.objects.vbd import Vbd, VbdType
from typing_extensions import override

from worker_xen.classic import hotplug
from worker_xen.classic.ends import GUEST_TIMEOUT_S, Ends
from worker_xen.classic.hvm.assembling import drive_of, is_drive
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Disk, Domain, Machine, attached, disk_path
from worker_xen.xenstore.devices import BlockDevice, DiskNode, disk_nodes, linux_name

STORAGES = "sm-data"
"""Below a disk's backend: what its storage has the guest's drivers told."""


class ClassicVbds(HostedVbds[Hypervisor, Disk]):
    """`VbdVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor, content: Content, ends: Ends) -> None:
        super().__init__(hypervisor, content)
        self._ends = ends

    @override
    def _refuse(self, vm: VmId, vbd: Vbd) -> None:
        """Errors: `Unimplemented`."""
        domain, _ = self._hypervisor.find(vm).living()
        is_drive = domain.is_hvm and vbd.ty is VbdType.CDROM
        if is_drive and self._hypervisor.emulators.is_there(domain.domid or 0):
            raise unimplemented("VBD.plug of a CD drive while an HVM guest is there")

    @override
    def _attached(self, machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
        return attached(machine, vbd, source)

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """The same; a worker that died while it gave a disk to the guest may have left a part of that."""
        machine = self._hypervisor.noted(vm)
        disk = machine.disk(vbd.id)
        if disk is not None and not disk.activated:
            self._take(execution, machine, disk, force=force)
        super().deactivate(execution, vm, vbd, force=force)

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        """An empty drive is none for PV guests, as in the original; an HVM guest's is the device model's."""
        if is_drive(machine.living(), disk):
            drive_of(disk, None)
            return
        if disk.path is None:
            return
        _, info = self._hypervisor.find(machine.id).living()
        domid, path = info.domid, disk.path
        device = disk_path(domid, disk)
        if disk.script is None:
            with self._hypervisor.dom0.opened(path, read_only=is_read_only(disk.vbd)) as content:
                nodes = disk_nodes(_node(domid, disk, content))
                self._ends.make(device, nodes, lambda: self._ends.is_open(device), execution)
            return
        nodes = disk_nodes(_node(domid, disk, path))
        self._ends.make(device, nodes, lambda: True, execution)
        try:
            hotplug.add(self._hypervisor.store, device, hotplug.script_path(disk.script), execution)
        except BaseException:
            self._ends.remove(device)
            raise

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        """A domain that is gone has nothing any more, but its backend may."""
        domain = machine.living()
        if domain.domid is None:
            return
        if is_drive(domain, disk):
            self._put_in(domain, disk, None)
            return
        device = disk_path(domain.domid, disk)
        is_there = self._hypervisor.find(machine.id).info is not None
        if not force and is_there and not self._ends.ask_guest(device, execution):
            reason = f"the guest has not let go of it within {GUEST_TIMEOUT_S:g} s: try again, or force it"
            raise detach_rejected("VBD", disk.vbd.id, reason)
        if disk.script is not None and disk.activated:
            hotplug.remove(device, hotplug.script_path(disk.script))
        self._ends.remove(device)

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        """A PV guest's drive comes and goes with its medium, as in the original."""
        if is_drive(machine.living(), drive):
            self._put_in(machine.living(), changed, changed.path)
            return
        if changed.vbd.backend == drive.vbd.backend:
            return
        if drive.vbd.backend is not None:
            self._take(execution, machine, drive, force=True)
        self._give(execution, machine, changed)

    def _put_in(self, domain: Domain, disk: Disk, path: str | None) -> None:
        """What is in an HVM guest's drive, as soon as it is switched on."""
        domid, emulators = domain.domid or 0, self._hypervisor.emulators
        if emulators.is_there(domid):
            emulators.change_medium(domid, drive_of(disk, path), path)


def _node(domid: int, disk: Disk, content: BlockDevice | str) -> DiskNode:
    vbd = disk.vbd
    return DiskNode(
        device=disk_path(domid, disk),
        name=linux_name(vbd.position or (BusType.XEN, 0, 0)),
        content=content,
        is_cdrom=vbd.ty is VbdType.CDROM,
        is_read_only=is_read_only(vbd),
        is_removable=vbd.unpluggable,
        backend_keys=(*vbd.extra_backend_keys, *_told_by_storage(disk)),
        frontend_keys=vbd.extra_private_keys,
    )


def _told_by_storage(disk: Disk) -> Iterator[tuple[str, str]]:
    """As the original has it for Windows' drivers, which know a disk by what its SCSI pages say."""
    for key, value in () if disk.source is None else disk.source.extra:
        yield f"{STORAGES}/{key}", value
