"""The verbs on disks: attached, when the content is looked at, then activated, when the guest gets it."""

from engine.backend import Execution
from engine.localdisk import FORMAT_KEY, local_path
from engine.noted import noted
from engine.refusals import dotted
from engine.unrestricted import UnrestrictedVbds
from schema.fault import XenopsError, internal_error, unimplemented
from schema.ids import VmId
from schema.objects.disk import BusType
from schema.objects.disk import Disk as DiskBackend
from schema.objects.errors import (
    DeviceDetachRejected,
    DoesNotExist,
    MediaNotEjectable,
    MediaPresent,
)
from schema.objects.vbd import Vbd, VbdMode, VbdState, VbdType
from typing_extensions import override

from worker_xen.classic import hotplug
from worker_xen.classic.ends import GUEST_TIMEOUT_S, Ends
from worker_xen.classic.hypervisor import Hypervisor
from worker_xen.classic.machine import Disk, attached, disk_path, find_disk, with_disk, without_disk
from worker_xen.classic.states import vbd_state
from worker_xen.xenstore.devices import BlockDevice, DiskNode, disk_nodes, linux_name

SCRIPT_KEY = "script"
"""In a VBD's `extra_backend_keys`: the hotplug script that makes its content ready."""


class ClassicVbds(UnrestrictedVbds):
    """`VbdVerbs` on Xen by libxc."""

    def __init__(self, hypervisor: Hypervisor, ends: Ends) -> None:
        self._hypervisor = hypervisor
        self._ends = ends

    @override
    def set_active(self, execution: Execution, vm: VmId, vbd: Vbd, *, active: bool) -> None:
        """Note that the VM shall have it."""
        name = f"vbd.{vbd.id.device}"
        self._hypervisor.change(
            vm, lambda machine: machine.but(active=noted(machine.active, name, there=active))
        )

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
        self._hypervisor.look(vm).living()
        if vbd.backend is not None:
            path = _local(vbd.backend)
            if dict(vbd.extra_backend_keys).get(FORMAT_KEY, "raw") != "raw":
                raise unimplemented("VBD.plug of a disk that is not raw")
            if SCRIPT_KEY not in dict(vbd.extra_backend_keys):
                self._hypervisor.dom0.check(path, read_only=_is_read_only(vbd))
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd))

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give the disk to the guest; an empty drive is none, as in the original for PV guests."""
        execution.check_cancelled()
        found = self._hypervisor.look(vm)
        _, info = found.living()
        disk = find_disk(found.machine, vbd.id)
        if disk is None:
            raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
        if disk.activated:
            return
        if disk.vbd.backend is not None:
            self._give(info.domid, disk, disk.vbd.backend, execution)
        self._put(vm, disk.model_copy(update={"activated": True}))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, which is asked unless it is forced."""
        disk = find_disk(self._hypervisor.look(vm).machine, vbd.id)
        if disk is None:
            return
        self._take(vm, disk, execution, force=force)
        self._put(vm, disk.model_copy(update={"activated": False}))

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._hypervisor.change(vm, lambda machine: without_disk(machine, vbd.id))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: DiskBackend) -> None:
        """Put a medium in: for a PV guest the drive comes with it, as in the original."""
        drive = find_disk(self._hypervisor.look(vm).machine, vbd.id)
        if drive is None:
            return
        if drive.vbd.backend not in {None, disk}:
            raise XenopsError(MediaPresent())
        if drive.vbd.backend == disk:
            return
        self._hypervisor.dom0.check(_local(disk), read_only=True)
        self._change_medium(execution, vm, drive, disk)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, and for a PV guest the drive with it."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        drive = find_disk(self._hypervisor.look(vm).machine, vbd.id)
        if drive is not None and drive.vbd.backend is not None:
            self._change_medium(execution, vm, drive, None)

    @override
    def get_state(self, vm: VmId, vbd: Vbd) -> VbdState:
        found = self._hypervisor.look(vm)
        return vbd_state(found.machine, vbd.id, has_domain=found.info is not None)

    def _give(self, domid: int, disk: Disk, backend: DiskBackend, execution: Execution) -> None:
        device, vbd, path = disk_path(domid, disk), disk.vbd, _local(backend)
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

    def _take(self, vm: str, disk: Disk, execution: Execution, *, force: bool) -> None:
        """A domain that is gone has nothing any more, but its backend may."""
        found = self._hypervisor.look(vm)
        if found.machine.domain is None or found.machine.domain.domid is None:
            return
        device = disk_path(found.machine.domain.domid, disk)
        if not force and found.info is not None and not self._ends.ask_guest(device, execution):
            reason = f"the guest has not let go of it within {GUEST_TIMEOUT_S:g} s: try again, or force it"
            raise XenopsError(DeviceDetachRejected(klass="VBD", id=dotted(disk.vbd.id), reason=reason))
        script = dict(disk.vbd.extra_backend_keys).get(SCRIPT_KEY)
        if script is not None and disk.activated:
            hotplug.remove(device, hotplug.script_path(script))
        self._ends.remove(device)

    def _change_medium(self, execution: Execution, vm: VmId, drive: Disk, medium: DiskBackend | None) -> None:
        changed = drive.model_copy(update={"vbd": drive.vbd.model_copy(update={"backend": medium})})
        if drive.activated and drive.vbd.backend is not None:
            self._take(vm, drive, execution, force=True)
        if drive.activated and medium is not None:
            self._give(self._hypervisor.look(vm).living()[1].domid, changed, medium, execution)
        self._put(vm, changed)

    def _put(self, vm: VmId, disk: Disk) -> None:
        self._hypervisor.change(vm, lambda machine: with_disk(machine, disk))


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
