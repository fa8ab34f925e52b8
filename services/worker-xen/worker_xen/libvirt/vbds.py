"""The verbs on disks, on libvirt."""

from engine.backend import Execution
from schema.objects.vm import Hvm
from typing_extensions import override
from virt.spoken import spoken
from virt.values import VirtError
from virt.xml import written

from worker_xen.gathered.vbds import GatheredVbds
from worker_xen.libvirt.document import disk_node
from worker_xen.libvirt.hypervisor import Hypervisor
from worker_xen.xenlight.config import is_given
from worker_xen.xenlight.machine import Disk, Domain


class LibvirtVbds(GatheredVbds[Hypervisor]):
    """`VbdVerbs` on libvirt."""

    refusal = VirtError

    @override
    def _give_to(self, execution: Execution, domain: Domain, disk: Disk) -> None:
        if domain.domid is not None and is_given(domain.vm, disk):
            with spoken():
                self._hypervisor.attach(domain, disk_node(domain.vm, disk))

    @override
    def _take_from(self, domain: Domain, disk: Disk, *, force: bool) -> None:
        """Libxl asks the guest, and takes it all the same where it does not answer."""
        if domain.domid is not None and is_given(domain.vm, disk):
            self._hypervisor.detach(domain, disk_node(domain.vm, disk))

    @override
    def _exchange_in(self, execution: Execution, domain: Domain, drive: Disk, changed: Disk) -> None:
        """A device model changes it; without one, the drive goes and comes with the other medium."""
        if domain.domid is not None and isinstance(domain.vm.ty, Hvm):
            with spoken():
                self._hypervisor.virt.change_medium(domain.uuid, written(disk_node(domain.vm, changed)))
            return
        with spoken():
            self._take_from(domain, drive, force=True)
        self._give_to(execution, domain, changed)
