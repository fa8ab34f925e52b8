"""`python -m simulation`: run seeds, or scenarios that are kept in files; a seed that fails is made small.

Ends with 1 when anything was found.
"""

import argparse
import ctypes
import gc
import os
import resource
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path

from simulation.bugs import hush
from simulation.generate import scenario_of
from simulation.run import Verdict, run, simulated
from simulation.scenario import Scenario
from simulation.shrink import shrink
from simulation.trace import trace

BATCH = 20
"""Seeds that a process takes at a time."""

KEPT = Path("var") / "simulation"
"""Where a scenario that fails is kept, made small."""

_PR_SET_PDEATHSIG = 1
"""Linux, <linux/prctl.h>."""

BASE_MAX = 1_000_000_000


def main(arguments: list[str]) -> int:
    """Run what is asked for; answers the exit code."""
    wanted = _read(arguments)
    if wanted.replay:
        return max(_replay(Path(name)) for name in wanted.replay)
    base = wanted.base if wanted.base is not None else time.time_ns() // 1_000_000 % BASE_MAX
    print(f"simulation: seeds from {base} on; again: python -m simulation --base {base}", flush=True)
    failing = _run_seeds(base, wanted)
    for seed in failing[: wanted.shrink]:
        _explain(scenario_of(seed))
    return 1 if failing else 0


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=None, help="how many seeds to run")
    parser.add_argument("--seconds", type=float, default=None, help="for how long to run seeds")
    parser.add_argument(
        "--base", type=int, default=None, help="the first seed; without it, a new one each time"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--shrink", type=int, default=1, help="how many failures to make small and show")
    parser.add_argument("--replay", nargs="+", help="files with scenarios to run and show")
    wanted = parser.parse_args(arguments)
    if wanted.seeds is None and wanted.seconds is None:
        wanted.seeds = 1_000
    return wanted


def _run_seeds(base: int, wanted: argparse.Namespace) -> list[int]:
    """Run batches until all are done or the time is up; answers the seeds that fail."""
    begun, failing, done = time.monotonic(), list[int](), 0
    end = float("inf") if wanted.seconds is None else begun + wanted.seconds
    last = base + wanted.seeds if wanted.seeds is not None else None
    starts = count(base, BATCH) if last is None else iter(range(base, last, BATCH))
    with ProcessPoolExecutor(wanted.jobs, initializer=_begin, initargs=(os.getpid(),)) as processes:
        waiting = [processes.submit(_batch, start, last) for start in islice(starts, 2 * wanted.jobs)]
        while waiting:
            ran, found = waiting.pop(0).result()
            done += ran
            for seed, finding in found:
                failing.append(seed)
                print(f"seed {seed}: {finding}", flush=True)
            start = next(starts, None) if time.monotonic() < end else None
            if start is not None:
                waiting.append(processes.submit(_batch, start, last))
    minutes = (time.monotonic() - begun) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    each_ms = (used.ru_utime + used.ru_stime) / max(1, done) * 1_000
    figures = f"{done / minutes:.0f} a minute, {each_ms:.0f} ms of processor each"
    print(f"simulation: {done} scenarios, {len(failing)} fail; {figures}")
    return failing


def _begin(parent: int) -> None:
    """A process that runs seeds: no garbage collection looks at what was there before the first.

    It ends with who has started it, however that ends: by a signal nobody tells it.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    hush()
    gc.collect()
    gc.freeze()


def _batch(start: int, last: int | None) -> tuple[int, list[tuple[int, str]]]:
    seeds = range(start, min(start + BATCH, last) if last is not None else start + BATCH)
    verdicts = [(seed, run(scenario_of(seed))) for seed in seeds]
    return len(verdicts), [(seed, found.findings[0][:300]) for seed, found in verdicts if found.findings]


def _explain(scenario: Scenario) -> None:
    """Make it small, keep it, show it."""
    small = shrink(scenario, lambda tried: run(tried).findings)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"seed-{scenario.seed}.json"
    path.write_text(small.model_dump_json(indent=1) + "\n")
    print(f"simulation: seed {scenario.seed}, {len(small.steps)} steps; again: make sim REPLAY={path}")
    _show(small)


def _replay(path: Path) -> int:
    verdict = _show(Scenario.model_validate_json(path.read_text()))
    return 1 if verdict.findings else 0


def _show(scenario: Scenario) -> Verdict:
    with simulated(scenario) as simulation:
        verdict = simulation.run()
        print("\n".join(trace(simulation.stage, verdict.findings)))
    print(f"simulation: {len(verdict.findings)} findings in {verdict.virtual_s:.0f} virtual seconds")
    return verdict


if __name__ == "__main__":
    hush()
    sys.exit(main(sys.argv[1:]))
