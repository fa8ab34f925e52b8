"""Throttling: QEMU holds a disk to its limits, which may change while the guest runs."""

from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk
from worker_kvm.throttle import Throttle, throttle_of


def throttle(live: Live, disk: Disk) -> None:
    """Hold a disk to its limits, if it has any. Errors: `Internal_error` with QEMU's words."""
    limits = throttle_of(disk.vbd)
    if not limits.is_open:
        set_limits(live, disk, limits)


def set_limits(live: Live, disk: Disk, limits: Throttle) -> None:
    """Hold a disk to these, from its next request on; a drive without a medium has nothing to hold."""
    if disk.source is None:
        return
    live.do(
        "block_set_io_throttle",
        {
            "id": disk.slot.device,
            "bps": limits.total_bytes_sec,
            "bps_rd": limits.read_bytes_sec,
            "bps_wr": limits.write_bytes_sec,
            "iops": limits.total_iops_sec,
            "iops_rd": limits.read_iops_sec,
            "iops_wr": limits.write_iops_sec,
        },
    )
