"""Two versions of everything, a stack of each, by turns: what a change does where much else is done.

    python bench/versions.py PYTHON PYTHON [ONE_AT_A_TIME] [ROUNDS]

Each `PYTHON` is the interpreter of an environment in which a version is installed. Whatever else the machine
does meets both alike, so their ratio says what a change has done; the milliseconds say little.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_whole import add_vms, start_many, until_done
from figures import Figures
from meter import CLIENT, usage_of
from stack.shape import SIMULATOR_INSTANCE
from switch_caller import SwitchCaller
from xenops.client import Client, connect

HOLDER = Path(__file__).with_name("held_stack.py")
TIMEOUT_S = 120.0
WIDTH = 20
STARTS = 60
"""VMs started in a round, so many at a time."""

READS = 10
"""Reads for each of those that are started one at a time."""


@dataclass(slots=True)
class Side:
    """One version's stack, and what was measured of it."""

    told: dict[str, Any]
    client: Client
    vms: list[str] = field(default_factory=list)
    times_s: dict[str, list[float]] = field(default_factory=dict)
    processor_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def time(self, what: str, act: Callable[["Side"], object]) -> None:
        """Do it once."""
        begun = time.perf_counter()
        act(self)
        self.times_s.setdefault(what, []).append(time.perf_counter() - begun)

    @contextmanager
    def charged(self, what: str, count: int) -> Iterator[None]:
        """What its processes use meanwhile is charged to so many of something."""
        before = usage_of(self.told["pids"])
        yield
        after = usage_of(self.told["pids"])
        charged = self.processor_ms.setdefault(what, dict.fromkeys(self.told["pids"], 0.0))
        for name in charged:
            charged[name] += (after[name].processor_s - before[name].processor_s) * 1e3 / count


Sides = tuple[Side, Side]


def main() -> None:
    """Print what each took, and the ratio."""
    parser = argparse.ArgumentParser(description="Two versions by turns")
    parser.add_argument("pythons", nargs=2, metavar="PYTHON", help="of an environment with a version in it")
    parser.add_argument("alone", type=int, nargs="?", default=20, help="VMs that are started one at a time")
    parser.add_argument(
        "rounds", type=int, nargs="?", default=4, help=f"rounds of {STARTS} VMs, {WIDTH} at once"
    )
    asked = parser.parse_args()
    with ExitStack() as held:
        first, second = (held.enter_context(side(python)) for python in asked.pythons)
        for each in (first, second):
            each.vms = add_vms(each.client, asked.alone + asked.rounds * STARTS, 1)
        measure_alone((first, second), asked.alone)
        measure_reads((first, second), asked.alone * READS)
        measure_rounds((first, second), asked.alone, asked.rounds)
        report(first, second)


@contextmanager
def side(python: str) -> Iterator[Side]:
    """A version's stack, held by a process of its own environment."""
    holder = subprocess.Popen([python, HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        told = json.loads(holder.stdout.readline())
        with connect(told["client"], SIMULATOR_INSTANCE, dbg="bench", timeout_s=TIMEOUT_S) as client:
            yield Side(told, client)
    finally:
        holder.stdin.close()
        holder.wait()


def by_turns(sides: Sides, what: str, count: int, act: Callable[[Side, int], object]) -> None:
    """Do something so often on both; who begins changes."""
    with sides[0].charged(what, count), sides[1].charged(what, count):
        for number in range(count):
            for each in sides if number % 2 else reversed(sides):
                each.time(what, lambda here, number=number: act(here, number))  # type: ignore[misc]


def measure_alone(sides: Sides, count: int) -> None:
    """A VM's life in four operations, one at a time."""
    for verb in ("start", "unpause", "pause", "shutdown"):
        by_turns(
            sides,
            f"VM.{verb}",
            count,
            lambda here, number, verb=verb: until_done(  # type: ignore[misc]
                here.client, getattr(here.client.vm, verb), here.vms[number]
            ),
        )


def measure_reads(sides: Sides, count: int) -> None:
    """VM.stat over AMQP and through the switch."""
    by_turns(sides, "read, AMQP", count, lambda here, _: here.client.vm.stat(here.vms[0]))
    switches = {
        id(here): Client(SwitchCaller(Path(here.told["switch"]), "b"), SIMULATOR_INSTANCE) for here in sides
    }
    by_turns(sides, "read, switch", count, lambda here, _: switches[id(here)].vm.stat(here.vms[0]))


def measure_rounds(sides: Sides, begin: int, rounds: int) -> None:
    """Many starts at a time, on one side after the other; times are a start's part of its round."""
    what = f"VM.start, {WIDTH} at once"
    for number in range(rounds):
        for each in sides if number % 2 else reversed(sides):
            names = each.vms[begin + number * STARTS : begin + (number + 1) * STARTS]
            with each.charged(what, STARTS * rounds):
                _, seconds = start_many(each.told["administrator"], each.client, names, WIDTH)
            each.times_s.setdefault(what, []).append(seconds / STARTS)


def report(first: Side, second: Side) -> None:
    """A line each: time, and processor of all services and of the broker, with the ratio of both versions."""
    print(f"{'':26}{'ms':>20}{'services, ms':>24}{'broker, ms':>22}")
    for what, times_s in first.times_s.items():
        took = [Figures.of(times).p50_ms for times in (times_s, second.times_s[what])]
        services = [sum(used(here, what, broker=False)) for here in (first, second)]
        broker = [sum(used(here, what, broker=True)) for here in (first, second)]
        print(f"{what:26}{compared(took)}{compared(services)}{compared(broker)}")


def used(here: Side, what: str, *, broker: bool) -> list[float]:
    """What processes have used for it."""
    return [
        ms for name, ms in here.processor_ms[what].items() if name != CLIENT and (name == "broker") is broker
    ]


def compared(both: Sequence[float]) -> str:
    """Two figures and their ratio."""
    before, after = both
    return f"{before:8.2f} {after:7.2f} x{after / before if before else 1.0:.2f}"


if __name__ == "__main__":
    main()
