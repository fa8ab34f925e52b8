"""The metadata store: in files, and in a xenstore behind the C daemon and the OCaml one, in turn in one run.

    python bench/bench_store.py [VMS] [ROUNDS] [STARTS]

Files are where production has them, on a tmpfs. A VM has two disks and an interface; the ratio is to files.
VM.start is timed from its request to the Task.stat that says Completed, through a whole stack for each store.
"""

import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from engine.conformance.samples import sample_vbd, sample_vm
from engine.store import Store, XenstorePlace, open_store
from figures import Action, interleaved, tell
from schema.ids import DeviceId
from schema.objects.vif import Vif
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape, StoreKind
from stack.xenstored import PrivateXenstored
from xenops.client import Client
from xenops.events import wait_for_task

TMPFS = "/dev/shm"  # noqa: S108  a directory of our own is made in it
LISTS = 5
PATIENCE_S = 60.0

Place = Path | XenstorePlace


def main() -> None:
    """Print one line a figure."""
    vms, rounds, starts = (
        int(sys.argv[place]) if len(sys.argv) > place else usual
        for place, usual in ((1, 1_000), (2, 1_000), (3, 100))
    )
    with ExitStack() as stack:
        places = {kind: place_for(kind, stack) for kind in StoreKind}
        measure_stores(places, vms, rounds)
    with ExitStack() as stack:
        measure_starts({kind: client_for(kind, stack) for kind in StoreKind}, starts)


def place_for(kind: StoreKind, stack: ExitStack) -> Place:
    """Somewhere to keep metadata in; it ends with the stack."""
    if kind is StoreKind.FILES:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xb", dir=tmpfs())))
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xb")))
    return XenstorePlace(stack.enter_context(PrivateXenstored(directory, kind)).socket, "/xenops/bench")


def tmpfs() -> str | None:
    """Where files are not on a disk, if there is such a place."""
    return TMPFS if Path(TMPFS).is_dir() else None


def measure_stores(places: dict[StoreKind, Place], vms: int, rounds: int) -> None:
    """Each action on each store."""
    stores = {kind: open_store(place) for kind, place in places.items()}
    for store in stores.values():
        for number in range(vms):
            fill(store, f"v{number}")
    versions = itertools.cycle((sample_vm("v0"), sample_vm("v0", name="another name")))
    compare("write a VM", rounds, stores, lambda store: store.write(next(versions)))
    long = itertools.cycle(sample_vm("v0", name=letter * 10_000) for letter in "ab")
    compare("write a VM of 10 kB", rounds, stores, lambda store: store.write(next(long)))
    settle(stores)
    compare("write a VM that is so already", rounds, stores, lambda store: store.write(sample_vm("v0")))
    compare("read a VM", rounds, stores, lambda store: store.read("v0"))
    compare("read all devices of a VM", rounds, stores, lambda store: store.devices("v0"))
    compare(f"list {vms} VMs, known", LISTS, stores, lambda store: store.list())
    compare_actions(
        f"list {vms} VMs, anew", LISTS, {kind: partial(list_anew, place) for kind, place in places.items()}
    )


def list_anew(place: Place) -> None:
    """As a process does that has just begun."""
    open_store(place).list()


def fill(store: Store, vm: str) -> None:
    """A VM with its devices."""
    store.write(sample_vm(vm))
    store.vbds.write(sample_vbd("xvda", vm))
    store.vbds.write(sample_vbd("xvdb", vm))
    store.vifs.write(Vif(id=DeviceId(vm, "0")))


def settle(stores: dict[StoreKind, Store]) -> None:
    """All have the same first VM."""
    for store in stores.values():
        store.write(sample_vm("v0"))


def compare(label: str, rounds: int, stores: dict[StoreKind, Store], act: Callable[[Store], object]) -> None:
    """One action on each store, in turn."""
    compare_actions(label, rounds, {kind: partial(act, store) for kind, store in stores.items()})


def compare_actions(label: str, rounds: int, actions: Mapping[StoreKind, Action]) -> None:
    """The same, whatever it is done on."""
    found = interleaved(rounds, *actions.values())
    for kind, figures in zip(actions, found, strict=True):
        tell(f"{kind}: {label}", figures, found[0] if kind is not StoreKind.FILES else None)


def client_for(kind: StoreKind, stack: ExitStack) -> Client:
    """A client of a whole stack with metadata there."""
    directory = Path(tempfile.mkdtemp(prefix="xb"))
    stack.callback(shutil.rmtree, directory)
    state = stack.enter_context(tempfile.TemporaryDirectory(prefix="xb", dir=tmpfs()))
    layout, shape = Layout(directory / "stack"), Shape(store=kind)
    local = stack.enter_context(LocalStack(layout, shape, environment={"XENOPS_STATE_DIR": state}))
    return stack.enter_context(local.client(SIMULATOR_INSTANCE))


def measure_starts(clients: dict[StoreKind, Client], starts: int) -> None:
    """VM.start of a VM with its devices, each VM once."""
    for client in clients.values():
        for number in range(starts):
            client.vm.add(sample_vm(f"v{number}"))
            for device in ("xvda", "xvdb"):
                client.vbd.add(sample_vbd(device, f"v{number}"))
            client.vif.add(Vif(id=DeviceId(f"v{number}", "0")))
    actions = {kind: partial(start_next, client, itertools.count()) for kind, client in clients.items()}
    compare_actions("VM.start to done", starts, actions)


def start_next(client: Client, turns: Iterator[int]) -> None:
    """Start a VM that was not started yet, and wait until it is."""
    wait_for_task(client, client.vm.start(f"v{next(turns)}"), PATIENCE_S)


if __name__ == "__main__":
    main()
