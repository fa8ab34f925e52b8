"""Numbered: records of VMs whose domains we number ourselves, as Xen would."""

from typing import TypeVar

from engine.hosted import records
from engine.hosted.records import Record, replace

R = TypeVar("R", bound=Record)
"""A backend's record."""


class NumberedRecords(records.Records[R]):
    """Records with a counter beside them."""

    def next_domid(self) -> int:
        """A number that no domain has had since the host's boot, from 1."""
        counter = self.run / "domid"
        with self.lock, self.explained("number a domain"):
            number = 1 + (int(counter.read_text()) if counter.exists() else 0)
            replace(counter, str(number).encode())
            return number
