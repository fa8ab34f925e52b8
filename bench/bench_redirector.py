"""The redirector's core at scale: decisions, memory, snapshots and replay, as what waits grows.

    python bench/bench_redirector.py [OPERATIONS] [VMS]

Each size is measured in a process of its own, in processor time. Time for a step must not grow with what
waits: the ratio of the largest size to the smallest is printed.
"""

import argparse
import gc
import multiprocessing
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bus.collector import be_rare, resting
from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append
from redirector.lane import Waiting
from redirector.limits import Limits
from schema.ids import InstanceName, Offset, TaskId, Term, VmId, WorkerName
from schema.operations import VmCheckState, VmPoweroff, VmStart
from schema.records import (
    ENVELOPE,
    CancelRequested,
    Elected,
    Envelope,
    Finished,
    LaneHeld,
    LaneReleased,
    Leased,
    Record,
    Reprioritised,
    Submitted,
    Succeeded,
    WorkerUp,
)

OPERATIONS, VMS = 1_000_000, 100_000
STEPS = 20_000
REPLAYED = 60_000
NOW = 1_000_000.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One size: memory before a snapshot is taken and at most, and for each task; rates; times in seconds."""

    waiting: int
    resident_mib: float
    peak_mib: float
    bytes_each: float
    submitted_per_s: float
    decisions_per_s: float
    operators_per_s: float
    snapshot_mib: float
    snapshot_s: float
    restore_s: float
    elected_s: float
    told_s: float


class Log:
    """A log that is not kept, and the leader that reads it."""

    def __init__(self) -> None:
        self.offset = 0
        self.leader = Redirector("me", Limits(lane_tasks_max=10**9, instance_tasks_max=10**9))

    def append(self, record: Record) -> list[Record]:
        """What the leader decides on one more record."""
        entry = Entry(Offset(self.offset), NOW, record)
        self.offset += 1
        return [effect.record for effect in self.leader.on_entry(entry, NOW) if isinstance(effect, Append)]

    def settle(self, records: list[Record]) -> int:
        """Decisions are written, and what is decided on them; answers how many there were."""
        count = 0
        while records:
            count += len(records)
            records = [further for record in records for further in self.append(record)]
        return count


def submitted(number: int, vms: int) -> Submitted:
    """A task as a traced client submits it; some are checks, some stop a VM."""
    vm = VmId(f"{number % vms:08x}-0000-4000-8000-000000000000")
    operation = VmStart(vm=vm) if number % 10 else VmPoweroff(vm=vm, timeout_s=60.0)
    return Submitted(
        vm=vm,
        operation=operation if number % 50 != 7 else VmCheckState(vm=vm),
        request_id=f"{number:032x}",
        dbg="bench",
        accept_by=NOW + 10,
        reply_to="xenops.inbox.bench",
        deadline=NOW + 3600 if number % 2 else None,
        traceparent=f"00-{number:032x}-{number:016x}-01",
    )


def measure(waiting: int, vms: int) -> Measured:
    """Let so many tasks wait, then work on."""
    before, log = resident_bytes(), Log()
    log.settle(log.append(Elected(redirector="me")))
    begun = time.process_time()
    for number in range(waiting):
        log.settle(log.append(submitted(number, vms)))
    submitted_s = time.process_time() - begun
    gc.collect()
    resident = resident_bytes()
    decisions_per_s = decide(log, vms)
    operators_per_s = operate(log)
    begun = time.process_time()
    snapshot = log.leader.snapshot()
    snapshot_s = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    offset, total = log.offset, len(log.leader.lanes)
    del log
    gc.collect()
    restore_s, elected_s, told_s = take_over(snapshot, offset, total)
    return Measured(
        waiting=waiting,
        resident_mib=resident / MIB,
        peak_mib=peak / MIB,
        bytes_each=(resident - before) / waiting,
        submitted_per_s=waiting / submitted_s,
        decisions_per_s=decisions_per_s,
        operators_per_s=operators_per_s,
        snapshot_mib=len(snapshot) / MIB,
        snapshot_s=snapshot_s,
        restore_s=restore_s,
        elected_s=elected_s,
        told_s=told_s,
    )


def take_over(snapshot: bytes, offset: int, total: int) -> tuple[float, float, float]:
    """Seconds until a successor knows a snapshot, then until it leads, and until all who wait are told so."""
    begun = time.process_time()
    successor = Redirector("successor")
    with resting():  # as its service does
        successor.restore(snapshot)
    restore_s = time.process_time() - begun
    begun = time.process_time()
    successor.on_entry(Entry(Offset(offset), NOW, Elected(redirector="successor")), NOW)
    elected_s = time.process_time() - begun
    while successor.has_more_to_tell:
        successor.tell_some(NOW)
    assert len(successor.lanes) <= total
    return restore_s, elected_s, time.process_time() - begun


def decide(log: Log, vms: int) -> float:
    """Leases a second, each with all that belongs to it: written, read, its task ended, a new one come.

    What frontends and workers write for it is made before, as by them.
    """
    leased = log.append(WorkerUp(worker=WorkerName("w"), epoch="1", capacity=100))
    coming = [submitted(10**9 + number, vms) for number in range(2 * STEPS)]
    spent_s, count = 0.0, 0
    while count < STEPS:
        ends = [Finished(vm=each.vm, task=each.task, outcome=Succeeded()) for each in leases_in(leased)]
        further: list[Record] = []
        begun = time.process_time()
        for record in leased:
            further += log.append(record)
        for end in ends:
            further += log.append(end)
            further += log.append(coming.pop())
        spent_s += time.process_time() - begun
        leased, count = further, count + len(ends)
    return count / spent_s


def leases_in(records: list[Record]) -> list[Leased]:
    """Those of them that are leases."""
    return [record for record in records if isinstance(record, Leased)]


def operate(log: Log) -> float:
    """Holds, releases, changes of priority and cancels a second, spread over all lanes."""
    found: list[Waiting] = [
        next(iter(lane.tasks.values()))
        for lane, _ in zip(log.leader.lanes.all(), range(STEPS // 4), strict=False)
        if lane.tasks
    ]
    begun = time.process_time()
    for task in found:
        log.append(LaneHeld(vm=task.vm))
        log.append(Reprioritised(vm=task.vm, task=task.id, priority=5))
        log.append(LaneReleased(vm=task.vm))
        log.append(CancelRequested(vm=task.vm, task=task.id))
    return 4 * len(found) / (time.process_time() - begun)


def resident_bytes() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def bodies(count: int) -> list[bytes]:
    """A log as it comes from the broker: tasks that come, are leased and end."""

    def records() -> Iterator[Record]:
        yield Elected(redirector="other")
        yield WorkerUp(worker=WorkerName("w"), epoch="1", capacity=100)
        for number in range(count // 3):
            vm, task = submitted(number, VMS).vm, TaskId(2 + 3 * number)
            yield submitted(number, VMS)
            yield Leased(vm=vm, task=task, worker=WorkerName("w"), term=Term(0))
            yield Finished(vm=vm, task=task, outcome=Succeeded(), token=None)

    instance = InstanceName("bench")
    return [
        ENVELOPE.dump_json(Envelope(producer="p", seq=seq, at=NOW, instance=instance, record=record))
        for seq, record in enumerate(records(), 1)
    ]


def replay() -> tuple[float, float]:
    """Records a second without a snapshot: parsed and folded, and how many if they were only folded."""
    log = bodies(REPLAYED)
    standby = Redirector("standby")
    begun = time.process_time()
    entries = []
    for offset, body in enumerate(log):
        envelope = ENVELOPE.validate_json(body)
        entries.append(Entry(Offset(offset), envelope.at, envelope.record))
    parsed_s = time.process_time() - begun
    begun = time.process_time()
    for entry in entries:
        standby.on_entry(entry, NOW)
    folded_s = time.process_time() - begun
    assert len(standby.lanes) == 0
    return len(log) / (parsed_s + folded_s), len(log) / folded_s


def in_own_process(waiting: int, vms: int) -> Measured:
    """Measured where nothing else has been."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return Measured(**pool.apply(as_fields, (waiting, vms)))


