import pytest
from bus.ports import Entry
from bus.snapshots import SnapshotError
from engine.worker.core import (
    STRANDED_MAX,
    Append,
    Cancel,
    Compare,
    Effect,
    Fence,
    Forget,
    Offer,
    Run,
    TakeOver,
    TellAll,
    WorkerCore,
)
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.log_records import LifeBegan, Stranded
from schema.migration import Channel
from schema.objects.errors import InternalError
from schema.operations import VmStart
from schema.records import (
    CancelRequested,
    Changed,
    ChannelOffered,
    Elected,
    Failed,
    Finished,
    Heartbeat,
    Leased,
    Merged,
    Parked,
    Record,
    Refused,
    Removed,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerUp,
)

VM = VmId("v1")
ME = WorkerName("me")
UP = WorkerUp(worker=ME, epoch="e", capacity=2)


class Log:
    """A log and the core that reads it."""

    def __init__(self, *, live: bool = True) -> None:
        self.core = WorkerCore(ME, "e", 2)
        self._length = 0
        self.term = self.append(Elected(redirector="r"))[0]
        if live:
            self.core.on_live()

    def append(self, record: Record) -> tuple[int, list[Effect]]:
        offset = self._length
        self._length += 1
        return offset, self.core.on_entry(Entry(Offset(offset), 0.0, record))

    def submit(self) -> TaskId:
        submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=9.0)
        return TaskId(self.append(submitted)[0])

    def lease(self, task: TaskId, worker: WorkerName = ME, term: int | None = None) -> list[Effect]:
        found = Term(self.term if term is None else term)
        return self.append(Leased(vm=VM, task=task, worker=worker, term=found))[1]


def test_a_lease_of_ours_is_run_with_its_offset_as_token() -> None:
    log = Log()
    task = log.submit()
    (effect,) = log.lease(task)
    assert isinstance(effect, Run)
    assert (effect.lease.task, effect.lease.token, effect.cancelled) == (task, LeaseToken(2), False)


def test_a_lease_of_another_worker_or_an_older_term_is_not_run() -> None:
    log = Log()
    task = log.submit()
    assert log.lease(task, WorkerName("other")) == []
    assert log.lease(task, term=-7) == []
    assert log.lease(TaskId(99)) == []


def test_nothing_is_run_before_the_log_is_read_and_then_what_is_still_leased() -> None:
    log = Log(live=False)
    done, waiting = log.submit(), log.submit()
    assert log.lease(done) == []
    log.append(Finished(vm=VM, task=done, outcome=Succeeded()))
    assert log.lease(waiting) == []
    log.append(CancelRequested(vm=VM, task=waiting))
    up, run, compare = log.core.on_live()
    assert up == Append(UP)
    assert compare == Compare(Finished(vm=VM, task=done, outcome=Succeeded()))
    assert isinstance(run, Run)
    assert (run.lease.task, run.cancelled) == (waiting, True)


def test_a_vm_is_expected_while_a_task_of_it_waits_or_runs_or_may() -> None:
    log = Log(live=False)
    assert log.core.expects(VM)
    log.core.on_live()
    assert not log.core.expects(VM)
    task = log.submit()
    assert log.core.expects(VM)
    assert not log.core.expects(VmId("v2"))
    log.lease(task)
    assert log.core.expects(VM)
    log.append(Finished(vm=VM, task=task, outcome=Succeeded()))
    assert not log.core.expects(VM)


def test_clients_are_told_of_every_vm_once_in_a_life_of_the_log() -> None:
    assert Log(live=False).core.on_live() == [Append(UP)]
    second = Log(live=False)
    second.append(UP)
    second.append(LifeBegan(reason="a test"))
    assert second.core.on_live() == [TellAll(), Append(UP)]
    assert second.append(LifeBegan(reason="somebody else found it, too"))[1] == []
    third = Log()
    assert third.append(LifeBegan(reason="a test"))[1] == [TellAll()]
    assert third.append(LifeBegan(reason="somebody else found it, too"))[1] == []


def test_a_cancel_reaches_what_runs_here_only() -> None:
    log = Log()
    task = log.submit()
    assert log.append(CancelRequested(vm=VM, task=task))[1] == []
    log.lease(task)
    assert log.append(CancelRequested(vm=VM, task=task))[1] == [Cancel(task)]


def test_what_another_worker_may_have_died_in_is_taken_over() -> None:
    log = Log()
    lost, done, refused = log.submit(), log.submit(), log.submit()
    log.lease(lost, WorkerName("other"))
    failed = Finished(
        vm=VM, task=lost, outcome=Failed(error=InternalError(message="lost")), token=LeaseToken(4)
    )
    assert log.append(failed)[1] == [TakeOver(failed)]
    assert log.append(failed)[1] == []
    assert log.append(failed.model_copy(update={"task": done, "outcome": Succeeded()}))[1] == []
    assert log.append(failed.model_copy(update={"task": refused, "token": None}))[1] == []


def test_a_task_that_others_have_ended_is_fenced() -> None:
    log = Log()
    task = log.submit()
    log.lease(task)
    finished = Finished(vm=VM, task=task, outcome=Succeeded())
    assert log.append(finished)[1] == [Fence(task)]
    assert log.append(finished)[1] == []


