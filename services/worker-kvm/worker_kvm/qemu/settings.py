"""Settings: how QEMU is run on this host."""

from dataclasses import dataclass
from pathlib import Path

from engine.hosted.storage.ports import Storage

from worker_kvm.accelerator import Accelerator
from worker_kvm.qemu.user import User


@dataclass(frozen=True, slots=True)
class QemuSettings:
    """How QEMU is run: where its sockets are, the program, the accelerator, bridged or in its own network."""

    run: Path
    """Emptied when the host was booted anew."""
    qemu: str
    accelerator: Accelerator
    bridged: bool = True
    namespace: str | None = None
    storage: Storage | None = None
    """Of the disks that are named `SR/VDI`; None: there are none."""
    user: User | None = None
    """As whom; None: as the worker."""
    kept: Path | None = None
    """Where what VMs keep through a boot of the host is: UEFI variables, TPMs; None: with all else."""
    migration_mib_s: int | None = None
    """What the memory of a VM that migrates may take in a second, and each of its disks; None: no bound."""
    poll_s: float = 10.0
    """How often logs and disks' sizes are looked at."""
