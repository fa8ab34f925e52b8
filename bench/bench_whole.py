"""The whole: client, broker and all services on the simulator as processes, beside bare pika on that broker.

    python bench/bench_whole.py [ONE_AT_A_TIME] [IN_PARALLEL] [WIDTH] [DISKS] [--state DIRECTORY]

The worker's state is where production has it, on a tmpfs, unless told otherwise; the broker's is on the disk.
An operation is timed from its request to the Task.stat that says Completed, waited for by UPDATES.get; over
AMQP, and through the switch by what the original's client sends for each call.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bare import peers
from bare_pipeline import Starter, pipeline
from bus.rabbit import RabbitBus
from engine.conformance.samples import sample_vbd, sample_vm
from figures import Figures, interleaved, tell, tell_rate
from fleet import Caller, Campaign
from meter import tell_processor, usage
from schema.ids import DeviceId
from schema.objects.dynamic import TaskObject
from schema.objects.task import Completed
from schema.objects.vif import Vif
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE
from switch_caller import SwitchCaller
from xenops.client import Client
from xenops.events import wait_for_task

READS = 1_000
TMPFS = "/dev/shm"  # noqa: S108  a directory of our own is made in it
GET_TIMEOUT_S = 30
PATIENCE_S = 60.0


def main() -> None:
    """Print one line a figure."""
    asked = arguments()
    with (
        tempfile.TemporaryDirectory(prefix="xb") as directory,
        tempfile.TemporaryDirectory(prefix="xb", dir=asked.state) as state,
        LocalStack(layout := Layout(Path(directory) / "s"), environment={"XENOPS_STATE_DIR": state}) as stack,
        stack.client(SIMULATOR_INSTANCE) as client,
        Client(SwitchCaller(layout.switch, "bench"), SIMULATOR_INSTANCE) as at_the_switch,
        peers(stack.administrator_url) as (echo, log),
    ):
        vms = add_vms(client, 2 * asked.alone + asked.parallel, asked.disks)
        client.vm.stat(vms[0])
        bare_read, bare_append, read = interleaved(
            READS,
            lambda: echo.call(b"x" * 300),
            lambda: log.append(b"x" * 300),
            lambda: client.vm.stat(vms[0]),
        )
        tell("peer: bare pika, publish, consume, reply", bare_read)
        tell("peer: bare pika, append and confirm", bare_append)
        tell("a read (VM.stat)", read, bare_read)
        with pipeline(stack.administrator_url):
            bare_alone = Starter(stack.administrator_url, asked.alone, 1)
            bare_many = Starter(stack.administrator_url, asked.parallel, asked.width)
        floor = Figures.of(bare_alone.times_s)
        tell("peer: bare pipeline, one at a time", floor)
        tell_alone("one at a time", client, vms[: asked.alone], floor)
        tell_alone("through the switch", at_the_switch, vms[: asked.alone], floor)
        waited = Figures.of([start_and_wait(client, vm) for vm in vms[asked.alone : 2 * asked.alone]])
        tell("VM.start, by the client's wait_for_task", waited, floor)
        bare_rate = asked.parallel / bare_many.seconds
        tell_rate(f"peer: bare pipeline, {asked.width} in parallel", bare_rate)
        tell("  each of them", Figures.of(bare_many.times_s))
        before = usage(stack)
        campaign, seconds = start_many(stack.administrator_url, client, vms[2 * asked.alone :], asked.width)
        tell_processor(before, usage(stack), asked.parallel)
    tell_rate(f"VM.start to done, {asked.width} in parallel", asked.parallel / seconds, bare_rate)
    tell("  each of them", Figures.of(campaign.times_s))
    print(f"  {campaign.caller.calls / asked.parallel:.1f} calls for each")


def arguments() -> argparse.Namespace:
    """The sizes."""
    parser = argparse.ArgumentParser(description="VM.start through the whole, on the simulator")
    parser.add_argument("alone", type=int, nargs="?", default=300, help="VMs started one at a time")
    parser.add_argument("parallel", type=int, nargs="?", default=1_500, help="VMs started in parallel")
    parser.add_argument("width", type=int, nargs="?", default=50, help="how many at a time")
    parser.add_argument("disks", type=int, nargs="?", default=1, help="disks of each VM")
    parser.add_argument("--state", default=None, help="where the worker keeps its state")
    asked = parser.parse_args()
    if asked.state is None and os.access(TMPFS, os.W_OK):
        asked.state = TMPFS
    return asked


def add_vms(client: Client, count: int, disks: int) -> list[str]:
    """Make VMs known, each with disks and an interface."""
    names = [f"vm-{number}" for number in range(count)]
    for name in names:
        client.vm.add(sample_vm(name))
        for disk in range(disks):
            client.vbd.add(sample_vbd(f"xvd{chr(ord('a') + disk)}", name))
        client.vif.add(Vif(id=DeviceId(name, "0")))
    return names


def tell_alone(way: str, client: Client, vms: list[str], floor: Figures) -> None:
    """A VM's life in four operations, each of them on one VM at a time."""
    for verb in ("start", "unpause", "pause", "shutdown"):
        operate = getattr(client.vm, verb)
        alone = Figures.of([until_done(client, operate, vm) for vm in vms])
        tell(f"VM.{verb} to done, {way}", alone, floor)


def until_done(client: Client, operate: Callable[[str], str], vm: str) -> float:
    """Do one and wait, with a token at hand as a client that watches has; answers the seconds."""
    token = client.updates.last_id()
    begun = time.perf_counter()
    ours = TaskObject(id=operate(vm))
    while True:
        _, objects, token = client.updates.get(token, GET_TIMEOUT_S)
        if ours in objects and isinstance(client.task.stat(ours.id).state, Completed):
            return time.perf_counter() - begun


def start_and_wait(client: Client, vm: str) -> float:
    """Start one and wait as the client library does; answers the seconds."""
    begun = time.perf_counter()
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    return time.perf_counter() - begun


def start_many(url: str, client: Client, vms: list[str], width: int) -> tuple[Campaign, float]:
    """Start many at a time; answers the seconds, too."""
    bus = RabbitBus(url, "bench")
    campaign = Campaign(Caller(bus, SIMULATOR_INSTANCE), vms)
    campaign.caller.token = client.updates.last_id()
    bus.ready(PATIENCE_S)
    seconds = campaign.run(bus, width)
    bus.close()
    return campaign, seconds


if __name__ == "__main__":
    main()
