"""Turns: the circle in which lanes stand whose next task may go; every step O(1).

All VMs that share a GPU stand in it as one, and take turns among themselves.
"""

from collections import OrderedDict

from schema.ids import VmId

_SHARERS = None
"""How all that share are called in the circle; VMs have names."""


class Turns:
    """Lanes in the order of their turns."""

    def __init__(self) -> None:
        self._circle: OrderedDict[VmId | None, None] = OrderedDict()
        self._sharers: OrderedDict[VmId, None] = OrderedDict()

    def stand(self, vm: VmId, *, shares: bool) -> None:
        """A lane waits for its turn; one that does already keeps its place."""
        if shares:
            self._sharers.setdefault(vm)
        else:
            self._circle.setdefault(vm)

    def leave(self, vm: VmId) -> None:
        """A lane waits for no turn."""
        self._circle.pop(vm, None)
        if self._sharers:
            self._sharers.pop(vm, None)

    def let_share(self, *, free: bool) -> None:
        """Whether one of those that share may go now; all of them lose their common place if not."""
        if free and self._sharers:
            self._circle.setdefault(_SHARERS)
        else:
            self._circle.pop(_SHARERS, None)

    def first(self) -> VmId | None:
        """Whose turn it is."""
        for vm in self._circle:
            return next(iter(self._sharers)) if vm is _SHARERS else vm
        return None
