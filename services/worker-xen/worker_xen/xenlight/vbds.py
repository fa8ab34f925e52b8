"""The verbs on disks, on libxl."""

from engine.backend import Execution
from schema.objects.vm import Hvm
from typing_extensions import override

from worker_xen.gathered.vbds import GatheredVbds
from worker_xen.xenlight.config import disk_config, is_given
from worker_xen.xenlight.hypervisor import Hypervisor, spoken
from worker_xen.xenlight.machine import Disk, Domain
from worker_xen.xenlight.values import Device, LibxlError


class XenlightVbds(GatheredVbds[Hypervisor]):
    """`VbdVerbs` on libxl."""

    refusal = LibxlError

    @override
    def _give_to(self, execution: Execution, domain: Domain, disk: Disk) -> None:
        if domain.domid is None or not is_given(domain.vm, disk):
            return
        device = Device("disk", disk_config(disk))
        with spoken(execution):
            self._hypervisor.libxl.add_device(domain.domid, device, execution.cancellable)

    @override
    def _take_from(self, domain: Domain, disk: Disk, *, force: bool) -> None:
        """Unforced, the guest lets it go."""
        if domain.domid is not None and is_given(domain.vm, disk):
            device = Device("disk", disk_config(disk))
            self._hypervisor.libxl.remove_device(domain.domid, device, force=force)

    @override
    def _exchange_in(self, execution: Execution, domain: Domain, drive: Disk, changed: Disk) -> None:
        """A device model changes it; without one, the drive goes and comes with the other medium."""
        if domain.domid is not None and isinstance(domain.vm.ty, Hvm):
            with spoken():
                self._hypervisor.libxl.insert_medium(domain.domid, disk_config(changed))
            return
        with spoken():
            self._take_from(domain, drive, force=True)
        self._give_to(execution, domain, changed)
