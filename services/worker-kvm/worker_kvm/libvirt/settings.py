"""Settings: which libvirt, and how it is to run QEMU."""

from dataclasses import dataclass
from pathlib import Path

from engine.hosted.storage.ports import Storage

from worker_kvm.accelerator import Accelerator


@dataclass(frozen=True, slots=True)
class LibvirtSettings:
    """Which libvirtd, where its logs are, and how it is to run QEMU; `run` is where is noted what is ours."""

    run: Path
    uri: str
    logs: Path
    instance: str
    accelerator: Accelerator
    bridged: bool = True
    namespace: str | None = None
    """The network namespace that libvirtd is in; None: the host's own."""
    poll_s: float = 10.0
    """How often disks are looked at that may have grown."""
    migration_mib_s: int | None = None
    """What the memory of a VM that migrates may take in a second, and each of its disks; None: no bound."""
    storage: Storage | None = None
    """Of the disks that are named `SR/VDI`; None: there are none."""
