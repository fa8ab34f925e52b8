"""The verbs on disks of domains that a toolstack makes with all that they have."""

from abc import abstractmethod
from typing import ClassVar

from engine.backend import Execution
from engine.hosted.machine import Source
from engine.hosted.vbds import HostedVbds
from engine.refusals import detach_rejected
from schema.objects.vbd import Vbd
from typing_extensions import override

from worker_xen.gathered.domains import Host
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
    def _attached(self, machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
        return attached(machine, vbd, source)

    @override
    def _give(self, execution: Execution, machine: Machine, disk: Disk) -> None:
        self._give_to(execution, machine.living(), disk)

    @override
    def _take(self, execution: Execution, machine: Machine, disk: Disk, *, force: bool) -> None:
        """A domain that is gone has nothing any more."""
        domain = self._hypervisor.look(machine.id).domain
        if domain is None:
            return
        try:
            self._take_from(domain, disk, force=force)
        except self.refusal as error:
            raise detach_rejected("VBD", disk.vbd.id, str(error)) from error

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: Disk, changed: Disk) -> None:
        self._exchange_in(execution, machine.living(), drive, changed)
