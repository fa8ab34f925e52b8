"""Traces: what observers cost: VM.start without and with one, and the hooks of a task that nobody observes.

    python bench/bench_traces.py [ROUNDS] [PARALLEL] [WIDTH]

Without and with take turns, one start each, so what else runs hits both; then many at a time, one after the
other, for the processor time of each service. The observer's spans go into files.
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench_whole import add_vms, start_many, until_done
from figures import Figures, tell, tell_rate
from meter import tell_processor, usage
from schema.debug_info import read_debug_info
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE
from traces import Start, Tracer
from xenops.client import Client

HOOKS = 100_000
SETTLE_S = 0.2
OBSERVER = "bench"


def main() -> None:
    """Print one line a figure."""
    asked = arguments()
    tell_hooks()
    with (
        tempfile.TemporaryDirectory(prefix="xb") as directory,
        LocalStack(Layout(Path(directory) / "stack")) as stack,
        stack.client(SIMULATOR_INSTANCE) as client,
    ):
        vms = iter(add_vms(client, 2 * asked.rounds + 2 * asked.parallel, 1))
        client.observer.set_trace_log_dir(f"{directory}/traces")
        client.observer.set_export_interval(1.0)
        client.observer.set_max_spans(100_000)
        client.observer.create(OBSERVER, OBSERVER, (), enabled=False)
        off, on = [], []
        for _ in range(asked.rounds):
            off.append(until_done(client, client.vm.start, next(vms)))
            observe(client, enabled=True)
            on.append(until_done(client, client.vm.start, next(vms)))
            observe(client, enabled=False)
        without = Figures.of(off)
        tell("VM.start to done, nobody observes", without)
        tell("  observed", Figures.of(on), without)
        for enabled, label in ((False, "nobody observes"), (True, "observed")):
            observe(client, enabled=enabled)
            before = usage(stack)
            some = [next(vms) for _ in range(asked.parallel)]
            _, seconds = start_many(stack.administrator_url, client, some, asked.width)
            tell_rate(f"VM.start to done, {asked.width} in parallel, {label}", asked.parallel / seconds)
            tell_processor(before, usage(stack), asked.parallel)
        client.observer.destroy(OBSERVER)
        time.sleep(2 * SETTLE_S)
        written = sum(path.stat().st_size for path in Path(directory, "traces").iterdir())
        print(f"  spans written: {written} bytes")


def arguments() -> argparse.Namespace:
    """The sizes."""
    parser = argparse.ArgumentParser(description="what observers cost")
    parser.add_argument(
        "rounds", type=int, nargs="?", default=100, help="VMs started each way, one at a time"
    )
    parser.add_argument("parallel", type=int, nargs="?", default=500, help="VMs started in parallel each way")
    parser.add_argument("width", type=int, nargs="?", default=50, help="how many at a time")
    return parser.parse_args()


def observe(client: Client, *, enabled: bool) -> None:
    """Let the observer observe, or not; services that were not asked follow a moment later."""
    client.observer.set_enabled(OBSERVER, enabled=enabled)
    time.sleep(SETTLE_S)


def tell_hooks() -> None:
    """What one task's hooks take while nobody observes: in the door, the lane, and around the execution."""
    tracer = Tracer("bench", "bench")
    begun = time.process_time()
    for _ in range(HOOKS):
        read_debug_info("a client's name for its work")
        if tracer.on:
            raise AssertionError("nobody observes")
        with tracer.within(Start("VM_start", attributes={"xenops.task.id": "1"}, depth=3)):
            pass
        tracer.end(tracer.begin(Start("lane")))
    print(
        f"hooks of a task, nobody observes             {(time.process_time() - begun) / HOOKS * 1e6:.1f} us"
    )


if __name__ == "__main__":
    main()
