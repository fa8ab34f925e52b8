"""The verbs on disks: attached, when the content is found, then activated, when the guest gets it."""

from collections.abc import Callable
from dataclasses import asdict

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
from virt.spoken import spoken
from virt.xml import written

from worker_kvm.libvirt.document import disk_node
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.machine import Disk, attached, find_disk, with_disk, without_disk
from worker_kvm.libvirt.states import vbd_state
from worker_kvm.qemu.content import Content
from worker_kvm.throttle import refuse_scheduling, throttle_of

UNPLUG_TIMEOUT_S = 10.0
"""SCSI asks no guest: a disk is gone as soon as what it does has ended."""


class LibvirtVbds(UnrestrictedVbds):
    """`VbdVerbs` on libvirt."""

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
        if vbd.ty is VbdType.CDROM and not throttle_of(vbd).is_open:
            raise unimplemented("VBD.plug of a drive with limits, on libvirt")
        source = None if vbd.backend is None else self._content.find(vbd, vbd.backend)
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd, source))

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Give the disk to the guest at once, or to libvirt when the domain starts."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        machine.living()
        disk = find_disk(machine, vbd.id)
        if disk is None:
            raise XenopsError(DoesNotExist(klass="VBD", id=dotted(vbd.id)))
        if disk.activated:
            return
        live = self._hypervisor.live(vm)
        if live is not None and not self._hypervisor.has_device(live.uuid, disk.alias):
            self._hypervisor.attach(live.uuid, disk_node(disk))
        self._put(vm, disk.model_copy(update={"activated": True}))

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, which is told and not asked."""
        disk, live = find_disk(self._hypervisor.look(vm), vbd.id), self._hypervisor.live(vm)
        if disk is None or not disk.activated:
            return
        if live is not None and live.asked is None:
            if disk.bus == "sata":
                raise _rejected(
                    vbd,
                    "a disk on SATA cannot be unplugged while the VM runs: shut the VM down, or give it "
                    "position xvd…",
                )
            if not self._hypervisor.detach(live, disk.alias, UNPLUG_TIMEOUT_S):
                raise _rejected(
                    vbd,
                    f"QEMU still has it after {UNPLUG_TIMEOUT_S:g} s: its storage is slow, try again",
                )
        self._put(vm, disk.model_copy(update={"activated": False}))

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        self._hypervisor.change(vm, lambda machine: without_disk(machine, vbd.id))

    @override
    def insert(self, execution: Execution, vm: VmId, vbd: Vbd, disk: DiskBackend) -> None:
        """Put a medium in; the one that is in already is opened anew."""

        def inserted(drive: Disk) -> Disk:
            if drive.vbd.backend not in {None, disk}:
                raise XenopsError(MediaPresent())
            return drive.holding(disk, self._content.find(vbd, disk))

        self._change_medium(execution, vm, vbd, inserted)

    @override
    def eject(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Take the medium out, whatever the guest thinks of it."""
        if vbd.ty is VbdType.DISK:
            raise XenopsError(MediaNotEjectable())
        self._change_medium(execution, vm, vbd, lambda drive: drive.holding(None, None))

    @override
    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Hold it to the limits that its keys have now."""
        refuse_scheduling(vbd, "VBD.set_qos")
        disk, live = find_disk(self._hypervisor.look(vm), vbd.id), self._hypervisor.live(vm)
        if disk is None:
            return
        limits = throttle_of(vbd)
        if live is not None and disk.activated and live.asked is None and limits != throttle_of(disk.vbd):
            with spoken():
                self._hypervisor.virt.set_throttle(live.uuid, disk.target, asdict(limits))
        keys = {"extra_backend_keys": vbd.extra_backend_keys}
        self._put(vm, disk.model_copy(update={"vbd": disk.vbd.model_copy(update=keys)}))

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether its keys have other limits now than it is held to. Errors: those of `throttle_of`."""
        disk = find_disk(self._hypervisor.look(vm), vbd.id)
        return disk is not None and throttle_of(disk.vbd) != throttle_of(vbd)

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
        changed, live = change(drive), self._hypervisor.live(vm)
        if live is not None and drive.activated and live.asked is None:
            with spoken():
                if drive.source is not None and changed.source is not None:
                    self._hypervisor.virt.update(live.uuid, written(disk_node(drive.holding(None, None))))
                self._hypervisor.virt.update(live.uuid, written(disk_node(changed)))
        self._put(vm, changed)


def _rejected(vbd: Vbd, reason: str) -> XenopsError:
    return XenopsError(DeviceDetachRejected(klass="VBD", id=dotted(vbd.id), reason=reason))
