"""Xapi: as far as it endangers VMs: started anew, it ends whatever is listed that it does not know."""

from typing import Any

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.task import Pending, Task
from schema.objects.vm import PowerState

from simulation.client import Caller

AGAIN_S = 0.5
"""How soon it asks again what was not answered, or whose task has not ended."""


class Xapi:
    """Of one host; `known` are the VMs of its database, wherever they are."""

    def __init__(self, caller: Caller, known: tuple[str, ...]) -> None:
        self.ending: set[str] = set()
        self._caller = caller
        self._known = known

    @property
    def asking(self) -> int:
        """How many answers it waits for."""
        return self._caller.asking

    def start(self) -> None:
        """It is started anew."""
        self._caller.call("VM.list", self._on_list, unit=None)

    def _on_list(self, result: Any) -> None:
        if isinstance(result, BusError | XenopsError):
            self._caller.bus.later(AGAIN_S, self.start)
            return
        for vm, state in result:
            if vm.id not in self._known and vm.id not in self.ending:
                self.ending.add(vm.id)
                self._end(vm.id, is_halted=state.power_state is PowerState.HALTED)

    def _end(self, vm: str, *, is_halted: bool) -> None:
        if is_halted:
            self._caller.call("VM.remove", lambda _: self.ending.discard(vm), id=vm)
        else:
            self._caller.call("VM.shutdown", lambda task: self._await(vm, task), id=vm, delay=None)

    def _await(self, vm: str, task: Any) -> None:
        if isinstance(task, str):
            self._caller.call("Task.stat", lambda found: self._on_stat(vm, task, found), id=task)
        else:
            self._end(vm, is_halted=True)

    def _on_stat(self, vm: str, task: str, found: Any) -> None:
        if isinstance(found, BusError) or (isinstance(found, Task) and isinstance(found.state, Pending)):
            self._caller.bus.later(AGAIN_S, lambda: self._await(vm, task))
        else:
            self._end(vm, is_halted=True)
