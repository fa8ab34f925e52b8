"""Records: what is known of each VM on QEMU; and the numbers of domains, which Xen would give."""

from collections.abc import Callable
from pathlib import Path

from engine.hosted.records import TAKE_TIMEOUT_S

from worker_kvm.numbered import NumberedRecords
from worker_kvm.qemu.machine import Machine

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while all records are locked. One that answers what it was given writes nothing."""


class Records(NumberedRecords[Machine]):
    """All machines of one run directory, which is one process's: QEMU's monitors take one client each."""

    def __init__(self, run: Path, patience_s: float = TAKE_TIMEOUT_S) -> None:
        """Take the directory. Errors: those of `engine.hosted.records.Records`."""
        super().__init__(Machine, run, "qemu", patience_s)

    def sockets(self, domid: int) -> Path:
        """The directory of a domain's sockets, which need not be there."""
        return self.run / str(domid)
