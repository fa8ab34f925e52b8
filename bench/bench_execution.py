"""A worker's execution of VM.start alone, on the simulator, without a bus: the processor time of each.

    python bench/bench_execution.py [STARTS]

One at a time, in so many threads at once as a worker would have without turns, and as a worker has them.
Best of rounds of 100, for what else the machine does makes the others longer.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple

from bus.collector import be_rare
from engine.conformance.samples import sample_vbd, sample_vm
from engine.hooks import Hooks
from engine.journal import Journal
from engine.lock import VmLocks
from engine.migrate.offers import Offers
from engine.migrate.sockets import SOCKETS
from engine.simulator import Simulator, SimulatorSettings
from engine.store import FileStore
from engine.threads import SystemThreads
from engine.worker.core import Lease
from engine.worker.runner import Runner
from engine.worker.tools import Tools
from schema.ids import DeviceId, InstanceName, LeaseToken, TaskId, VmId, WorkerName
from schema.objects.vif import Vif
from schema.operations import VmStart
from schema.records import Finished, Record, Submitted, Succeeded
from traces import Tracer

ROUND = 100
TMPFS = "/dev/shm"  # noqa: S108  a directory of our own is made in it
WIDTHS = (1, 2, 4, 20)

Start = Callable[[VmId], None]
Act = Callable[[Start, Sequence[VmId]], None]
"""Starts all VMs; returns when all have started."""


@dataclass(slots=True)
class Worker:
    """What executes leases, and the records that come of it."""

    tools: Tools
    records: list[Record] = field(default_factory=list)
    leases: int = 0

    def start(self, vm: VmId) -> None:
        """Execute a lease of VM.start."""
        self.leases += 1
        submitted = Submitted(vm=vm, operation=VmStart(vm=vm), request_id="r", dbg="bench", accept_by=1e12)
        lease = Lease(TaskId(2 * self.leases), LeaseToken(2 * self.leases + 1), submitted, 0.0)
        Runner(lease, self.tools, self.tools.cancellation(lease.task)).run(WorkerName("bench"))


class Round(NamedTuple):
    """What each start of a round has used."""

    processor_ms: float
    switches: float


def main() -> None:
    """Print a line for each way; they take turns."""
    parser = argparse.ArgumentParser(description="VM.start in a worker, without a bus")
    parser.add_argument("starts", type=int, nargs="?", default=1_500, help="for each way")
    starts = parser.parse_args().starts
    threads = SystemThreads(steps_wait=False)
    with ExitStack() as held:
        ways: dict[str, Act] = {
            f"{width} at once": partial(in_threads, held.enter_context(ThreadPoolExecutor(width)))
            for width in WIDTHS
        }
        ways["as in a worker, all at once"] = partial(in_turns, threads)
        workers = {way: held.enter_context(worker(starts)) for way in ways}
        rounds: dict[str, list[Round]] = {way: [] for way in ways}
        be_rare()  # as a worker does
        for first in range(0, starts - ROUND + 1, ROUND):
            for way, act in ways.items():
                rounds[way].append(measured(act, workers[way], first))
    threads.close()
    for way, found in rounds.items():
        best = min(found)
        print(f"{way:<28} {best.processor_ms:7.3f} ms of processor {best.switches:6.1f} switches of context")


def in_threads(pool: ThreadPoolExecutor, start: Start, vms: Sequence[VmId]) -> None:
    """As many at once as the pool has threads."""
    list(pool.map(start, vms))


def in_turns(threads: SystemThreads, start: Start, vms: Sequence[VmId]) -> None:
    """All at once, as a worker begins them."""
    ended = Event()
    left = list(vms)

    def do(vm: VmId) -> None:
        start(vm)
        left.pop()
        if not left:
            ended.set()

    for vm in vms:
        threads.begin(partial(do, vm))
    ended.wait()


def measured(act: Act, one: Worker, first: int) -> Round:
    """A round of VMs that have not been started."""
    vms = [VmId(f"vm-{number}") for number in range(first, first + ROUND)]
    switches, began = _switches(), time.process_time()
    act(one.start, vms)
    taken = Round((time.process_time() - began) / ROUND * 1e3, (_switches() - switches) / ROUND)
    assert all(
        isinstance(record.outcome, Succeeded) for record in one.records if isinstance(record, Finished)
    )
    return taken


def _switches() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw + used.ru_nivcsw


@contextmanager
def worker(vms: int) -> Iterator[Worker]:
    """A worker that knows so many VMs, each with a disk and an interface."""
    place = TMPFS if os.access(TMPFS, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="xb", dir=place) as directory:
        root = Path(directory)
        threads, tracer, records = SystemThreads(steps_wait=False), Tracer("bench", "bench"), list[Record]()
        tools = Tools(
            store=FileStore(root / "metadata"),
            backend=Simulator(SimulatorSettings(state=root / "host.db")),
            hooks=Hooks(root / "hooks", tracer),
            journal=Journal(root / "journal"),
            locks=VmLocks(root / "locks"),
            threads=threads,
            network=SOCKETS,
            tracer=tracer,
            resubmit=lambda _: None,
            instance=InstanceName("bench"),
            append=records.append,
            offers=Offers(threads, SOCKETS),
            running=lambda: 1,
        )
        for number in range(vms):
            name = f"vm-{number}"
            tools.store.write(sample_vm(name))
            tools.store.vbds.write(sample_vbd("xvda", name))
            tools.store.vifs.write(Vif(id=DeviceId(name, "0")))
        yield Worker(tools, records)
        threads.close()
        tools.backend.stop()


if __name__ == "__main__":
    main()
