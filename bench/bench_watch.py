"""The toolstack's watcher: from a change to the record that says so, with many VMs; and one slow VM beside.

    python bench/bench_watch.py [VMS] [CHANGES]

A change is a VM.pause or VM.unpause, timed from its request. Its peer is a bare client that loops on
UPDATES.get and is told of the VM. Then looking at one VM takes a second each time, as a slow database or
storage may, while that VM changes all the time: the others are timed with our workers, and with one worker,
which is how xapi looks at changes.
"""

import argparse
import secrets
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus.ports import BusError
from figures import Figures, tell
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.metadata import Metadata
from schema.wire.codec import encode_text
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE
from typing_extensions import override
from xenops import Client, wait_for_task
from xenops.toolstack import Applier, MemoryDatabase, Site, Source, Watcher, metadata_of
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, vbd_ref, vif_ref, vm_ref
from xenops.toolstack.watch.workers import WORKERS_MAX

SLOW_S = 1.0
PATIENCE_S = 120.0
STARTERS = 16
SLOW = 0
"""The number of the VM that is slow to look at."""


class Ledger(MemoryDatabase):
    """Records in memory that note when a VM's power state was written; one VM's takes its time."""

    def __init__(self) -> None:
        super().__init__(sample_pool())
        self.written = threading.Condition()
        self.times: dict[str, tuple[str, float]] = {}
        self.is_slow = False

    @override
    def update(self, klass: str, ref: str, changes: Mapping[str, Any]) -> None:
        if self.is_slow and ref == vm_ref(SLOW):
            time.sleep(SLOW_S)
        super().update(klass, ref, changes)
        if "power_state" in changes:
            with self.written:
                self.times[ref] = changes["power_state"], time.perf_counter()
                self.written.notify_all()

    def await_all(self) -> None:
        """Wait until every VM's power state has been written."""
        with self.written:
            assert self.written.wait_for(lambda: len(self.times) == len(tuple(self.refs("VM"))), PATIENCE_S)

    def when(self, ref: str, state: str) -> float:
        """The moment from which a VM's record has had a power state."""
        with self.written:
            assert self.written.wait_for(lambda: self.times.get(ref, ("", 0))[0] == state, PATIENCE_S), ref
            return self.times[ref][1]


class BareListener:
    """The peer: a client that does nothing but to be told."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told = threading.Condition()
        self._times: dict[ObjectId, float] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        token = self._client.updates.last_id()
        while True:
            try:
                _, objects, token = self._client.updates.get(token, 30)
            except BusError:  # the stack is down: there is nothing more to be told
                return
            with self._told:
                self._times |= dict.fromkeys(objects, time.perf_counter())
                self._told.notify_all()

    def when(self, changed: ObjectId, since: float) -> float:
        """The moment at which it was told of an object after `since`."""
        with self._told:
            assert self._told.wait_for(lambda: self._times.get(changed, 0.0) > since, PATIENCE_S), changed
            return self._times[changed]


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description="from a change to the record that says so")
    parser.add_argument("vms", type=int, nargs="?", default=1_000)
    parser.add_argument("changes", type=int, nargs="?", default=500)
    asked = parser.parse_args()
    ledger = Ledger()
    with (
        tempfile.TemporaryDirectory(prefix="xw") as directory,
        LocalStack(Layout(Path(directory) / "stack")) as stack,
        stack.client(SIMULATOR_INSTANCE) as client,
        stack.client(SIMULATOR_INSTANCE) as other,
    ):
        start_all(client, ledger, asked.vms)
        bare = BareListener(other)
        with watching(client, ledger, WORKERS_MAX):
            tell_changes(client, ledger, bare, asked)
        for workers in (WORKERS_MAX, 1):
            with watching(client, ledger, workers), slow_vm(client, ledger):
                times = [change(client, ledger, number) for number in sample(asked.vms, asked.changes // 20)]
                tell(f"  beside a VM of {SLOW_S:g} s a look, {workers} workers", Figures.of(times))


def tell_changes(client: Client, ledger: Ledger, bare: BareListener, asked: argparse.Namespace) -> None:
    """Change VMs one at a time: when is a bare client told, when is the record written."""
    told, written = [], []
    for number in sample(asked.vms, asked.changes):
        begun = time.perf_counter()
        written.append(change(client, ledger, number))
        uuid_ = str(ledger.fields("VM", vm_ref(number))["uuid"])
        told.append(bare.when(VmObject(id=uuid_), begun) - begun)
    peer = Figures.of(told)
    tell(f"peer: change to told, bare, {asked.vms} VMs", peer)
    tell("change to record", Figures.of(written), peer)


def sample(vms: int, count: int) -> Iterator[int]:
    """Numbers of VMs but the slow one."""
    return (1 + secrets.randbelow(vms - 1) for _ in range(count))


def start_all(client: Client, ledger: Ledger, vms: int) -> None:
    """Start VMs, with a disk, a drive and an interface each; they are resident here."""

    def start(number: int) -> None:
        source = Source(ledger, Site(host=HOST))
        client.vm.import_metadata(encode_text(Metadata, metadata_of(source, vm_ref(number))))
        vm = str(ledger.fields("VM", vm_ref(number))["uuid"])
        wait_for_task(client, client.vm.start(vm), PATIENCE_S)

    for number in range(vms):
        ledger.add(sample_vm(number, uuid=str(uuid.uuid4()), resident_on=HOST))
        for klass, ref in (("VBD", vbd_ref(number)), ("VBD", cd_ref(number)), ("VIF", vif_ref(number))):
            ledger.update(klass, ref, {"currently_attached": True})
    with ThreadPoolExecutor(STARTERS) as starters:
        list(starters.map(start, range(vms)))


@contextmanager
def watching(client: Client, ledger: Ledger, workers: int) -> Iterator[None]:
    """Watch from everything there is, and go on once all of it is written."""
    begun = time.perf_counter()
    ledger.times.clear()
    with Watcher(client, Applier(client, Source(ledger, Site(host=HOST))), workers_max=workers):
        ledger.await_all()
        vms = len(tuple(ledger.refs("VM")))
        print(f"  {vms} VMs looked at from nothing in {time.perf_counter() - begun:.1f} s")
        yield


@contextmanager
def slow_vm(client: Client, ledger: Ledger) -> Iterator[None]:
    """One VM changes all the time, and looking at it takes its time."""
    ended = threading.Event()
    vm = str(ledger.fields("VM", vm_ref(SLOW))["uuid"])

    def toggle() -> None:
        while not ended.is_set():
            for operate in (client.vm.unpause, client.vm.pause):
                wait_for_task(client, operate(vm), PATIENCE_S)

    ledger.is_slow = True
    thread = threading.Thread(target=toggle)
    thread.start()
    yield
    ended.set()
    thread.join()
    ledger.is_slow = False


def change(client: Client, ledger: Ledger, number: int) -> float:
    """Pause or unpause one; answers the seconds until its record says so."""
    fields = ledger.fields("VM", vm_ref(number))
    to, operate = (
        ("Running", client.vm.unpause) if fields["power_state"] == "Paused" else ("Paused", client.vm.pause)
    )
    begun = time.perf_counter()
    task = operate(str(fields["uuid"]))
    seconds = ledger.when(vm_ref(number), to) - begun
    wait_for_task(client, task, PATIENCE_S)
    return seconds


if __name__ == "__main__":
    main()
