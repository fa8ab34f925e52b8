"""Hypervisor: the simulated host behind all verbs: its machines, the faults to come, and whom it tells."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from schema.objects.dynamic import ObjectId

from engine.backend import Execution
from engine.simulator.faults import Faults
from engine.simulator.machine import Machine
from engine.simulator.records import Change, Records
from engine.simulator.settings import SimulatorSettings


def _nobody(_: ObjectId) -> None:
    """Before `start` there is nobody to tell."""


@dataclass(slots=True)
class Hypervisor:
    """The host; `now` gives seconds since the epoch."""

    settings: SimulatorSettings
    records: Records
    now: Callable[[], float] = time.time
    on_change: Callable[[ObjectId], None] = _nobody
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.faults = Faults(self.settings.faults)

    def enter(self, execution: Execution, verb: str, vm: str) -> None:
        """A verb that runs in a task begins: the place where faults strike."""
        self.faults.meet(execution, verb, vm)

    def look(self, vm: str) -> Machine:
        """The machine as it is."""
        return self.records.read(vm)

    def change(self, vm: str, change: Change) -> Machine:
        """Change the machine; see `Records.change`."""
        return self.records.change(vm, change)

    def pace(self, execution: Execution) -> Callable[[float], None]:
        """Told how far a transfer has come: gives progress and, when it takes its time, cancel points."""
        come = 0.0

        def step(fraction: float) -> None:
            nonlocal come
            if self.settings.transfer_s > 0:
                execution.check_cancelled()
                execution.wait(self.settings.transfer_s * max(0.0, fraction - come))
            come = fraction
            execution.progress(fraction)

        return step
