"""Migration on the simulator, within one host: of a small VM, beside a suspend and a resume; of a large one.

    python bench/bench_migration.py [ROUNDS] [MEMORY_MIB]

Each is timed from the request to the task's end as the client learns of it. The peer of a large one is a
process that sends as much to another over a Unix socket; ours goes by a frontend, which joins both ends.
"""

import multiprocessing
import socket
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from engine.conformance.samples import sample_vm
from figures import Figures, interleaved, tell, timed
from schema.objects.disk import LocalDisk
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE
from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.events import wait_for_task

IMAGE = LocalDisk(path="/simulated/image")
PIECE_BYTES = 1 << 18
PATIENCE_S = 120.0
VM = "vm"


def main() -> None:
    """Print one line a figure."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    memory_mib = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    measure_small(rounds)
    measure_memory(max(3, rounds // 10), memory_mib)


def measure_small(rounds: int) -> None:
    """A VM of which little must be moved."""
    with tempfile.TemporaryDirectory(prefix="xb") as directory:
        layout = Layout(Path(directory) / "stack")
        with LocalStack(layout) as stack, stack.client(SIMULATOR_INSTANCE) as client:
            begin(client)
            rested, migrated = interleaved(rounds, lambda: rest(client), lambda: migrate(client, layout))
    tell("a VM of 64 KiB: suspend and resume", rested)
    tell("the same: migrate within its host", migrated, rested)


def measure_memory(rounds: int, memory_mib: int) -> None:
    """A VM of which much must be moved."""
    memory = {"XENOPS_SIM_MEMORY_KIB": str(memory_mib << 10)}
    bare = Figures.of([timed(lambda: copy(memory_mib)) for _ in range(rounds)])
    with tempfile.TemporaryDirectory(prefix="xb") as directory:
        layout = Layout(Path(directory) / "stack")
        with LocalStack(layout, environment=memory) as stack, stack.client(SIMULATOR_INSTANCE) as client:
            begin(client)
            moved = Figures.of([timed(lambda: migrate(client, layout)) for _ in range(rounds)])
    for label, figures in (("peer: a socket between two processes", bare), ("migrate a VM as large", moved)):
        print(f"{label:<44} {memory_mib / figures.p50_ms * 1e3:12.0f} MiB/s of {memory_mib} MiB", flush=True)


def begin(client: Client) -> None:
    """A VM that runs."""
    client.vm.add(sample_vm(VM))
    for operate in (client.vm.start, client.vm.unpause):
        wait_for_task(client, operate(VM), PATIENCE_S)


def rest(client: Client) -> None:
    """Suspend it, resume it, let it run."""
    for task in (client.vm.suspend(VM, IMAGE), client.vm.resume(VM, IMAGE), client.vm.unpause(VM)):
        wait_for_task(client, task, PATIENCE_S)


def migrate(client: Client, layout: Layout) -> None:
    """Move it to where it is."""
    destination = Destination(f"unix://{layout.door}", localhost=True)
    wait_for_task(client, client.vm.migrate(VM, destination), PATIENCE_S)


def copy(memory_mib: int) -> None:
    """Send as much to another process, and hear that it is there."""
    here, there = multiprocessing.Pipe()
    left, right = socket.socketpair()
    receiver = multiprocessing.Process(target=receive, args=(right, there, memory_mib << 20))
    receiver.start()
    right.close()
    here.recv()
    piece = bytes(PIECE_BYTES)
    with left:
        for _ in range((memory_mib << 20) // PIECE_BYTES):
            left.sendall(piece)
        here.recv()
    receiver.join()


def receive(connected: socket.socket, told: Connection, count: int) -> None:
    """The other process."""
    told.send(time.time())
    with connected:
        while count:
            count -= len(connected.recv(PIECE_BYTES))
    told.send(time.time())


if __name__ == "__main__":
    main()