def as_fields(waiting: int, vms: int) -> dict[str, Any]:
    """What a process measured, as it is handed to another."""
    be_rare()
    return asdict(measure(waiting, vms))


def main() -> None:
    """Print a column for each size, and what grows."""
    parser = argparse.ArgumentParser(description="the redirector's core at scale")
    parser.add_argument("operations", type=int, nargs="?", default=OPERATIONS)
    parser.add_argument("vms", type=int, nargs="?", default=VMS)
    arguments = parser.parse_args()
    most = arguments.operations
    sizes = [max(1_000, most // 100), max(1_000, most // 10), most]
    found = [in_own_process(size, max(100, arguments.vms * size // most)) for size in sizes]
    for name in Measured.__dataclass_fields__:
        values = [getattr(one, name) for one in found]
        print(f"{name:<18}" + "".join(f"{value:14,.2f}" for value in values), flush=True)
    slower = found[0].decisions_per_s / found[-1].decisions_per_s
    print(f"a decision takes {slower:.2f} x as long with {most:,} tasks that wait as with {sizes[0]:,}")
    whole, folded = replay()
    print(
        f"replay without a snapshot: {whole:,.0f} records/s parsed and folded ({folded:,.0f}/s folded alone)"
    )


if __name__ == "__main__":
    main()
