"""A worker with many VMs on QEMU: what it uses while nothing happens, and how soon it tells of one.

    python bench/bench_kvm.py [VMS] [IDLE_S] [READS]

The VMs have 14 MiB and nothing to boot, and stay paused. What each QEMU uses by itself is its own: the
worker's processor time is that of its process alone. The peers of VM.stat are a bare round trip through the
same broker, and QMP's `query-status` of a bare QEMU, which a worker that kept nothing would have to ask.
"""

import argparse
import tempfile
import time
from itertools import cycle
from pathlib import Path

from bare import peers
from bare_qemu import BareQemu, words_of
from bench_qemu import MIB, domain_of, guest
from bus.ports import BusError
from engine.conformance.samples import sample_vm
from figures import interleaved, tell
from meter import usage_alone
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from worker_kvm.accelerator import Accelerator, QemuMissingError, choose_accelerator, find_qemu
from xenops.client import Client
from xenops.events import wait_for_task

PATIENCE_S = 60.0
QUIET_S = 5.0
"""Between the last start and the first look at the processor: what the starts have set off has settled."""


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="a worker with many VMs on QEMU")
    parser.add_argument("vms", type=int, nargs="?", default=100, help="how many VMs there are")
    parser.add_argument(
        "idle", type=float, nargs="?", default=60.0, help="how long nothing happens, in seconds"
    )
    parser.add_argument("reads", type=int, nargs="?", default=1_000, help="how often VM.stat is called")
    asked = parser.parse_args()
    try:
        qemu = find_qemu()
    except QemuMissingError as error:
        raise SystemExit(f"not measured: {error}") from error
    accelerator = choose_accelerator(qemu)
    print(f"QEMU by {accelerator}")
    shape = Shape({WORKER_KVM: QEMU_INSTANCE}, Network.USER, accelerator)
    with tempfile.TemporaryDirectory(prefix="xb") as name:
        layout = Layout(Path(name) / "s")
        try:
            with LocalStack(layout, shape) as stack, stack.client(QEMU_INSTANCE) as client:
                vms = [started(client, number) for number in range(asked.vms)]
                measure_idle(stack, asked.idle, asked.vms)
                measure_reads(stack, client, vms, asked.reads)
                measure_bare(Path(name), qemu, accelerator, asked.reads)
        except BusError as error:
            raise SystemExit(str(error)) from error


def started(client: Client, number: int) -> str:
    """A VM that is paused."""
    size = 14 * MIB
    memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
    vm = client.vm.add(sample_vm(f"vm-{number}", vcpus=1, vcpu_max=1, **memory))
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    return vm


def measure_idle(stack: LocalStack, seconds: float, vms: int) -> None:
    """What the worker's process uses while nobody asks for anything."""
    pid = stack.status()[WORKER_KVM]
    assert pid is not None
    time.sleep(QUIET_S)
    before, begun = usage_alone(pid), time.monotonic()
    time.sleep(seconds)
    after, taken_s = usage_alone(pid), time.monotonic() - begun
    share = (after.processor_s - before.processor_s) / taken_s
    label = f"an idle worker with {vms} VMs"
    print(
        f"{label:<44} {share:8.2%} of a core in {taken_s:.0f} s, {after.resident_bytes / MIB:.0f} MiB",
        flush=True,
    )


def measure_reads(stack: LocalStack, client: Client, vms: list[str], count: int) -> None:
    """VM.stat of one VM after the other, beside a bare round trip."""
    turns = cycle(vms)
    with peers(stack.administrator_url) as (echo, _):
        bare, read = interleaved(count, lambda: echo.call(b"x" * 300), lambda: client.vm.stat(next(turns)))
    tell("peer: bare pika, publish, consume, reply", bare)
    tell(f"VM.stat through the whole, of {len(vms)} VMs", read, bare)


def measure_bare(directory: Path, qemu: str, accelerator: Accelerator, count: int) -> None:
    """What QEMU itself takes to tell, without any bus."""
    words = words_of(domain_of(guest("bare", directory)), accelerator, directory / "bare")
    bare = BareQemu(qemu, directory / "qmp", words)
    try:
        (asked,) = interleaved(count, lambda: bare.do("query-status"))
    finally:
        bare.end()
    tell("bare QMP, query-status, without a bus", asked)


if __name__ == "__main__":
    main()
