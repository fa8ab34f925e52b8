"""The verbs on disks that QEMU's two backends answer alike: where content is, and how much a disk may do."""

from abc import abstractmethod
from typing import Any

from engine.backend import Execution
from engine.hosted.machine import DiskT
from engine.hosted.notes import HostT
from engine.hosted.vbds import HostedVbds
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.vbd import Vbd
from typing_extensions import override

from worker_kvm.qemu.content import Content
from worker_kvm.qemu.machine import Source
from worker_kvm.throttle import Throttle, refuse_scheduling, throttle_of

UNPLUG_TIMEOUT_S = 10.0
"""SCSI asks no guest: a disk is gone as soon as what it does has ended."""

ON_IDE = (
    "a disk on SATA or IDE cannot be unplugged while the VM runs: shut the VM down, or give it position xvd…"
)
"""Why one is not unplugged."""

IS_SLOW = f"QEMU has not let go of it within {UNPLUG_TIMEOUT_S:g} s: its storage is slow, try again"
"""Why one is not unplugged."""


class KvmVbds(HostedVbds[HostT, DiskT]):
    """`VbdVerbs` but for how a guest gets a disk and loses it, and is held to its limits."""

    def __init__(self, hypervisor: HostT, content: Content) -> None:
        super().__init__(hypervisor)
        self._content = content

    @abstractmethod
    def _attached(self, machine: Any, vbd: Vbd, source: Source | None) -> Any:
        """A machine with a disk in its place; one that is there already stays."""

    @abstractmethod
    def _limit(self, vm: VmId, disk: DiskT, limits: Throttle) -> None:
        """Hold a disk that the guest has to these limits; without a guest, nothing to do."""

    def _refuse(self, vbd: Vbd) -> None:
        """What a VBD's keys ask for must be possible. Errors: those of `throttle_of`, `Unimplemented`."""
        throttle_of(vbd)

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Begin a life of the disk's content; what is written to one that is not persistent goes aside."""
        execution.check_cancelled()
        self._content.begin(disk, self._domid(vm), persistent=persistent)

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        self._content.end(disk, self._domid(vm))

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Find the disk's content."""
        self._refuse_unattachable(execution, vm, vbd)
        refuse_scheduling(vbd, "VBD.plug")
        self._refuse(vbd)
        source = self._find(vm, vbd, vbd.backend)
        try:
            self._hypervisor.change(vm, lambda machine: self._attached(machine, vbd, source))
        except XenopsError:
            self._release(vm, vbd, vbd.backend)
            raise

    @override
    def activate(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Storage lets it be opened first."""
        execution.check_cancelled()
        machine = self._hypervisor.look(vm)
        disk: DiskT = machine.held_disk(vbd.id)
        if not disk.activated:
            self._content.activate(disk.vbd, disk.vbd.backend, machine.living().domid)
        super().activate(execution, vm, vbd)

    @override
    def deactivate(self, execution: Execution, vm: VmId, vbd: Vbd, *, force: bool) -> None:
        """Take the disk from the guest, or `Device_detach_rejected`; then storage hears that it is closed."""
        machine = self._hypervisor.look(vm)
        disk: DiskT | None = machine.disk(vbd.id)
        super().deactivate(execution, vm, vbd, force=force)
        if disk is not None and disk.activated:
            self._content.deactivate(disk.vbd, disk.vbd.backend, machine.living().domid, force=force)

    @override
    def detach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        disk: DiskT | None = self._hypervisor.look(vm).disk(vbd.id)
        self._release(vm, vbd, vbd.backend if disk is None else disk.vbd.backend)
        super().detach(execution, vm, vbd)

    @override
    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Hold it to the limits that its keys have now."""
        refuse_scheduling(vbd, "VBD.set_qos")
        disk: DiskT | None = self._hypervisor.look(vm).disk(vbd.id)
        if disk is None:
            return
        limits = throttle_of(vbd)
        if disk.activated and limits != throttle_of(disk.vbd):
            self._limit(vm, disk, limits)
        keys = {"extra_backend_keys": vbd.extra_backend_keys}
        self._put(vm, disk.model_copy(update={"vbd": disk.vbd.model_copy(update=keys)}))

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Whether its keys have other limits now than it is held to. Errors: those of `throttle_of`."""
        disk: DiskT | None = self._hypervisor.look(vm).disk(vbd.id)
        return disk is not None and throttle_of(disk.vbd) != throttle_of(vbd)

    @override
    def _change_medium(self, execution: Execution, vm: VmId, vbd: Vbd, medium: DiskBackend | None) -> None:
        """Storage has a new medium ready before, and hears of the old one's end afterwards."""
        drive: DiskT | None = self._hypervisor.look(vm).disk(vbd.id)
        before = None if drive is None else drive.vbd.backend
        try:
            super()._change_medium(execution, vm, vbd, medium)
        except XenopsError:
            if before is None:
                self._release(vm, vbd, medium)
            raise
        if medium is None:
            self._release(vm, vbd, before)

    @override
    def _holding(self, drive: DiskT, vbd: Vbd, medium: DiskBackend | None) -> DiskT:
        vm = VmId(vbd.id.vm)
        if medium is None:
            return drive.holding(None, source=None)
        if drive.vbd.backend is None:
            self._release(vm, vbd, medium)  # its guest may have ejected one, of which storage has not heard
        source = self._find(vm, vbd, medium)
        if drive.activated:
            self._content.activate(vbd, medium, self._hypervisor.look(vm).living().domid)
        return drive.holding(medium, source=source)

    def _find(self, vm: VmId, vbd: Vbd, disk: DiskBackend | None) -> Source | None:
        domid = self._hypervisor.look(vm).living().domid
        return None if disk is None else self._content.find(vbd, disk, domid)

    def _release(self, vm: VmId, vbd: Vbd, disk: DiskBackend | None) -> None:
        domid = self._domid(vm)
        if domid is not None:
            self._content.release(vbd, disk, domid)

    def _domid(self, vm: VmId) -> int | None:
        domain = self._hypervisor.look(vm).domain
        return None if domain is None else int(domain.domid)
