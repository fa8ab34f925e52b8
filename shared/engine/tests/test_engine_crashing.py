from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bus.crash import CrashKind, CrashPoint, CrashPoints
from engine.backend import Execution
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm, sample_vusb
from engine.execute import Perform
from engine.store import FileStore, Store
from engine.worker.crashing import Crashing
from schema.atomics import Atomic
from schema.atomics.vm import VmPause
from schema.ids import DeviceId, VmId
from schema.objects.vif import Vif

PAUSE = VmPause(vm=VmId("v1"))


class Doomed:
    """An execution whose points are told instead of killing, one number of one kind at a time."""

    def __init__(self, kind: CrashKind, number: int) -> None:
        self.words: list[str] = []
        points = CrashPoints(CrashPoint("doomed", kind, number), self.words.append)
        self.crashing = Crashing(points, "doomed")


def perform(atomic: Atomic, _: Execution) -> Any:
    return atomic.kind


@pytest.mark.parametrize(("number", "when"), [(1, "before"), (2, "after")])
def test_each_step_is_between_two_points(number: int, when: str) -> None:
    doomed = Doomed(CrashKind.STEP, number)
    assert doomed.crashing.steps(perform)(PAUSE, SuiteExecution()) == "VM_pause"
    assert doomed.words == [f"crash point {number} of doomed: step: {when} VM_pause"]


def test_where_no_point_is_wanted_nothing_is_put_between(tmp_path: Path) -> None:
    crashing = Crashing(CrashPoints(), "spared")
    steps: Perform = perform
    store = FileStore(tmp_path)
    assert crashing.steps(steps) is steps
    assert crashing.store(store) is store


CHANGES: list[tuple[str, Callable[[Store], None]]] = [
    ("write v1", lambda store: store.write(sample_vm())),
    ("write v1/xvda", lambda store: store.vbds.write(sample_vbd())),
    ("write v1/0", lambda store: store.vifs.write(Vif(id=DeviceId("v1", "0"), position=0))),
    ("write v1/0000:04:00.0", lambda store: store.pcis.write(sample_pci())),
    ("write v1/vusb1-2", lambda store: store.vusbs.write(sample_vusb())),
    ("remove v1/xvda", lambda store: store.vbds.remove(DeviceId("v1", "xvda"))),
    ("rename v1 v2", lambda store: store.rename("v1", "v2")),
    ("remove v2", lambda store: store.remove("v2")),
]


@pytest.mark.parametrize("index", range(len(CHANGES)), ids=[name for name, _ in CHANGES])
def test_each_change_of_metadata_is_between_two_points_and_is_made(tmp_path: Path, index: int) -> None:
    plain = FileStore(tmp_path)
    for _, change in CHANGES[:index]:
        change(plain)
    what, change = CHANGES[index]
    doomed = Doomed(CrashKind.STORE, 2)
    store = doomed.crashing.store(plain)
    before = everything(store)
    change(store)
    assert doomed.words == [f"crash point 2 of doomed: store: after {what}"]
    assert everything(store) == everything(plain) != before


def everything(store: Store) -> object:
    tables = (store.vbds, store.vifs, store.pcis, store.vgpus, store.vusbs)
    vms = [(vm, store.exists(vm), store.read(vm), store.devices(vm)) for vm in store.ids()]
    ids = [(table.ids(vm), table.list(vm)) for table in tables for vm in store.ids()]
    found = [
        store.vbds.read(id_) for vm in store.ids() for id_ in store.vbds.ids(vm) if store.vbds.exists(id_)
    ]
    return store.list(), vms, ids, found, store.reads_wait
