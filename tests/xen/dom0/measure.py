"""Measures in dom0, without the bus: what bench/bench_xen.py prints of backend classic itself.

    python3 measure.py ROUNDS

Prints lines `NAME NUMBER`: transactions of xenstore for a start and a stop, and the milliseconds that starts
and questions for a VM's state took: the median of ROUNDS, and of a hundred times as many.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from classic_subject import ClassicSubject
from engine.conformance.subject import make_life


def main(rounds: int) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        subject = ClassicSubject(Path(directory))
        life = make_life(subject)
        counted = count_transactions(subject.backend._hypervisor.store)
        found: dict[str, list[float]] = {"start_ms": [], "stop_ms": [], "stat_ms": []}
        counts: dict[str, list[int]] = {"start_transactions": [], "stop_transactions": []}
        for _ in range(rounds):
            counted()
            found["start_ms"].append(timed(life.start))
            counts["start_transactions"].append(counted())
            found["stat_ms"] += [timed(lambda: subject.backend.vm.get_state(life.vm)) for _ in range(100)]
            counted()
            found["stop_ms"].append(timed(life.stop))
            counts["stop_transactions"].append(counted())
        subject.end()
        for name, times in found.items():
            tell(name, statistics.median(times) * 1e3)
        for name, numbers in counts.items():
            tell(name, statistics.median(numbers))


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
