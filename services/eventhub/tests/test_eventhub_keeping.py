import json
import random

import pytest
from bus.ports import Entry
from bus.snapshots import SnapshotError
from eventhub.fold import Fold
from hub_in_hand import VM, WORKER, XVDA, Hub, changed, finished
from schema import records
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId
from schema.log_records import LifeBegan
from schema.objects.dynamic import VifObject, VmObject
from schema.objects.errors import Cancelled
from schema.operations import VmCheckState, VmStart
from schema.records import Record
from schema.wire.types import DeviceId

VMS = (VM, VmId("vm2"))
LENGTH = 120


def any_record(chance: random.Random, offset: int) -> Record:
    """A record about some task before it, or some VM."""
    task, vm = TaskId(chance.randrange(offset + 1)), chance.choice(VMS)
    token = LeaseToken(chance.randrange(offset + 1))
    operation = chance.choice((VmStart(vm=vm), VmCheckState(vm=vm)))
    ends = (
        records.Succeeded(result={"a": [1, None, 2.5]}),
        records.Failed(error=Cancelled(task="7")),
    )
    found: list[Record] = [
        *[records.Submitted(vm=vm, operation=operation, request_id="r", dbg="d", accept_by=9.0)] * 4,
        records.Submitted(vm=vm, operation=operation, request_id="s", dbg="d", accept_by=9.0, awaited=True),
        *[records.Leased(vm=vm, task=task, worker=WORKER, term=Term(0))] * 2,
        *[records.Finished(vm=vm, task=task, outcome=chance.choice(ends), changed=(XVDA,))] * 2,
        records.Progress(vm=vm, task=task, token=token, fraction=0.5, subtasks=(("s", 0.1),)),
        records.Merged(vm=vm, task=task, into=TaskId(chance.randrange(offset + 1))),
        records.Refused(vm=vm, task=task, error=Cancelled(task="7")),
        records.TaskDestroyed(vm=vm, task=task, on_finish=chance.random() < 0.5),
        changed(VmObject(id=vm), VifObject(id=DeviceId(vm, "0"))),
        records.Removed(vm=vm),
        records.Barrier(vm=vm, barrier=chance.randrange(3)),
        records.BarrierRemoved(barrier=chance.randrange(3)),
        records.WorkerUp(worker=WORKER, epoch="e", capacity=2),
        records.WorkerDown(worker=WORKER, epoch="e"),
        records.Elected(redirector="r"),
        LifeBegan(reason="a test"),
    ]
    return chance.choice(found)


def any_log(seed: int) -> list[Entry]:
    chance = random.Random(seed)
    first = Entry(Offset(0), 1_000.0, records.Elected(redirector="r"))
    others = (Entry(Offset(n), 1_000.0 + n, any_record(chance, n)) for n in range(1, LENGTH))
    return [first, *others]


def folded(log: list[Entry], fold: Fold | None = None) -> Fold:
    fold = fold or Fold()
    for entry in log:
        fold.on_entry(entry)
    return fold


def knows(fold: Fold) -> list[bytes]:
    return list(fold.snapshot())


@pytest.mark.parametrize("seed", range(8))
def test_a_fold_taken_up_anywhere_knows_in_the_end_what_one_that_read_all_knows(seed: int) -> None:
    log = any_log(seed)
    whole = folded(log)
    for cut in range(LENGTH + 1):
        again = Fold()
        again.restore(knows(folded(log[:cut])))
        folded(log[cut:], again)
        assert knows(again) == knows(whole)
        assert [story.shown() for story in again.tasks.all()] == [
            story.shown() for story in whole.tasks.all()
        ]
        assert again.updates.since(cut) == whole.updates.since(cut)
        assert [again.updates.objects_of(vm) for vm in VMS] == [whole.updates.objects_of(vm) for vm in VMS]
        assert again.token_of(cut) == whole.token_of(cut)


@pytest.mark.parametrize("seed", range(8))
def test_a_snapshot_is_of_its_moment_whatever_the_fold_goes_on_to_read(seed: int) -> None:
    log = any_log(seed)
    fold = Fold()
    for entry in log:
        expected, taken = knows(fold), fold.snapshot()
        fold.on_entry(entry)
        assert list(taken) == expected


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it does not parse"),
        ([b"?"], "it does not parse"),
        ([b"{}"], "it does not parse"),
        ([b'{"version":2}'], "it is of version 2"),
    ],
)
def test_what_another_version_wrote_is_left_alone(lines: list[bytes], words: str) -> None:
    fold = folded(any_log(1))
    before = knows(fold)
    with pytest.raises(SnapshotError, match=words):
        fold.restore(lines)
    assert knows(fold) == before


def test_a_hub_that_was_taken_up_answers_as_the_one_before() -> None:
    hub = Hub()
    task = hub.submit()
    hub.read(changed())
    _, _, token = hub.get("client", None)
    again = Hub(live=False)
    again.core.restore(list(hub.core.snapshot()))
    again.offset = hub.offset
    again.perform(again.core.on_live(again.now))
    assert again.get("client", token) is None
    again.read(finished(task))
    _, objects, _ = again.told("client")
    assert XVDA in objects
    assert json.loads(again.ask("other", "Task.stat", id=str(task)) or b"{}")["error"] is None


def test_a_token_of_a_life_before_the_loss_is_told_everything() -> None:
    hub = Hub()
    hub.at = 5.0
    hub.read(changed())
    _, _, token = hub.get("client", None)
    hub.at = 9.0
    hub.read(LifeBegan(reason="a test"))
    _, objects, newer = hub.get("client", token)
    assert objects == (VmObject(id=VM),)
    assert newer != token


def test_who_waits_while_a_log_is_found_lost_is_told_everything() -> None:
    hub = Hub()
    hub.at = 5.0
    hub.read(changed(XVDA), changed())
    token = hub.get("first", None)[2]
    assert hub.get("patient", token) is None
    assert hub.get("hasty", token, 1) is None
    hub.at = 9.0
    hub.read(LifeBegan(reason="a test"))
    for who in ("patient", "hasty"):
        _, objects, newer = hub.told(who)
        assert objects == (XVDA, VmObject(id=VM))
        assert newer > token


def test_who_waits_for_the_first_news_of_a_log_goes_on_waiting() -> None:
    hub = Hub()
    assert hub.get("first", None, 1) is None
    hub.read(LifeBegan(reason="a test"))
    assert hub.told("first") is None
    hub.pass_time(2)
    assert hub.told("first")[:2] == ((), ())
