"""Noting: a hypervisor's notes of its VMs, and whom it tells that something has happened to one."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from schema.objects.dynamic import ObjectId

from engine.hosted.notes import MachineT
from engine.hosted.records import Records

RecordsT = TypeVar("RecordsT", bound=Records[Any])


def _nobody(_: ObjectId) -> None:
    """Before `start` there is nobody to tell."""


class Noting(Generic[MachineT, RecordsT]):
    """What hypervisors have alike; safe for any thread. `_on_change` is who is told, from `start` on."""

    def __init__(self, records: RecordsT, name: str) -> None:
        self._records = records
        self._on_change: Callable[[ObjectId], None] = _nobody
        self._telling = ThreadPoolExecutor(1, thread_name_prefix=name)

    def look(self, vm: str) -> MachineT:
        """What is known of a VM."""
        machine: MachineT = self._records.read(vm)
        return machine

    def noted(self, vm: str) -> MachineT:
        """The same, and a domain that has ended without us."""
        machine: MachineT = self._records.read(vm)
        return machine

    def machines(self) -> Sequence[MachineT]:
        """All of whom something is known."""
        machines: Sequence[MachineT] = self._records.all()
        return machines

    def change(self, vm: str, change: Callable[[MachineT], MachineT]) -> MachineT:
        """Change what is known; see `Records.change`."""
        machine: MachineT = self._records.change(vm, change)
        return machine

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; its domain goes on."""
        self._records.rename(vm, name)

    def remove(self, vm: str) -> None:
        """Forget a VM."""
        self._records.remove(vm)

    def _tell_of(self, is_it: Callable[[Any], bool], tell: Callable[[MachineT], None]) -> None:
        """Have `tell` done, soon and one after the other, for the VM whose domain it is.

        In a thread of its own: who hears the host must not wait for disks or the bus.
        """

        def find() -> None:
            for machine in self._records.all():
                if machine.domain is not None and is_it(machine.domain):
                    tell(machine)

        with suppress(RuntimeError):  # we are stopping: whoever starts next finds out
            self._telling.submit(find)

    def _stop_telling(self) -> None:
        """Finish what is to be told."""
        self._telling.shutdown()
