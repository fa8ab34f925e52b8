"""Follower: a client that knows every VM, disk and interface by the updates alone, as xapi does."""

from typing import Any

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.dynamic import TaskObject, VbdObject, VifObject, VmObject
from schema.objects.errors import DoesNotExist
from schema.objects.vm import PowerState

from simulation.client import Caller

WAIT_S = 5
"""How long it lets UPDATES.get wait."""

AGAIN_S = 0.5
"""How soon it asks again what was not answered."""


Watched = VmObject | VbdObject | VifObject
"""What it looks at."""


class Follower:
    """Asks for updates for ever; looks at each object that it is told of.

    `has_begun_anew`: the log is another one, and of two event hubs one may know it before the other.
    """

    def __init__(self, caller: Caller, *, devices: bool) -> None:
        self.view: dict[Watched, PowerState | bool | None] = {}
        self.tokens: list[int] = []
        self.tasks: set[str] = set()
        self.has_begun_anew = False
        self._caller = caller
        self._devices = devices
        self._token: int | None = None
        self._looking: set[Watched] = set()
        self._again: set[Watched] = set()
        self._standing: set[int] = set()

    def start(self) -> None:
        """Begin to follow."""
        self._get()

    @property
    def busy(self) -> bool:
        """Whether it does not know yet what it was told to look at."""
        return bool(self._looking or self._again or self._standing)

    def _get(self) -> None:
        self._caller.call("UPDATES.get", self._on_news, last_id=self._token, timeout=WAIT_S)

    def _on_news(self, result: Any) -> None:
        if isinstance(result, BusError | XenopsError):
            self._caller.bus.later(AGAIN_S, self._get)
            return
        barriers, objects, token = result
        if self._token is not None and token < self._token and not self.has_begun_anew:
            self._caller.complain(f"the token went back from {self._token} to {token}")
        self._token = token
        self.tokens.append(token)
        for barrier, _ in barriers:
            self._take_down(barrier)
        for changed in objects:
            if isinstance(changed, VmObject) or (self._devices and isinstance(changed, Watched)):
                self._look(changed)
            elif isinstance(changed, TaskObject):
                self.tasks.add(changed.id)
        self._get()

    def _take_down(self, barrier: int) -> None:
        def on_result(result: Any) -> None:
            if isinstance(result, BusError | XenopsError):
                self._caller.bus.later(AGAIN_S, lambda: self._take_down(barrier))
            else:
                self._standing.discard(barrier)

        self._standing.add(barrier)
        self._caller.call("UPDATES.remove_barrier", on_result, id=barrier)

    def _look(self, watched: Watched) -> None:
        """One look at a time: of two answers the later need not be the newer."""
        if watched in self._looking:
            self._again.add(watched)
            return
        self._looking.add(watched)
        self._caller.call(
            f"{watched.kind.upper()}.stat", lambda result: self._on_stat(watched, result), id=watched.id
        )

    def _on_stat(self, watched: Watched, result: Any) -> None:
        self._looking.discard(watched)
        if isinstance(result, XenopsError) and isinstance(result.error, DoesNotExist):
            self._forget(watched)
            self._look_again(watched)
            return
        if isinstance(result, BusError | XenopsError):
            self._again.add(watched)
            self._caller.bus.later(AGAIN_S, lambda: self._look_again(watched))
            return
        _, state = result
        self.view[watched] = state.power_state if isinstance(watched, VmObject) else state.plugged
        self._look_again(watched)

    def _forget(self, gone: Watched) -> None:
        """A VM's devices go with it, and come with it: nobody is told of each."""
        if not isinstance(gone, VmObject):
            self.view.pop(gone, None)
            return
        self.view[gone] = None
        for known in list(self.view):
            if not isinstance(known, VmObject) and known.id.vm == gone.id:
                del self.view[known]

    def _look_again(self, watched: Watched) -> None:
        if watched in self._again:
            self._again.discard(watched)
            self._look(watched)
