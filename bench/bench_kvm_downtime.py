"""How long guests of several sizes that keep writing memory stand still when they migrate, beside bare QMP.

    python bench/bench_kvm_downtime.py [ROUNDS] [--sizes MIB MIB ...]

As `bench_kvm_state.py`, with guests that hold data in half their memory and rewrite 4 MiB of it some ten
times a second; each size has a stack and bare QEMUs of its own.
"""

import argparse
import os
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench_kvm_state import PATIENCE_S, Bare, Host, Notes, Whole, boot, linux
from bench_qemu import KERNEL, MIB, Guest
from bus.ports import BusError
from figures import interleaved
from stack.console import Console
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu

SIZES_MIB = (128, 256, 512)
READY = "writes"


def load(mib: int) -> str:
    """What the guest's shell is told: fill half of memory, then write some of it again and again."""
    held, write = mib // 2, "dd if=/dev/urandom of=/held conv=notrunc bs=65536 2>/dev/null"
    return f"{write} count={held * 16}; echo {READY}$((1)); while sleep 0.1; do {write} count=64; done &"


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="downtimes of guests of several sizes that write memory")
    parser.add_argument("rounds", type=int, nargs="?", default=20, help="how often each migrates")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES_MIB, help="of the guests, in MiB")
    asked = parser.parse_args()
    if not KERNEL.exists():
        raise SystemExit(f"{KERNEL} is missing: make setup builds it")
    try:
        qemu = find_qemu()
    except QemuMissingError as error:
        raise SystemExit(f"not measured: {error}") from error
    accelerator = choose_accelerator(qemu)
    print(f"QEMU by {accelerator}")
    for mib in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="xb") as name:
            try:
                measure(Path(name), qemu, accelerator, (mib, asked.rounds))
            except BusError as error:
                raise SystemExit(str(error)) from error


def measure(directory: Path, qemu: str, accelerator: Accelerator, wanted: tuple[int, int]) -> None:
    """Guests of one size, so many times."""
    mib, rounds = wanted
    ours, bares = Notes(directory / "ours", qemu), Notes(directory / "bare", qemu)
    for notes in (ours, bares):
        notes.make()
    shape = Shape({WORKER_KVM: QEMU_INSTANCE}, Network.USER, accelerator)
    told = {"PATH": f"{ours.directory}:{os.environ['PATH']}"}
    with ExitStack() as opened:
        hosts = []
        for place in (directory / "a", directory / "b"):
            stack = opened.enter_context(LocalStack(Layout(place), shape, environment=told))
            hosts.append(Host(Layout(place), opened.enter_context(stack.client(QEMU_INSTANCE))))
        whole_guest = sized(linux(str(uuid.uuid4()), directory), mib)
        whole = Whole((hosts[0], hosts[1]), ours, whole_guest, directory / "image")
        bare = Bare(bares, accelerator, sized(linux("bare", directory), mib), directory)
        opened.callback(bare.close)
        for each in (whole, bare):
            boot(each.console, each.unpause, directory / "transcript")
            write(each.console, mib, directory / "transcript")
        interleaved(rounds, (bare.migrate, bare.stood.note), (whole.migrate, whole.stood.note))
    bare.stood.tell(f"peer: downtime of the bare QEMU, {mib} MiB")
    whole.stood.tell(f"downtime of VM.migrate, {mib} MiB", bare.stood)


def sized(guest: Guest, mib: int) -> Guest:
    """The same with so much memory."""
    fields = ("memory_static_max", "memory_dynamic_max", "memory_dynamic_min")
    return replace(guest, vm=guest.vm.model_copy(update=dict.fromkeys(fields, mib * MIB)))


def write(console: str, mib: int, transcript: Path) -> None:
    """Let a guest write, and wait until it holds what it shall."""
    with Console(console, transcript) as lines:
        lines.say(load(mib))
        next(line for line in lines.lines(PATIENCE_S) if f"{READY}1" in line)


if __name__ == "__main__":
    main()
