"""Many hosts on one broker: what each instance costs broker and services, idle and under a light load.

    python bench/bench_scale.py [INSTANCES ...] [--starts COUNT] [--group INSTANCES] [--idle SECONDS]

Redirector, event hub and frontend are real processes, one of each for every `--group` of instances: a
connection has 2,047 channels, and a service takes some for each instance. Workers are stood in for by this
process, which says that they live every 5 s, as they do, and ends at once whatever is leased to them: an
executor costs its host, not the broker. So the client's processor time contains all workers.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bus.ports import BEGINNING, Entry
from bus.rabbit import RabbitBus
from bus.roles import Role
from bus.topology import door_queue
from figures import Figures, tell
from meter import Usage, usage_of
from schema.ids import InstanceName, LeaseToken, WorkerName
from schema.records import Finished, Heartbeat, Leased, Succeeded, WorkerUp
from schema.rpc import encode_request
from stack.broker.node import PrivateNode

SERVICES = ("redirector", "eventhub", "frontend")
WORKER = WorkerName("w")
HEARTBEAT_S = 5.0
READY_S = 600.0
CALL_S = 60.0


@dataclass(slots=True)
class Hosts:
    """The workers of all instances of one group, over one connection."""

    bus: RabbitBus
    names: tuple[InstanceName, ...]
    ended: dict[str, threading.Event] = field(default_factory=dict)
    live: int = 0

    def start(self) -> None:
        """Serve, and say so."""
        for name in self.names:
            self.bus.append(name, WorkerUp(worker=WORKER, epoch="1", capacity=4))
            self.bus.tail(name, BEGINNING, partial(self._on_entry, name), self._on_live)
        self.bus.every(HEARTBEAT_S, self._beat)

    def _on_live(self) -> None:
        self.live += 1

    def _beat(self) -> None:
        for name in self.names:
            self.bus.append(name, Heartbeat(worker=WORKER))

    def _on_entry(self, name: InstanceName, entry: Entry) -> None:
        record = entry.record
        if isinstance(record, Leased):
            token = LeaseToken(entry.offset)
            self.bus.append(name, Finished(vm=record.vm, task=record.task, outcome=Succeeded(), token=token))
        elif isinstance(record, Finished) and record.vm in self.ended:
            self.ended[record.vm].set()


@contextmanager
def services(
    node: PrivateNode, groups: list[tuple[InstanceName, ...]], logs: Path
) -> Iterator[dict[str, int]]:
    """All services of all groups, as processes; their pids by name."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for number, group in enumerate(groups):
            for service in SERVICES:
                told = {"XENOPS_BROKER": node.url_of(Role(service)), "XENOPS_INSTANCE": ",".join(group)}
                with (logs / f"{service}-{number}.log").open("wb") as log:
                    command = [sys.executable, "-m", service]
                    process = subprocess.Popen(command, env={**os.environ, **told}, stderr=log)
                started[f"{service}-{number}"] = process
        yield {name: process.pid for name, process in started.items()}
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait()


def await_live(hosts: list[Hosts], count: int) -> None:
    """Until every log has been read by its worker."""
    end = time.monotonic() + READY_S
    while sum(each.live for each in hosts) < count:
        if time.monotonic() > end:
            sys.exit(f"only {sum(each.live for each in hosts)} of {count} logs were live in {READY_S:g} s")
        time.sleep(0.1)


def start_one(client: RabbitBus, hosts: Hosts, name: InstanceName, number: int) -> tuple[float, float]:
    """VM.start of a new VM: seconds to the task's id, and to its end in the log."""
    vm = f"vm{number}"
    hosts.ended[vm] = threading.Event()
    body = encode_request("VM.start", debug_info="scale", id=vm, paused=True)
    begun = time.perf_counter()
    answer = json.loads(client.call(door_queue(name), body, CALL_S))
    accepted = time.perf_counter() - begun
    if answer["error"] is not None or not hosts.ended[vm].wait(CALL_S):
        sys.exit(f"VM.start on {name}: {answer}")
    return accepted, time.perf_counter() - begun


def measure(count: int, wanted: argparse.Namespace) -> None:
    """One number of instances, from nothing."""
    names = tuple(InstanceName(f"org.xen.host{number:05}") for number in range(count))
    groups = [names[first : first + wanted.group] for first in range(0, count, wanted.group)]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(PrivateNode(place / "broker", names))
        broker = {"broker": int((place / "broker" / "pid").read_text())}
        empty = usage_of(broker)["broker"]
        begun = time.monotonic()
        pids = {**broker, **stack.enter_context(services(node, groups, place))}
        hosts = [
            Hosts(RabbitBus(node.url_of(Role.WORKER), "w", group, makes_logs=None), group) for group in groups
        ]
        for each in hosts:
            stack.callback(each.bus.close)
            each.start()
        await_live(hosts, count)
        client = RabbitBus(node.url_of(Role.CLIENT), "client")
        stack.callback(client.close)
        client.ready(READY_S)
        for number, each in enumerate(hosts):
            start_one(client, each, each.names[0], -1 - number)
        print(
            f"\n{count} instances, {len(groups)} of each service: "
            f"all live after {time.monotonic() - begun:.1f} s"
        )
        tell_idle(pids, empty, count, wanted.idle)
        tell_broker(node, place, pids, count)
        random_ = random.Random(count)  # noqa: S311  the same instances in each run
        taken = []
        for number in range(wanted.starts):
            each = random_.choice(hosts)
            taken.append(start_one(client, each, random_.choice(each.names), number))
        tell("VM.start: to the task's id", Figures.of([accepted for accepted, _ in taken]))
        tell("VM.start: to its end in the log", Figures.of([ended for _, ended in taken]))


def tell_idle(pids: dict[str, int], empty: Usage, count: int, seconds: float) -> None:
    """What all take while nothing happens but that workers say that they live."""
    before = usage_of(pids)
    time.sleep(seconds)
    after = usage_of(pids)
    for kind in ("broker", *SERVICES, "client"):
        used = sum(after[n].processor_s - before[n].processor_s for n in after if n.startswith(kind))
        resident = sum(after[n].resident_bytes for n in after if n.startswith(kind))
        own = resident - (empty.resident_bytes if kind == "broker" else 0)
        print(
            f"  {kind:<12} {resident / 1e6:8.0f} MB resident, {own / count / 1e3:8.0f} kB an instance; "
            f""
            f"idle {used / seconds * 100:6.1f} % of a core, "
            f"{used / seconds / count * 1e6:6.0f} us/s an instance",
            flush=True,
        )


def tell_broker(node: PrivateNode, place: Path, pids: dict[str, int], count: int) -> None:
    """What the broker holds: files, queues, channels, and the bytes of a log on the disk."""
    files = len(list(Path(f"/proc/{pids['broker']}/fd").iterdir()))
    queues = len(node.ctl("-q", "list_queues", "name").splitlines())
    channels = sum(map(int, node.ctl("-q", "list_connections", "channels").split()[1:]))
    data = sum(f.stat().st_blocks * 512 for f in (place / "broker").rglob("*") if f.is_file())
    print(
        f"  broker: {files / count:.1f} open files, {queues / count:.1f} queues and streams, "
        f"{channels / count:.1f} channels, {data / count / 1e3:.0f} kB on the disk an instance"
    )


def main() -> None:
    """Measure each number of instances that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("instances", nargs="*", type=int, default=[100, 1_000])
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--group", type=int, default=200)
    parser.add_argument("--idle", type=float, default=15.0)
    wanted = parser.parse_args()
    for count in wanted.instances:
        measure(count, wanted)


if __name__ == "__main__":
    main()
