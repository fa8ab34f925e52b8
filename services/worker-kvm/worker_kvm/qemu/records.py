"""Records: what is known of each VM on QEMU; and the numbers of domains, which Xen would give."""

from collections.abc import Callable
from pathlib import Path

from engine import records
from engine.records import TAKE_TIMEOUT_S, replace

from worker_kvm.qemu.machine import Machine

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while all records are locked. One that answers what it was given writes nothing."""


class Records(records.Records[Machine]):
    """All machines of one run directory, which is one process's: QEMU's monitors take one client each."""

    def __init__(self, run: Path, patience_s: float = TAKE_TIMEOUT_S) -> None:
        """Take the directory. Errors: those of `engine.records.Records`."""
        super().__init__(Machine, run, patience_s)

    def next_domid(self) -> int:
        """A number that no domain has had since the host's boot, from 1."""
        counter = self.run / "domid"
        with self.lock, self.explained("number a domain"):
            number = 1 + (int(counter.read_text()) if counter.exists() else 0)
            replace(counter, str(number).encode())
            return number

    def sockets(self, domid: int) -> Path:
        """The directory of a domain's sockets, which need not be there."""
        return self.run / str(domid)
