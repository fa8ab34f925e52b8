"""Measures in dom0, without the bus: what bench/bench_xen.py prints of backend classic itself.

    python3 measure.py ROUNDS

Prints lines `NAME NUMBER`: transactions of xenstore for a start and a stop, and the milliseconds that starts
and stops took, a task's end from its cancel on while a hotplug script blocks, and questions for a VM's state:
the median of ROUNDS, and of a hundred times as many.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from classic_subject import ClassicSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal


def main(rounds: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        subject = ClassicSubject(Path(directory))
        life = make_life(subject)
        counted = count_transactions(subject.backend._hypervisor.store)
        found: dict[str, list[float]] = {name: [] for name in ("start_ms", "stop_ms", "stat_ms", "cancel_ms")}
        counts: dict[str, list[int]] = {"start_transactions": [], "stop_transactions": []}
        for _ in range(rounds):
            counted()
            found["start_ms"].append(timed(life.start))
            counts["start_transactions"].append(counted())
            found["stat_ms"] += [timed(lambda: subject.backend.vm.get_state(life.vm)) for _ in range(100)]
            found["cancel_ms"].append(broken_off(life, Path(directory)))
            counted()
            found["stop_ms"].append(timed(life.stop))
            counts["stop_transactions"].append(counted())
        subject.end()
        for name, times in found.items():
            tell(name, statistics.median(times) * 1e3)
        for name, numbers in counts.items():
            tell(name, statistics.median(numbers))


def broken_off(life: Life, directory: Path) -> float:
    """The seconds that a task takes to end once it is cancelled, while a hotplug script blocks."""
    begun, script = directory / "begun", directory / "block-hangs"
    begun.unlink(missing_ok=True)
    script.write_text(f"#!/bin/sh\ntouch {begun}\nsleep 100000\n")
    script.chmod(0o755)
    task, verbs = SuiteExecution(), life.subject.backend.vbd
    vbd = life.subject.make_vbd(life.vm, 1)
    vbd = vbd.model_copy(update={"extra_backend_keys": (("script", str(script)),)})
    verbs.attach(task, life.id, vbd)
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(refusal, partial(verbs.activate, task, life.id, vbd))
        while not begun.exists():
            time.sleep(0.01)
        cancelled_at = time.perf_counter()
        task.cancel()
        if ending.result().kind != "Cancelled":
            raise AssertionError(ending.result())
        return time.perf_counter() - cancelled_at


def count_transactions(store: Any) -> Callable[[], int]:
    """From now on count; what is called answers how many there were since it was called last."""
    xenstored, count = store._xenstored, 0
    original = type(xenstored).transact

    def transact(act: Any) -> Any:
        nonlocal count
        count += 1
        return original(xenstored, act)

    def counted() -> int:
        nonlocal count
        seen, count = count, 0
        return seen

    xenstored.transact = transact
    return counted


def timed(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def tell(name: str, number: float) -> None:
    """One line."""
    sys.stdout.write(f"{name} {number:.3f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
