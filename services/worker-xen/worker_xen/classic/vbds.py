"""The verbs on disks: attached, when the content is looked at, then activated, when the guest gets it."""

from engine.backend import Execution
from engine.hosted.localdisk import FORMAT_KEY, local_path
from engine.hosted.vbds import HostedVbds
from engine.refusals import detach_rejected
from schema.fault import internal_error, unimplemented
from schema.ids import VmId
from schema.objects.disk import BusType
from schema.objects.disk import Disk as DiskBackend
from schema.objects.vbd import Vbd, VbdMode, VbdType
from typing_extensions import override

from worker_xen.classic import hotplug
from worker_xen.classic.ends import GUEST_TIMEOUT_S, Ends
from worker_xen.classic.hvm.assembling import drive_of, is_drive
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Disk, Domain, Machine, attached, disk_path
from worker_xen.xenstore.devices import BlockDevice, DiskNode, disk_nodes, linux_name

SCRIPT_KEY = "script"
"""In a VBD's `extra_backend_keys`: the hotplug script that makes its content ready."""


class ClassicVbds(HostedVbds[Hypervisor, Disk]):
    """`VbdVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor, ends: Ends) -> None:
        super().__init__(hypervisor)
        self._ends = ends

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Only the storage itself could forget what is written."""
        if not persistent:
            raise unimplemented("VBD.epoch_begin of a disk that is not persistent")

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        """All that is written stays."""

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Look at the disk's content."""
        execution.check_cancelled()
        domain, _ = self._hypervisor.find(vm).living()
        if vbd.backend is not None:
            path = _local(vbd.backend)
            if dict(vbd.extra_backend_keys).get(FORMAT_KEY, "raw") != "raw":
                raise unimplemented("VBD.plug of a disk that is not raw")
            if SCRIPT_KEY not in dict(vbd.extra_backend_keys):
                self._hypervisor.dom0.check(path, read_only=_is_read_only(vbd))
        if (
            domain.is_hvm
            and vbd.ty is VbdType.CDROM
            and self._hypervisor.emulators.is_there(domain.domid or 0)
        ):
            raise unimplemented("VBD.plug of a CD drive while an HVM guest is there")
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, which is asked unless it is forced."""
        machine = self._hypervisor.find(vm).machine
        disk = machine.disk(vbd.id)
        if disk is None:
            return
        self._take(execution, machine, disk, force=force)
        self._put(vm, disk.model_copy(update={"activated": False}))

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        """An empty drive is none for PV guests, as in the original; an HVM guest's is the device model's."""
        if is_drive(machine.living(), disk):
            drive_of(disk, None)
            return
        if disk.vbd.backend is None:
            return
        _, info = self._hypervisor.find(machine.id).living()
        domid, vbd, path = info.domid, disk.vbd, _local(disk.vbd.backend)
        device = disk_path(domid, disk)
        script = dict(vbd.extra_backend_keys).get(SCRIPT_KEY)
        if script is None:
            with self._hypervisor.dom0.opened(path, read_only=_is_read_only(vbd)) as content:
                nodes = disk_nodes(_node(domid, disk, content))
                self._ends.make(device, nodes, lambda: self._ends.is_open(device), execution)
            return
        nodes = disk_nodes(_node(domid, disk, path))
        self._ends.make(device, nodes, lambda: True, execution)
        try:
            hotplug.add(self._hypervisor.store, device, hotplug.script_path(script), execution)
        except BaseException:
            self._ends.remove(device)
            raise

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        """A domain that is gone has nothing any more, but its backend may."""
        found = self._hypervisor.find(machine.id)
        if found.machine.domain is None or found.machine.domain.domid is None:
            return
        if is_drive(found.machine.domain, disk):
            self._put_in(found.machine.domain, disk, None)
            return
        device = disk_path(found.machine.domain.domid, disk)
        if not force and found.info is not None and not self._ends.ask_guest(device, execution):
            reason = f"the guest has not let go of it within {GUEST_TIMEOUT_S:g} s: try again, or force it"
            raise detach_rejected("VBD", disk.vbd.id, reason)
        script = dict(disk.vbd.extra_backend_keys).get(SCRIPT_KEY)
        if script is not None and disk.activated:
            hotplug.remove(device, hotplug.script_path(script))
        self._ends.remove(device)

    @override
    def _holding(self, drive: Disk, vbd: Vbd, medium: DiskBackend | None) -> Disk:
        if medium is not None and medium != drive.vbd.backend:
            self._hypervisor.dom0.check(_local(medium), read_only=True)
        return drive.holding(medium)

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        """A PV guest's drive comes and goes with its medium, as in the original."""
        if is_drive(machine.living(), drive):
            self._put_in(machine.living(), changed, changed.vbd.backend)
            return
        if changed.vbd.backend == drive.vbd.backend:
            return
        if drive.vbd.backend is not None:
            self._take(execution, machine, drive, force=True)
        self._give(execution, machine, changed)

    def _put_in(self, domain: Domain, disk: Disk, medium: DiskBackend | None) -> None:
        """What is in an HVM guest's drive, as soon as it is switched on."""
        domid, emulators = domain.domid or 0, self._hypervisor.emulators
        if emulators.is_there(domid):
            path = None if medium is None else _local(medium)
            emulators.change_medium(domid, drive_of(disk, path), path)


def _node(domid: int, disk: Disk, content: BlockDevice | str) -> DiskNode:
    vbd = disk.vbd
    return DiskNode(
        device=disk_path(domid, disk),
        name=linux_name(vbd.position or (BusType.XEN, 0, 0)),
        content=content,
        is_cdrom=vbd.ty is VbdType.CDROM,
        is_read_only=_is_read_only(vbd),
        is_removable=vbd.unpluggable,
        backend_keys=vbd.extra_backend_keys,
        frontend_keys=vbd.extra_private_keys,
    )


def _is_read_only(vbd: Vbd) -> bool:
    return vbd.mode is VbdMode.READ_ONLY or vbd.ty is VbdType.CDROM


def _local(disk: DiskBackend) -> str:
    path = local_path(disk)
    if not path.startswith("/"):
        raise internal_error(f"The disk {path!r} has no absolute path: correct the VBD's backend")
    return path
