"""Snapshots of an event hub with many tasks: how long its thread is held, what making and taking up costs.

python bench/bench_snapshot.py [TASKS]
"""

import argparse
import time

from bus.ports import Entry
from bus.snapshots import Header, cut
from eventhub.fold import Fold
from schema.ids import Offset, VmId
from schema.objects.dynamic import VmObject
from schema.operations import VmStart
from schema.records import Changed, Submitted


def main() -> None:
    """Print what one snapshot takes, and the first change of every task after it."""
    parser = argparse.ArgumentParser(description="snapshots of an event hub")
    parser.add_argument("tasks", type=int, nargs="?", default=100_000, help="tasks that wait, one for a VM")
    tasks = parser.parse_args().tasks
    fold = Fold()
    for number in range(tasks):
        vm = VmId(f"vm-{number}")
        submitted = Submitted(
            vm=vm, operation=VmStart(vm=vm), request_id="r", dbg="d", accept_by=9.0, reply_to="q"
        )
        fold.on_entry(Entry(Offset(2 * number), 1.0, submitted))
        fold.on_entry(Entry(Offset(2 * number + 1), 1.0, Changed(vm=vm, changed=(VmObject(id=vm),))))
    begun = time.perf_counter()
    lines = fold.snapshot()
    held = time.perf_counter()
    first, *rest = lines
    encoded = time.perf_counter()
    header = Header(service="eventhub", at=0.0, next=2 * tasks, anchor="", producers={})
    size = sum(map(len, cut("bench", header, [first, *rest])))
    packed = time.perf_counter()
    Fold().restore([first, *rest])
    restored = time.perf_counter()
    print(f"{tasks:,} tasks: the bus's thread is held for {1e3 * (held - begun):.1f} ms")
    print(f"  encoded in {encoded - held:.2f} s, packed in {packed - encoded:.2f} s: {size:,} bytes")
    print(f"  taken up in {restored - packed:.2f} s")


if __name__ == "__main__":
    main()
