"""Mortal: backend classic, in hand or in dom0, dies between any two things that it does to its world."""

from collections.abc import Callable
from typing import Any

DOES = frozenset(
    {
        *("write", "replace", "remove", "introduce", "resume"),  # xenstore
        *("create", "prepare", "build", "give", "take", "set_uuid", "pause", "unpause", "destroy"),  # Xen
        *("set_weight", "set_affinity"),  # Xen's scheduler
        *("join", "set_up", "opened", "take_pci", "restrict"),  # the control domain
        *("change", "rename"),  # what is noted
        *("save", "restore"),  # the courier
        *("start", "end", "keep_state", "press_power", "shut_down"),  # a device model
    }
)
"""What changes the world."""


class Death:
    """Comes before or after the n-th thing that is done; `die` raises, or ends the process."""

    def __init__(self, at: int, die: Callable[[], None]) -> None:
        self.points = 0
        self._at = at
        self._die = die
        self.came = False

    def pass_by(self) -> None:
        """Here it may come; once it has, nothing more is done."""
        self.points += 1
        if self.came or self.points == self._at:
            self.came = True
            self._die()


class Mortal:
    """Stands before a part, and passes by death before and after each thing that it does."""

    def __init__(self, part: object, death: Death) -> None:
        self._part = part
        self._death = death

    def __getattr__(self, name: str) -> Any:
        """The part's own; what changes the world is mortal."""
        found = getattr(self._part, name)
        return self._mortal(found) if name in DOES else found

    def _mortal(self, does: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            self._death.pass_by()
            done = does(*arguments, **named)
            self._death.pass_by()
            return done

        return act


def let_die(backend: Any, death: Death) -> None:
    """From now on a backend `Classic` is mortal."""
    hypervisor: Any = backend._hypervisor
    for name in ("xen", "store", "dom0", "courier", "emulators", "_records"):
        setattr(hypervisor, name, Mortal(getattr(hypervisor, name), death))
    hypervisor.scheduling._xen = hypervisor.xen
    devices: tuple[Any, ...] = (backend.vbd, backend.vif)
    for verbs in devices:
        ends = verbs._ends
        ends._store, ends._dom0 = hypervisor.store, hypervisor.dom0
