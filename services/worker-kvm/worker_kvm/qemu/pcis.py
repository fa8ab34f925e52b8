"""PCI devices of the host, by QEMU itself: it opens the file of a device's group with its own rights."""

import resource

from schema.fault import internal_error
from typing_extensions import override

from worker_kvm.hostdevices import HeldPci
from worker_kvm.passthrough import Domain
from worker_kvm.pcis import KvmPcis
from worker_kvm.qemu.command import MIB, memory_mib
from worker_kvm.qemu.devices import pci_device
from worker_kvm.qemu.hypervisor import Hypervisor
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.process import is_alive

_PINNED_BESIDE_BYTES = 1 << 30
"""What QEMU may have the kernel hold in memory besides the guest's own: memory of devices, firmware."""


class QemuPcis(KvmPcis[Hypervisor, Live]):
    """`PciVerbs` on QEMU."""

    @override
    def _is_there(self, live: Live) -> bool:
        return is_alive(live.process)

    @override
    def _has(self, live: Live, held: HeldPci) -> bool:
        return live.has_device(held.device)

    @override
    def _add(self, domain: Domain, live: Live, held: HeldPci) -> None:
        """The group's file is its QEMU's user's meanwhile: QEMU 7.2 opens it by itself."""
        user = self._hypervisor.settings.user
        if user is not None:
            self._vfio.hand_over(held.group, user.of(domain.domid))
        _let_pin(live.process.pid, memory_mib(domain.vm) * MIB + _PINNED_BESIDE_BYTES)
        live.do("device_add", pci_device(held, domain.kind))

    @override
    def _is_gone(self, live: Live, held: HeldPci, timeout_s: float) -> bool:
        return live.remove_device(held.device, timeout_s)


def _let_pin(pid: int, size_bytes: int) -> None:
    """Let a QEMU have so much memory that is never swapped: a device writes to a guest's at any time.

    Errors: `Internal_error`, the limit is lower and is not ours to raise.
    """
    limits = resource.prlimit(pid, resource.RLIMIT_MEMLOCK)
    if all(limit == resource.RLIM_INFINITY or limit >= size_bytes for limit in limits):
        return
    try:
        resource.prlimit(pid, resource.RLIMIT_MEMLOCK, (size_bytes, size_bytes))
    except PermissionError as error:
        raise internal_error(
            f"QEMU must hold {size_bytes // MIB} MiB in memory for a PCI device, and its limit is "
            f"{limits[0] // MIB} MiB: run the worker as root, or raise RLIMIT_MEMLOCK (LimitMEMLOCK=)"
        ) from error
