"""A miniature toolstack: VMs as XenAPI's records, started, cancelled, suspended and resumed, several at once.

    .venv/bin/python examples/miniature_toolstack.py [--vms N]

It brings a stack of its own, in memory, with the simulator. With XENOPS_BROKER and XENOPS_INSTANCE, as `make
up` prints them, or with --broker and --instance, it uses that one.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, BusKind, Shape
from typing_extensions import override
from xenops import Client, XenopsError, connect
from xenops.toolstack import MemoryDatabase, Site, Toolstack, XenApiTask, sync_with_task
from xenops.toolstack.samples import HOST, sample_pool, sample_vm, suspend_ref, vm_ref

NAME = "miniature"
"""What the service calls us in its tasks."""

LONG_S = 600.0
"""How long the operation would take that is cancelled."""

TOLD = ("power_state", "domid", "resident_on", "currently_attached", "status", "progress")
"""Fields whose changes are worth a line."""


class Log:
    """Lines with the time since the beginning."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """One line."""
        with self._lock, suppress(BrokenPipeError):  # whoever read, as `head`, has seen enough
            print(f"{time.monotonic() - self._begun:7.3f} s  {line}", flush=True)


class ToldDatabase(MemoryDatabase):
    """Records in memory; what changes in them is said."""

    def __init__(self, log: Log) -> None:
        super().__init__(sample_pool())
        self._log = log

    @override
    def update(self, klass: str, ref: str, changes: Mapping[str, Any]) -> None:
        before = self.fields(klass, ref)
        super().update(klass, ref, changes)
        for field in TOLD:
            if field in changes and changes[field] != before.get(field):
                name = before.get("name_label") or ref
                self._log.say(f"  {klass} {name}: {field} {before.get(field)} -> {_shown(changes[field])}")


def _shown(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, float) else str(value)


class Miniature:
    """A few VMs, and what is done with them."""

    def __init__(self, client: Client, vms: int) -> None:
        self._client = client
        self._log = Log()
        self._numbers = range(1, vms + 1)
        self._database = ToldDatabase(self._log)
        run = int(time.time()) % 1_000_000
        for number in self._numbers:
            uuid = f"a1000000-0000-4000-8000-{run:06d}{number:06d}"
            self._database.add(sample_vm(number, uuid=uuid))
        self._toolstack = Toolstack(client, self._database, Site(host=HOST))

    def play(self) -> None:
        """The whole story."""
        with self._toolstack as toolstack:
            left = toolstack.clean_up_orphans(NAME)
            self._log.say(f"{len(left)} tasks of an earlier run are cleaned up")
            self._at_once("VM.start", lambda number, task: toolstack.start(vm_ref(number), task=task))
            self._cancel_one()
            self._at_once(
                "VM.suspend",
                lambda number, task: toolstack.suspend(vm_ref(number), suspend_ref(number), task=task),
            )
            self._at_once("VM.resume", lambda number, task: toolstack.resume(vm_ref(number), task=task))
            self._at_once(
                "VM.clean_reboot", lambda number, task: toolstack.reboot(vm_ref(number), 30.0, task=task)
            )
            self._at_once(
                "VM.hard_shutdown", lambda number, task: toolstack.shutdown(vm_ref(number), task=task)
            )
        for number in self._numbers:
            vm = self._database.fields("VM", vm_ref(number))
            self._log.say(f"{vm['name_label']} is {vm['power_state']}, its domid {vm['domid']}")

    def _at_once(self, name: str, operate: Callable[[int, XenApiTask], None]) -> None:
        """One operation on all VMs at a time, each with a task that its user could watch."""
        self._log.say(f"{name} of {len(self._numbers)} VMs at once")

        def one(number: int) -> None:
            operate(number, XenApiTask(self._database, f"{name} of guest {number}"))

        with ThreadPoolExecutor(len(self._numbers)) as callers:
            list(callers.map(one, self._numbers))

    def _cancel_one(self) -> None:
        """A long operation, by the library's lower half, whose user changes his mind."""
        uuid = str(self._database.fields("VM", vm_ref(1))["uuid"])
        self._log.say(f"a delay of {LONG_S:g} s for guest 1, cancelled as soon as it runs")
        task = XenApiTask(self._database, "delay of guest 1")
        task.cancel()
        try:
            sync_with_task(self._toolstack.watcher, task, self._client.vm.delay(uuid, LONG_S))
        except XenopsError as error:
            self._log.say(f"it has ended with {error.error.kind}")


@contextmanager
def instance(broker: str | None, name: str | None) -> Iterator[Client]:
    """A client of the instance that was named, or of a stack of our own."""
    if broker:
        with connect(broker, name or SIMULATOR_INSTANCE, dbg=NAME) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="xm") as directory,
        LocalStack(Layout(Path(directory) / "s"), Shape(bus=BusKind.MEMORY)) as stack,
        stack.client(SIMULATOR_INSTANCE) as client,
    ):
        yield client


def main(argv: Sequence[str] | None = None) -> int:
    """Play it; answers the exit code."""
    parser = argparse.ArgumentParser(description="VMs by XenAPI's records, several at once")
    parser.add_argument("--vms", type=int, default=3, help="how many VMs (default 3)")
    parser.add_argument("--broker", default=os.environ.get("XENOPS_BROKER"), help="of a stack that runs")
    parser.add_argument("--instance", default=os.environ.get("XENOPS_INSTANCE"), help="of that stack")
    asked = parser.parse_args(argv)
    with instance(asked.broker, asked.instance) as client:
        Miniature(client, asked.vms).play()
    return 0


if __name__ == "__main__":
    sys.exit(main())
