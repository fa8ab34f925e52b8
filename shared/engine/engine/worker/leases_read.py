"""Leases read: each VM's last one in the log, by which a worker sees that the log has lost others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from schema.ids import LeaseToken, VmId

VMS_MAX = 100_000
"""Of so many VMs it is known, some 20 MB; of others, leased longer ago, it is known that it is not."""

NONE = LeaseToken(-1)


@dataclass(frozen=True, slots=True)
class ReadBefore:
    """What was read of a VM's leases before another: the last one, if it is not older than `since`."""

    token: LeaseToken
    since: LeaseToken

    def lacks(self, obeyed: LeaseToken) -> bool:
        """Whether an earlier lease of that VM, which was obeyed, so it was in the log, is there no more."""
        return self.token < obeyed and obeyed >= self.since


KNOWS_NOTHING = ReadBefore(NONE, LeaseToken(sys.maxsize))


@dataclass(slots=True)
class LeasesRead:
    """Of one life of the log, each VM's last one, those first that were leased longest ago.

    `since`: of older leases nothing is known; None: of none so far.
    """

    since: LeaseToken | None
    _last: dict[VmId, LeaseToken] = field(default_factory=dict)

    def copy(self) -> LeasesRead:
        """As it is now."""
        return LeasesRead(self.since, dict(self._last))

    def note(self, vm: VmId, token: LeaseToken) -> ReadBefore:
        """A VM is leased; answers what was known before."""
        if self.since is None:
            self.since = token
        before = ReadBefore(self._last.pop(vm, NONE), self.since)
        self._last[vm] = token
        if len(self._last) > VMS_MAX:
            oldest = next(iter(self._last))
            self.since = max(self.since, LeaseToken(self._last.pop(oldest) + 1))
        return before

    def pages(self, size: int) -> Iterator[list[tuple[VmId, LeaseToken]]]:
        """All of it in lists of so many."""
        every = list(self._last.items())
        for start in range(0, len(every), size):
            yield every[start : start + size]
