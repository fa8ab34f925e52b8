"""The verbs on disks of domains that a toolstack makes with all that they have."""

from abc import abstractmethod
from typing import ClassVar

from engine.backend import Execution
from engine.hosted.vbds import HostedVbds
from engine.refusals import detach_rejected
from schema.fault import unimplemented
from schema.ids import VmId
from schema.objects.disk import Disk as DiskBackend
from schema.objects.vbd import Vbd
from typing_extensions import override

from worker_xen.gathered.domains import Host
from worker_xen.xenlight.content import find_source
from worker_xen.xenlight.machine import Disk, Domain, Machine, attached


class GatheredVbds(HostedVbds[Host, Disk]):
    """`VbdVerbs` but for how a domain gets a disk, loses it, and gets another medium."""

    refusal: ClassVar[type[Exception]]
    """How `_take_from` says that it cannot."""

    @abstractmethod
    def _give_to(self, execution: Execution, domain: Domain, disk: Disk) -> None:
        """Give a domain a disk; to one that is not there yet, nothing to do. Errors: `Internal_error`."""

    @abstractmethod
    def _take_from(self, domain: Domain, disk: Disk, *, force: bool) -> None:
        """Take a disk from a domain; from one that is not there yet, nothing to do. Errors: `refusal`."""

    @abstractmethod
    def _exchange_in(self, execution: Execution, domain: Domain, drive: Disk, changed: Disk) -> None:
        """Have a drive that the guest has become what it shall be. Errors: `Internal_error`."""

    @override
    def epoch_begin(self, execution: Execution, vm: VmId, disk: DiskBackend, *, persistent: bool) -> None:
        """Begin a life of the disk's content; all of it is kept."""
        execution.check_cancelled()
        if not persistent:
            raise unimplemented("VBD.epoch_begin of a disk that forgets what is written")

    @override
    def epoch_end(self, execution: Execution, vm: VmId, disk: DiskBackend) -> None:
        """Nothing: see `epoch_begin`."""

    @override
    def attach(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """Find the disk's content."""
        self._refuse_unattachable(execution, vm, vbd)
        source = None if vbd.backend is None else find_source(vbd, vbd.backend)
        self._hypervisor.change(vm, lambda machine: attached(machine, vbd, source))

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        self._give_to(execution, machine.living(), disk)

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        try:
            self._take_from(machine.living(), disk, force=force)
        except self.refusal as error:
            raise detach_rejected("VBD", disk.vbd.id, str(error)) from error

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        self._exchange_in(execution, machine.living(), drive, changed)

    @override
    def _holding(self, drive: Disk, vbd: Vbd, medium: DiskBackend | None) -> Disk:
        return drive.holding(medium, source=None if medium is None else find_source(vbd, medium))
