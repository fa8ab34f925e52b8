"""Delivery of news through the whole: many clients wait by UPDATES.get, objects change all the time.

    python bench/bench_delivery.py [WAITERS ...] [--changes PER_SECOND] [--seconds SECONDS]

Timed from the append of a change to the arrival of an answer that tells of it, for the oldest change in each
answer; whoever is answered asks again at once. All clients are in one process, which takes its part of the
processors, too.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bus.ports import Request
from bus.rabbit import RabbitBus
from bus.topology import door_queue
from figures import Figures, tell, tell_rate
from meter import tell_processor, usage
from schema.ids import InstanceName, VmId
from schema.objects.dynamic import VmObject
from schema.records import Changed
from schema.rpc import encode_request
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE

INSTANCE = InstanceName(SIMULATOR_INSTANCE)
OBJECTS = 1_000
READY_S = 60.0
WARM_UP_S = 2.0
TICK_S = 0.005
"""How often changes are appended, as many as are due."""


@dataclass(slots=True)
class Crowd:
    """Clients that wait, and the changes that they wait for; on the bus's thread."""

    bus: RabbitBus
    changes_per_s: int
    appended_at: dict[str, float] = field(default_factory=dict)
    times_s: list[float] = field(default_factory=list)
    changes: int = 0
    _inbox: str = field(init=False)
    _begun: float = 0.0
    _last: tuple[bytes, float, int] = (b"", 0.0, 0)

    def __post_init__(self) -> None:
        self._inbox = self.bus.inbox(self._on_answer)

    def begin(self, waiters: int, token: int) -> None:
        """All ask, and things begin to change."""
        self._begun = time.perf_counter()
        for number in range(waiters):
            self._ask(token, str(number))
        self.bus.every(TICK_S, self._change)

    def _ask(self, token: int, who: str) -> None:
        body = encode_request("UPDATES.get", debug_info="bench", last_id=token, timeout=30)
        self.bus.send(door_queue(INSTANCE), Request(body, self._inbox, who))

    def _change(self) -> None:
        due = int((time.perf_counter() - self._begun) * self.changes_per_s) - self.changes
        records = []
        for _ in range(due):
            vm = VmId(f"vm-{self.changes % OBJECTS}")
            self.changes += 1
            self.appended_at[vm] = time.perf_counter()
            records.append(Changed(vm=vm, changed=(VmObject(id=vm),)))
        if records:
            self.bus.append(INSTANCE, *records)

    def _on_answer(self, answer: Request) -> None:
        """Many get the same answer: it is read once."""
        now = time.perf_counter()
        body, oldest, token = self._last
        if body != answer.body:
            _, objects, token = json.loads(answer.body)["result"]
            oldest = min((self.appended_at.get(name, now) for _, name in objects), default=now)
            self._last = answer.body, oldest, token
        self.times_s.append(now - oldest)
        self._ask(token, answer.correlation_id or "")


def main() -> None:
    """Print the figures for each number of clients."""
    parser = argparse.ArgumentParser(description="News for many clients, through the whole")
    parser.add_argument("waiters", type=int, nargs="*", default=[50, 500, 5_000], help="clients that wait")
    parser.add_argument("--changes", type=int, default=1_000, help="changes a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long")
    asked = parser.parse_args()
    for waiters in asked.waiters:
        with tempfile.TemporaryDirectory(prefix="xb") as directory:
            measure(Path(directory) / "stack", waiters, asked.changes, asked.seconds)


def measure(root: Path, waiters: int, changes_per_s: int, seconds: float) -> None:
    """One stack, one crowd."""
    with LocalStack(Layout(root)) as stack, stack.client(SIMULATOR_INSTANCE) as client:
        token = client.updates.last_id()
        bus = RabbitBus(stack.administrator_url, "bench", (INSTANCE,))
        crowd = Crowd(bus, changes_per_s)
        bus.ready(READY_S)
        bus.call_soon(lambda: crowd.begin(waiters, token))
        time.sleep(WARM_UP_S)
        crowd.times_s.clear()
        before, begun, told = usage(stack), time.perf_counter(), crowd.changes
        time.sleep(seconds)
        times_s, after, taken_s = list(crowd.times_s), usage(stack), time.perf_counter() - begun
        changes = crowd.changes - told
        bus.close()
    tell(f"{waiters} clients: oldest news in an answer", Figures.of(times_s or [seconds]))
    tell_rate("  answers", len(times_s) / taken_s)
    tell_rate("  changes", changes / taken_s)
    tell_processor(before, after, len(times_s) or 1)


if __name__ == "__main__":
    main()
