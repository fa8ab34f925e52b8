"""The verbs on disks that QEMU's two backends answer alike: how much a disk may do."""

from abc import abstractmethod

from engine.backend import Execution
from engine.hosted.machine import DiskT
from engine.hosted.notes import HostT
from engine.hosted.vbds import HostedVbds
from schema.ids import VmId
from schema.objects.vbd import Vbd
from typing_extensions import override

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

    @abstractmethod
    def _limit(self, vm: VmId, disk: DiskT, limits: Throttle) -> None:
        """Hold a disk that the guest has to these limits; without a guest, nothing to do."""

    @override
    def _refuse(self, vm: VmId, vbd: Vbd) -> None:
        """What a VBD's keys ask for must be possible. Errors: those of `throttle_of`, `Unimplemented`."""
        refuse_scheduling(vbd, "VBD.plug")
        throttle_of(vbd)

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
