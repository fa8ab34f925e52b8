"""Memory: what each service has resident while one instance goes through very many tasks.

    python bench/bench_memory.py [TASKS] [STEP]

Fifty VMs at a time are added, started and shut down five times each, and removed, and others come. Nobody
destroys a task: the event hub forgets the oldest itself.
"""

import argparse
import itertools
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.rabbit import RabbitBus
from engine.conformance.samples import sample_vbd, sample_vm
from fleet import Caller
from meter import CLIENT, usage
from schema.ids import DeviceId
from schema.objects.vif import Vif
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE

WIDTH = 50
LIVES = 5
STEP_PATIENCE_S = 1_200.0
READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """One call; a task is waited for."""

    method: str
    params: dict[str, Any]
    is_task: bool = False


def life_of(vm: str) -> list[Step]:
    """All that is done with one VM."""
    start = Step("VM.start", {"id": vm, "paused": False}, is_task=True)
    shutdown = Step("VM.shutdown", {"id": vm, "delay": None}, is_task=True)
    return [
        Step("VM.add", {"vm": sample_vm(vm)}),
        Step("VBD.add", {"vbd": sample_vbd("xvda", vm)}),
        Step("VIF.add", {"vif": Vif(id=DeviceId(vm, "0"))}),
        *[start, shutdown] * LIVES,
        Step("VM.remove", {"id": vm}),
    ]


class Turnover:
    """VMs that come, live and go, for ever; on the bus's thread."""

    def __init__(self, bus: RabbitBus) -> None:
        self.caller = Caller(bus, SIMULATOR_INSTANCE)
        self.tasks = 0
        self.goal = 0
        self.reached = threading.Event()
        self._names = (f"vm-{number}" for number in itertools.count())

    def come(self) -> None:
        """A VM comes; when it goes, another does."""
        vm = next(self._names)
        self._go_on(iter(life_of(vm)))

    def _go_on(self, steps: Iterator[Step]) -> None:
        step = next(steps, None)
        if step is None:
            self.come()
        elif step.is_task:
            self.caller.do(step.method, lambda: self._count(steps), **step.params)
        else:
            self.caller.call(step.method, lambda _: self._go_on(steps), **step.params)

    def _count(self, steps: Iterator[Step]) -> None:
        self.tasks += 1
        if self.tasks == self.goal:
            self.reached.set()
        self._go_on(steps)


def main() -> None:
    """Print one line for every so many tasks."""
    parser = argparse.ArgumentParser(description="Memory of each service over very many tasks")
    parser.add_argument("tasks", type=int, nargs="?", default=20_000, help="how many in all")
    parser.add_argument("step", type=int, nargs="?", default=2_000, help="after how many to look")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="xb") as directory,
        LocalStack(Layout(Path(directory) / "stack")) as stack,
    ):
        bus = RabbitBus(stack.administrator_url, "bench")
        turnover = Turnover(bus)
        bus.ready(READY_S)
        tell(stack, 0)
        turnover.goal = asked.step
        for _ in range(WIDTH):
            bus.call_soon(turnover.come)
        while turnover.goal <= asked.tasks:
            if not turnover.reached.wait(STEP_PATIENCE_S) or turnover.caller.trouble:
                raise SystemExit(f"{turnover.tasks} tasks: {turnover.caller.trouble or 'too slow'}")
            tell(stack, turnover.tasks)
            turnover.reached.clear()
            turnover.goal += asked.step
        bus.close()


def tell(stack: LocalStack, tasks: int) -> None:
    """Print what each service has now."""
    sizes = {name: each.resident_bytes / 2**20 for name, each in usage(stack).items() if name != CLIENT}
    print(
        f"{tasks:>8} tasks, MiB:  " + "  ".join(f"{name} {size:.1f}" for name, size in sizes.items()),
        flush=True,
    )


if __name__ == "__main__":
    main()