def test_a_worker_shows_that_it_lives_with_what_it_runs() -> None:
    log = Log()
    log.lease(log.submit())
    assert log.core.on_time() == [Append(Heartbeat(worker=ME, tokens=(LeaseToken(2),)))]
    assert Log(live=False).core.on_time() == []


def test_a_sign_of_life_names_what_is_stranded_and_not_too_much_of_it() -> None:
    many = tuple(Stranded(vm=VmId(f"v{n}-0"), of=VmId(f"v{n}"), state="kept") for n in range(50))
    [beat] = Log().core.on_time(many)
    assert beat == Append(Heartbeat(worker=ME, stranded=many[:STRANDED_MAX]))


def test_a_worker_that_was_thought_lost_says_that_it_is_up() -> None:
    log = Log()
    assert log.append(WorkerDown(worker=ME, epoch="e"))[1] == [Append(UP)]
    assert log.append(WorkerDown(worker=ME, epoch="earlier"))[1] == []


def test_a_worker_that_stops_is_down_and_one_that_grows_says_so() -> None:
    log = Log()
    assert log.core.on_capacity(5) == [Append(UP.model_copy(update={"capacity": 5}))]
    assert log.core.on_stop() == [Append(WorkerDown(worker=ME, epoch="e"))]


def test_what_was_merged_is_forgotten_and_what_others_report_decides_nothing() -> None:
    log = Log()
    leader, task = log.submit(), log.submit()
    log.append(Merged(vm=VM, task=task, into=leader))
    log.append(Changed(vm=VM, changed=()))
    assert log.lease(task) == []


def test_a_merger_or_refusal_of_a_term_that_was_over_and_a_merger_into_what_has_ended_change_nothing() -> (
    None
):
    log = Log()
    first, second, third = log.submit(), log.submit(), log.submit()
    log.append(Merged(vm=VM, task=second, into=first, term=Term(-7)))
    log.append(Refused(vm=VM, task=second, error=InternalError(message="full"), term=Term(-7)))
    log.append(Finished(vm=VM, task=first, outcome=Succeeded()))
    log.append(Merged(vm=VM, task=third, into=first))
    assert len(log.lease(second)) == 1
    assert len(log.lease(third)) == 1


def test_what_was_noted_of_a_vm_is_forgotten_once_it_and_its_tasks_are_gone() -> None:
    log = Log()
    task = log.submit()
    log.lease(task)
    assert log.append(Removed(vm=VM))[1] == []
    log.append(Finished(vm=VM, task=task, outcome=Succeeded()))
    assert log.append(Removed(vm=VM))[1] == [Forget(VM)]


def test_a_core_taken_up_anywhere_knows_what_one_that_read_all_knows() -> None:
    submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=9.0)
    read: list[Record] = [
        Elected(redirector="r"),
        submitted,
        submitted,
        Leased(vm=VM, task=TaskId(1), worker=ME, term=Term(0), traceparent="t"),
        Parked(vm=VM, task=TaskId(1), token=LeaseToken(3), until=8.0),
        CancelRequested(vm=VM, task=TaskId(1)),
        LifeBegan(reason="a test"),
        submitted,
        Leased(vm=VM, task=TaskId(2), worker=ME, term=Term(0)),
        Finished(vm=VM, task=TaskId(1), outcome=Succeeded()),
    ]
    entries = [Entry(Offset(offset), float(offset), record) for offset, record in enumerate(read)]

    def core(of: list[Entry], lines: list[bytes] | None = None) -> WorkerCore:
        made = WorkerCore(ME, "e", 2)
        if lines is not None:
            made.restore(lines)
        for entry in of:
            made.on_entry(entry)
        return made

    for cut in range(len(entries)):  # what ended before a cut is compared by whoever lived then
        again = core(entries[cut:], list(core(entries[:cut]).snapshot()))
        assert again == core(entries)
        assert again.on_live() == core(entries).on_live()


@pytest.mark.parametrize("lines", [[], [b"?"], [b"{}"], [b'{"version":2}']])
def test_a_core_leaves_alone_what_another_version_wrote(lines: list[bytes]) -> None:
    log = Log()
    before = list(log.core.snapshot())
    with pytest.raises(SnapshotError):
        log.core.restore(lines)
    assert list(log.core.snapshot()) == before


def test_a_channel_that_a_migrations_source_offers_is_told_of() -> None:
    offered = ChannelOffered(vm=VM, channel=Channel.MEMORY, socket="s", ticket="t")
    assert Log().append(offered)[1] == [Offer(offered)]


def test_what_waits_under_a_token_that_is_not_ours_any_more_is_not_waited_for() -> None:
    log = Log(live=False)
    task = log.submit()
    log.lease(task)
    stale = Parked(vm=VM, task=task, token=LeaseToken(0), until=8.0)
    unknown = Parked(vm=VM, task=TaskId(99), token=LeaseToken(2), until=8.0)
    log.append(stale)
    log.append(unknown)
    runs = [effect for effect in log.core.on_live() if isinstance(effect, Run)]
    assert [run.until for run in runs] == [None]
