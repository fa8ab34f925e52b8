import json
from typing import Annotated, Any, get_args, get_origin

import pytest
from bus.ports import Entry
from eventhub import core
from eventhub.described import _parameters, described
from eventhub.diagnostics import report
from eventhub.fold import Fold
from hub_in_hand import VM as VM1
from hub_in_hand import WORKER, Hub
from hub_in_hand import XVDA as DISK
from schema import records
from schema.atomics import Atomic
from schema.atomics.vbd import VbdInsert
from schema.atomics.vm import VmPause, VmSetXsdata
from schema.ids import LeaseToken, Offset, Term, VmId
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import TaskObject, VbdObject, VifObject, VmObject
from schema.objects.errors import InternalError
from schema.operations import (
    AtomicOperation,
    Operation,
    VbdHotunplug,
    VmCheckState,
    VmMigrate,
    VmPoweroff,
    VmStart,
    VmSuspend,
)
from schema.rpc import encode_failure, encode_result
from schema.wire import json as wire_json
from schema.wire.types import DeviceId
from schema.wire.writers import WIRE, Writers

VM = VmId("v")
XVDA = DeviceId("v", "xvda")


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (VmStart(vm=VM), '["VM_start",["v",false]]'),
        (VmPoweroff(vm=VM), '["VM_poweroff",["v",[]]]'),
        (VmPoweroff(vm=VM, timeout_s=60.0), '["VM_poweroff",["v",[60.0]]]'),
        (VmCheckState(vm=VM), '["VM_check_state","v"]'),
        (VbdHotunplug(id=XVDA, force=True), '["VBD_hotunplug",[["v","xvda"],true]]'),
        (AtomicOperation(atomic=VmPause(vm=VM)), '["Atomic",["VM_pause","v"]]'),
        (
            AtomicOperation(atomic=VmSetXsdata(vm=VM, xsdata=(("a", "b"),))),
            '["Atomic",["VM_set_xsdata",["v",{"a":"b"}]]]',
        ),
        (
            AtomicOperation(atomic=VbdInsert(id=XVDA, disk=LocalDisk(path="/x"))),
            '["Atomic",["VBD_insert",[["v","xvda"],["Local","/x"]]]]',
        ),
        (VmSuspend(vm=VM, image=LocalDisk(path="/x")), '["VM_suspend",["v",["Local","/x"]]]'),
    ],
)
def test_an_operation_is_described_in_the_originals_words(operation: Operation, words: str) -> None:
    assert wire_json.dumps(described(operation)) == words


def test_a_migration_is_described_by_the_names_of_what_it_needs() -> None:
    migration = VmMigrate(
        vm=VM,
        vdi_map=(),
        vif_map=(),
        pci_map=(),
        url="u",
        compress=False,
        verify_dest=True,
        localhost_migration=False,
    )
    words = wire_json.dumps(described(migration))
    assert words.startswith('["VM_migrate",{"localhost_migration":false,"verify_dest":true,')
    assert words.endswith('"vm":"v"}]')


def members(union: Any) -> list[Any]:
    """The classes of a union of unions."""
    if get_origin(union) is Annotated:
        return members(get_args(union)[0])
    inner = get_args(union)
    return [kind for part in inner for kind in members(part)] if inner else [union]


KINDS = [kind for kind in members(Operation | Atomic) if kind is not AtomicOperation]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_the_type_of_every_parameter_is_one_that_can_be_described(kind: Any) -> None:

    assert all(callable(Writers(WIRE).of(type_)) for _, type_ in _parameters(kind))


def test_objects_are_listed_as_the_original_lists_them() -> None:
    fold = Fold()
    changed = (
        TaskObject(id="9"),
        VmObject(id="a"),
        TaskObject(id="70"),
        VmObject(id="b"),
        VifObject(id=DeviceId("a", "0")),
        VbdObject(id=DeviceId("a", "xvda")),
        VbdObject(id=DeviceId("a", "xvdb")),
    )
    fold.on_entry(Entry(Offset(0), 1.0, records.Changed(vm=VM, changed=changed)))
    found = wire_json.loads(report(fold, None)).get("updates").get("updates")
    assert [update.get("v") for update in found] == [
        '["Task","9"]',
        '["Task","70"]',
        '["Vif",["a","0"]]',
        '["Vbd",["a","xvdb"]]',
        '["Vbd",["a","xvda"]]',
        '["Vm","b"]',
        '["Vm","a"]',
    ]


def test_diagnostics_have_the_originals_shape() -> None:
    hub = Hub()
    running, waiting = hub.submit(), hub.submit()
    hub.read(
        records.WorkerUp(worker=WORKER, epoch="e", capacity=3),
        records.Elected(redirector="r"),
        records.Leased(vm=VM1, task=running, worker=WORKER, term=Term(3)),
        records.Progress(
            vm=VM1, task=running, token=LeaseToken(4), fraction=0.5, subtasks=(("x", 0.5),), changed=(DISK,)
        ),
        records.Barrier(vm=VM1, barrier=7),
    )
    report = json.loads(json.loads(hub.ask("a", "get_diagnostics", unit=None) or b"")["result"])
    task = {"subtasks": {"x": '["Pending",0.5]'}, "dbg": "lab", "ctime": "19700101T00:00:00Z", "id": "0"}
    xvda = {"id": 6, "v": '["Vbd",["vm1","xvda"]]'}
    start = '["VM_start",["vm1",false]]'
    assert report == {
        "vm_actions": {"vm1": []},
        "tasks": [task, {**task, "subtasks": {}, "id": str(waiting)}],
        "updates": {"updates": [{"id": 6, "v": '["Task","0"]'}, xvda], "barriers": [[7, 7, [xvda]]]},
        "scheduler": [],
        "workers": [{"task": task, "state": f"Processing {start}"}, {"state": "Idle"}, {"state": "Idle"}],
        "queues": [{"works": [start], "tag": "vm1"}],
    }
    hub.read(records.WorkerDown(worker=WORKER, epoch="e"))
    report = json.loads(json.loads(hub.ask("b", "get_diagnostics", unit=None) or b"")["result"])
    assert len(report["workers"]) == 1


@pytest.mark.parametrize(
    ("worker", "actions"),
    [
        (
            encode_result("get_diagnostics", '{"vm_actions":{"vm1":["Needs_poweroff"]}}'),
            {"vm1": ["Needs_poweroff"]},
        ),
        (encode_failure(InternalError(message="no")), {}),
        (encode_result("get_diagnostics", "no JSON"), {}),
        (encode_result("get_diagnostics", "[]"), {}),
        (encode_result("get_diagnostics", '{"vm_actions":[]}'), {}),
        (b"no answer", {}),
    ],
)
def test_a_worker_says_what_domains_ask_for(worker: bytes, actions: dict[str, list[str]]) -> None:
    hub = Hub()
    hub.worker = worker
    report = json.loads(json.loads(hub.ask("a", "get_diagnostics", unit=None) or b"")["result"])
    assert report["vm_actions"] == actions


def test_too_many_questions_to_workers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "WAITING_MAX", 0)
    assert "ask again later" in str(Hub().ask("a", "get_diagnostics", unit=None))
