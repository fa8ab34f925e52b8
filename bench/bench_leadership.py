"""How soon leadership passes: kill -9 of the leading redirector, until the next one's lease can be read.

    python bench/bench_leadership.py [ROUNDS]

Real processes on a private RabbitMQ. The peer: how soon an exclusive queue of a killed client is free.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pika
from bus.ports import BEGINNING, Entry
from bus.rabbit import RabbitBus
from figures import Figures, tell
from schema.ids import InstanceName, Term, VmId, WorkerName
from schema.operations import VmStart
from schema.records import Elected, Leased, Submitted, WorkerUp
from stack.broker.node import PrivateNode

INSTANCE = InstanceName("bench")
PATIENCE_S = 60.0
HOLDER = """
import pika, sys
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.queue_declare("held", exclusive=True)
print("held", flush=True)
channel.connection.process_data_events(time_limit=3600)
"""


class Log:
    """Who leads and what is leased, as it is read."""

    def __init__(self, bus: RabbitBus) -> None:
        self._changed = threading.Condition()
        self._terms = 0
        self._leased: Term | None = None
        bus.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)

    def _on_entry(self, entry: Entry) -> None:
        with self._changed:
            if isinstance(entry.record, Elected):
                self._terms += 1
                self._leased = None
            elif isinstance(entry.record, Leased):
                self._leased = entry.record.term
            self._changed.notify_all()

    def wait_for_lease(self, terms: int) -> None:
        """Until so many have been elected, and the last one has leased something."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._terms >= terms and self._leased is not None, PATIENCE_S
            )
            assert done, "nobody leads"


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="how soon leadership passes")
    parser.add_argument("rounds", type=int, nargs="?", default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, PrivateNode(Path(directory)) as node:
        peer = Figures.of([free_again(node.url) for _ in range(rounds)])
        tell("peer: an exclusive queue is free after kill -9", peer)
        tell("kill -9 of the leader to the next one's lease", Figures.of(pass_on(node.url, rounds)), peer)


def free_again(url: str) -> float:
    """From the death of a queue's holder to when somebody else has it."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    connection = pika.BlockingConnection(pika.URLParameters(url))
    holder.kill()
    begun = time.perf_counter()
    while True:
        try:
            connection.channel().queue_declare("held", exclusive=True)
            break
        except pika.exceptions.ChannelClosedByBroker:
            continue
    taken_s = time.perf_counter() - begun
    connection.close()
    holder.wait()
    return taken_s


def pass_on(url: str, rounds: int) -> list[float]:
    """Each round's leader is killed while tasks wait and a standby reads along."""
    bus = RabbitBus(url, "bench", (INSTANCE,))
    bus.ready(PATIENCE_S)
    log = Log(bus)
    bus.append(INSTANCE, WorkerUp(worker=WorkerName("w"), epoch="1", capacity=1_000_000)).result(PATIENCE_S)
    leader = redirector(url)
    submit(bus, 0)
    log.wait_for_lease(1)
    times = []
    for number in range(1, rounds + 1):
        standby = redirector(url)
        time.sleep(3.0)  # it has started, read the log, and stands
        leader.kill()
        begun = time.perf_counter()
        submit(bus, number)
        log.wait_for_lease(number + 1)
        times.append(time.perf_counter() - begun)
        leader.wait()
        leader = standby
    leader.kill()
    leader.wait()
    bus.close()
    return times


def redirector(url: str) -> "subprocess.Popen[bytes]":
    """A process of its own."""
    environment = {**os.environ, "XENOPS_BROKER": url, "XENOPS_INSTANCE": INSTANCE}
    return subprocess.Popen([sys.executable, "-m", "redirector"], env=environment, stderr=subprocess.DEVNULL)


def submit(bus: RabbitBus, number: int) -> None:
    """A task of a VM that has none."""
    vm = VmId(f"vm{number}")
    submitted = Submitted(
        vm=vm, operation=VmStart(vm=vm), request_id=vm, dbg="bench", accept_by=time.time() + 3600
    )
    bus.append(INSTANCE, submitted).result(PATIENCE_S)


if __name__ == "__main__":
    main()
