from bus.ports import Entry
from redirector.core import TOLD_S, Redirector
from redirector.effects import Effect, Notify
from schema.atomics.vm import VmRemove
from schema.ids import Offset, TaskId, Term, VmId, WorkerName
from schema.notices import Ended
from schema.objects.errors import BadPowerState
from schema.objects.vm import PowerState
from schema.operations import AtomicOperation
from schema.records import Elected, Failed, Finished, Leased, Outcome, Record, Submitted, Succeeded

VM = VmId("v1")
NOW = 1000.0
REFUSED = BadPowerState(found=PowerState.RUNNING, expected=PowerState.HALTED)


def after(outcome: Outcome, *, awaited: bool = True, leased: bool = True, now: float = NOW) -> list[Effect]:
    """What a replica that does not lead wants done as it reads the end of a task that ended at `NOW`."""
    operation = AtomicOperation(atomic=VmRemove(vm=VM))
    records: list[Record] = [
        Elected(redirector="another"),
        Submitted(
            vm=VM,
            operation=operation,
            request_id="r",
            dbg="d",
            accept_by=NOW,
            reply_to="inbox",
            awaited=awaited,
        ),
    ]
    if leased:
        records.append(Leased(vm=VM, task=TaskId(1), worker=WorkerName("w"), term=Term(0)))
    replica = Redirector("me")
    for offset, record in enumerate(records):
        replica.on_entry(Entry(Offset(offset), NOW, record), now)
    finished = Finished(vm=VM, task=TaskId(1), outcome=outcome)
    return replica.on_entry(Entry(Offset(len(records)), NOW, finished), now)


def test_whoever_awaits_a_task_is_told_its_end_by_every_replica() -> None:
    assert after(Succeeded()) == [Notify("inbox", Ended(request_id="r", error=None))]
    assert after(Failed(error=REFUSED)) == [Notify("inbox", Ended(request_id="r", error=REFUSED))]


def test_the_end_of_a_task_that_never_ran_is_told_too() -> None:
    assert after(Failed(error=REFUSED), leased=False) == [
        Notify("inbox", Ended(request_id="r", error=REFUSED))
    ]


def test_nobody_is_told_what_nobody_awaits_or_what_is_long_ago() -> None:
    assert after(Succeeded(), awaited=False) == []
    assert after(Succeeded(), now=NOW + TOLD_S + 1) == []
