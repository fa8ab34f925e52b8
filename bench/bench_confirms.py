"""What safety costs an append: one node as it is, written through to its disk, and three nodes; as root.

    python bench/bench_confirms.py [DIRECTORY]     # on which disk: an ext4; usually the current directory's

The peer is the one node as it is: its confirmed records survive its death, but not its host's power failure.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bus.rabbit import RabbitBus
from figures import interleaved, tell, tell_rate
from schema.ids import InstanceName, VmId
from schema.records import LaneHeld
from stack.broker.cluster import PrivateCluster
from stack.broker.node import PrivateNode

INSTANCE = InstanceName("bench")
SERIAL, ROUNDS, BURST = 500, 5, 2_000
PATIENCE_S = 120.0


def main() -> int:
    """Print one append at a time, and many at once, of each."""
    parser = argparse.ArgumentParser(description="what safety costs an append")
    parser.add_argument("directory", type=Path, nargs="?", default=Path.cwd(), help="on an ext4")
    place = parser.parse_args().directory
    if os.geteuid():
        print("bench_confirms needs root: for the networks of three nodes, and to have files written through")
        return 0
    with tempfile.TemporaryDirectory(prefix="confirms-", dir=place) as directory, ExitStack() as stack:
        root = Path(directory)
        buses = {
            name: stack.enter_context(connected(url))
            for name, url in {
                "one node": stack.enter_context(PrivateNode(root / "one")).url,
                "one node, written through": stack.enter_context(PrivateNode(through(root / "sync"))).url,
                "three nodes": stack.enter_context(PrivateCluster(root / "three")).url,
                "three nodes, written through": stack.enter_context(
                    PrivateCluster(through(root / "three-sync"))
                ).url,
            }.items()
        }
        figures = interleaved(SERIAL, *(partial(append, bus, 1) for bus in buses.values()))
        for name, one in zip(buses, figures, strict=True):
            tell(f"one append, confirmed, {name}", one, figures[0])
        figures = interleaved(ROUNDS, *(partial(append, bus, BURST) for bus in buses.values()))
        rates = [BURST / (one.p50_ms / 1e3) for one in figures]
        for name, rate in zip(buses, rates, strict=True):
            tell_rate(f"all under way, {name}", rate, rates[0])
    return 0


def through(place: Path) -> Path:
    """A directory whose files are written through to the disk."""
    place.mkdir()
    subprocess.run(["chattr", "+S", str(place)], check=True)
    return place


@contextmanager
def connected(url: str) -> Iterator[RabbitBus]:
    """A bus whose log is there, on all nodes."""
    bus = RabbitBus(url, "bench", (INSTANCE,))
    try:
        bus.ready(PATIENCE_S)
        append(bus, 1)
        yield bus
    finally:
        bus.close()


def append(bus: RabbitBus, count: int) -> None:
    """So many records, until the last is confirmed."""
    futures = [bus.append(INSTANCE, LaneHeld(vm=VmId(f"vm-{number}"))) for number in range(count)]
    futures[-1].result(PATIENCE_S)


if __name__ == "__main__":
    sys.exit(main())
