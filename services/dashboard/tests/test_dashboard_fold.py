"""What operators are shown of a log."""

from collections.abc import Iterable

import pytest
from bus.snapshots import SnapshotError
from bus.stories.story import State
from bus.stories.tasks import Tasks, name_of, vm_of
from dashboard.fold.instance import InstanceFold
from log_in_hand import VM, WORKER, Hand
from schema import records
from schema.atomics.vm import VmPause
from schema.ids import LeaseToken, TaskId, Term, VmId, WorkerName
from schema.log_records import Stranded
from schema.objects.errors import Cancelled, InternalError
from schema.operations import AtomicOperation
from schema.overseen import Acted, Atom, Pinged

OTHER = VmId("vm2")
FAILURE = records.Failed(error=InternalError(message="the disk is full"))


def test_a_task_waits_runs_and_ends() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    assert (hand.story(task).state, hand.story(task).waited_s) == (State.WAITING, None)
    hand.at += 3
    token = hand.lease(task)
    assert (hand.story(task).state, hand.story(task).worker, hand.story(task).token) == (
        "running",
        "w",
        token,
    )
    hand.read(
        records.Progress(vm=VM, task=task, token=token, fraction=0.5, atom="VM_save", cancellable=False)
    )
    story = hand.story(task)
    assert (story.progress, story.atom, story.cancellable) == (0.5, "VM_save", False)
    [ended] = hand.finish(task, atoms=(Atom("VM_save", 0.0, 0.4),))
    assert (ended.state, ended.waited_s, ended.duration_s, ended.atom) == (State.DONE, 3.0, 0.5, "")
    assert [atom.kind for atom in ended.atoms] == ["VM_save"]
    assert list(hand.fold.tasks.live()) == []


def test_steps_of_a_task_are_known_while_it_runs_and_those_of_a_lost_worker_are_not_its_own() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    token = hand.lease(task)
    hand.at += 5
    first, second = Atom("VM_create", 0.0, 1.0), Atom("VM_build", 1.0, 2.0)
    told = records.Progress(vm=VM, task=task, token=token, fraction=0.2, atom="VM_build", atom_began_s=1.0)
    hand.read(told.model_copy(update={"atoms": (first,), "ran_s": 2.0}))
    story = hand.story(task)
    assert (story.atoms, story.atom_began_s, story.began_at) == ((first,), 1.0, hand.at - 2.0)
    hand.read(told.model_copy(update={"atoms": (second,), "ran_s": 4.0}))
    assert (story.atoms, story.steps_at, story.attempts) == ((first, second), hand.at - 4.0, 1)
    hand.lease(task)
    assert (story.atoms, story.atom, story.began_at, story.attempts) == ((), "", None, 2)
    hand.finish(task, atoms=(first,))
    assert (story.atoms, story.steps_at) == ((first,), hand.at - 0.5)


def test_a_task_that_is_parked_goes_on_when_it_is_started() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    token = hand.lease(task)
    hand.read(records.Parked(vm=VM, task=task, token=token, until=5.0))
    assert hand.story(task).state is State.PARKED
    hand.read(records.Started(vm=VM, task=task, token=token, worker=WORKER))
    assert hand.story(task).state is State.RUNNING
    hand.read(records.Progress(vm=VM, task=task, token=LeaseToken(999), fraction=0.9))
    assert hand.story(task).progress == 0.0


def test_a_lease_of_a_leader_that_was_replaced_counts_for_nothing() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    hand.lease(task, term=Term(99))
    assert hand.story(task).state is State.WAITING


@pytest.mark.parametrize(
    ("outcome", "state", "words"),
    [
        (FAILURE, State.FAILED, "the disk is full"),
        (records.Failed(error=Cancelled(task="1")), State.CANCELLED, "the task 1 was cancelled"),
    ],
)
def test_how_a_task_failed_is_said_in_words_and_by_its_name(
    outcome: records.Failed, state: State, words: str
) -> None:
    hand = Hand()
    [ended] = hand.finish(hand.submit(), outcome)
    assert (ended.state, ended.error, ended.error_kind) == (state, words, outcome.error.kind)
    assert ended.waited_s == 0.0  # it never ran, and waits no more


def test_what_was_merged_ends_with_the_task_that_it_was_merged_into() -> None:
    hand = Hand()
    hand.elect()
    first, second, third = hand.submit(), hand.submit(), hand.submit()
    hand.read(records.Merged(vm=VM, task=second, into=first, term=hand.term))
    hand.read(records.Merged(vm=VM, task=third, into=second, term=hand.term))
    assert (hand.story(second).state, hand.story(second).into) == (State.MERGED, first)
    assert hand.fold.lane(VM).merged == 2
    assert [story.id for story in hand.finish(first)] == [first, second, third]


def test_a_merge_into_a_task_that_has_ended_or_of_an_old_term_is_none() -> None:
    hand = Hand()
    hand.elect()
    first, second = hand.submit(), hand.submit()
    hand.read(records.Merged(vm=VM, task=second, into=first, term=Term(99)))
    assert hand.story(second).state is State.WAITING
    hand.finish(first)
    hand.read(records.Merged(vm=VM, task=second, into=first, term=hand.term))
    assert hand.story(second).state is State.WAITING


def test_a_follower_that_was_leased_after_all_is_no_follower_any_more() -> None:
    hand = Hand()
    hand.elect()
    first, second = hand.submit(), hand.submit()
    hand.read(records.Merged(vm=VM, task=second, into=first, term=hand.term))
    hand.lease(second)
    assert [story.id for story in hand.finish(first)] == [first]
    assert [story.id for story in hand.finish(second)] == [second]


def test_a_task_that_is_refused_has_ended_unless_the_word_is_void() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    assert hand.read(records.Refused(vm=VM, task=task, error=FAILURE.error, term=Term(99))) == ()
    [ended] = hand.read(records.Refused(vm=VM, task=task, error=FAILURE.error, term=hand.term))
    assert (ended.state, ended.error) == (State.REFUSED, "the disk is full")
    assert hand.read(records.Refused(vm=VM, task=task, error=FAILURE.error, term=hand.term)) == ()


def test_what_operators_change_of_a_task_is_shown() -> None:
    hand = Hand()
    task, later = hand.submit(), hand.submit()
    hand.read(records.Reprioritised(vm=VM, task=later, priority=5))
    hand.read(records.DeadlineSet(vm=VM, task=later, deadline=77.0))
    hand.read(records.CancelRequested(vm=VM, task=task))
    assert (hand.story(later).priority, hand.story(later).deadline) == (5, 77.0)
    assert hand.story(task).cancel_at == hand.at
    assert [story.id for story in hand.fold.lane(VM).waiting] == [later, task]


def test_records_of_tasks_that_nobody_knows_change_nothing() -> None:
    hand = Hand()
    gone = TaskId(99)
    hand.read(
        records.Leased(vm=VM, task=gone, worker=WORKER, term=hand.term),
        records.Progress(vm=VM, task=gone, token=LeaseToken(1), fraction=0.1),
        records.Reprioritised(vm=VM, task=gone, priority=1),
        records.Finished(vm=VM, task=gone, outcome=records.Succeeded()),
    )
    assert list(hand.fold.tasks.newest_first()) == []


def test_where_what_is_read_begins_behind_the_election_the_first_lease_tells_the_term() -> None:
    hand = Hand()
    task, other = hand.submit(), hand.submit()
    hand.read(records.Leased(vm=VM, task=task, worker=WORKER, term=Term(77)))
    hand.read(records.Leased(vm=VM, task=other, worker=WORKER, term=Term(3)))
    assert [hand.story(one).state for one in (task, other)] == [State.RUNNING, State.WAITING]


def test_only_the_newest_ended_tasks_are_kept() -> None:
    fold = InstanceFold()
    fold.tasks = Tasks(ended_max=2)
    hand = Hand(fold)
    first, second, third = hand.submit(), hand.submit(), hand.submit()
    for task in (first, second, third):
        hand.finish(task)
    assert [story.id for story in fold.tasks.newest_first()] == [third, second]


def test_lanes_that_wait_longest_come_first_and_held_ones_are_shown_though_empty() -> None:
    hand = Hand()
    hand.elect()
    hand.read(records.LaneHeld(vm=VmId("held")))
    hand.at += 1
    hand.submit(OTHER)
    hand.at += 1
    running = hand.submit(VM)
    hand.submit(VM)
    hand.lease(running)
    lanes = hand.fold.lanes()
    assert [lane.vm for lane in lanes] == [OTHER, VM, "held"]
    assert [lane.oldest_at for lane in lanes] == [1001.0, 1002.0, None]
    assert lanes[1].running is not None
    assert lanes[2].held_at == 1000.0
    hand.read(records.LaneReleased(vm=VmId("held")), records.Removed(vm=VM))
    assert "held" not in hand.fold.held


def test_workers_come_are_heard_of_drained_and_go() -> None:
    hand = Hand()
    hand.up()
    hand.at = 2000.0
    kept = Stranded(vm=VmId("v-0"), of=VmId("v"), state="kept", where="there:80")
    hand.read(records.Heartbeat(worker=WORKER, stranded=(kept,)))
    assert hand.fold.workers.all()[0].stranded == (kept,)
    hand.read(records.Heartbeat(worker=WORKER), records.WorkerDraining(worker=WORKER, draining=True))
    [worker] = hand.fold.workers.all()
    assert (worker.up, worker.capacity, worker.draining, worker.heard_at) == (True, 2, True, 2000.0)
    hand.read(records.WorkerDown(worker=WORKER, epoch="another"))
    assert hand.fold.workers.all()[0].up
    hand.read(records.WorkerDown(worker=WORKER, epoch="e"))
    assert not hand.fold.workers.all()[0].up
    hand.read(records.WorkerDraining(worker=WorkerName("never"), draining=True))
    assert hand.fold.workers.find("never") is not None


def test_barriers_elections_and_what_operators_asked_for_are_known() -> None:
    hand = Hand()
    hand.elect()
    hand.read(records.Barrier(vm=VM, barrier=7), Acted(vm=VM, who="alice", action="hold", subject=VM))
    assert (hand.fold.leader, hand.fold.barriers[7].vm) == ("r", VM)
    assert (hand.fold.actions[0].who, hand.fold.actions[0].action) == ("alice", "hold")
    hand.read(records.BarrierRemoved(barrier=7), Pinged(by="d", number=1))
    assert hand.fold.barriers == {}
    assert hand.fold.kinds["Pinged"] == 1


def test_who_acts_by_the_bus_is_shown_by_what_he_calls_himself() -> None:
    hand = Hand()
    hand.elect()
    hand.up()
    task = hand.submit()
    by = "xenops:root@host"
    hand.read(
        records.LaneHeld(vm=VM, by=by),
        records.Reprioritised(vm=VM, task=task, priority=5, by=by),
        records.DeadlineSet(vm=VM, task=task, deadline=None, by=by),
        records.WorkerDraining(worker=WORKER, draining=True, by=by),
        records.WorkerDraining(worker=WORKER, draining=False, by=by),
        records.LaneReleased(vm=VM, by=by),
    )
    assert [(one.action, one.subject) for one in hand.fold.actions] == [
        ("release", VM),
        ("undrain", WORKER),
        ("drain", WORKER),
        ("deadline", str(task)),
        ("prioritise 5", str(task)),
        ("hold", VM),
    ]
    assert {(one.who, one.proved) for one in hand.fold.actions} == {(by, False)}
    hand.read(records.CancelRequested(vm=VM, task=task, by="xapi"))
    assert len(hand.fold.actions) == 6
    assert hand.story(task).cancel_by == "xapi"


def test_what_is_asked_for_here_is_shown_once_and_nobody_hides_by_our_name() -> None:
    hand = Hand()
    hand.read(Acted(vm=VM, who="alice", action="hold", subject=VM))
    hand.read(records.LaneHeld(vm=VM, by="dashboard:alice"), records.LaneHeld(vm=OTHER))
    assert [(one.who, one.proved) for one in hand.fold.actions] == [("alice", True)]
    hand.read(records.LaneHeld(vm=OTHER, by="dashboard:alice"))
    assert (hand.fold.actions[0].who, hand.fold.actions[0].proved) == ("dashboard:alice", False)


def busy() -> Hand:
    hand = Hand()
    hand.elect()
    hand.up()
    ended, running, merged = hand.submit(), hand.submit(), hand.submit()
    hand.lease(ended)
    hand.finish(ended, atoms=(Atom("VM_save", 0.0, 0.4, failed=True),))
    hand.lease(running)
    hand.read(records.Merged(vm=VM, task=merged, into=running, term=hand.term))
    hand.read(records.LaneHeld(vm=OTHER), records.Barrier(vm=VM, barrier=7))
    hand.read(Acted(vm=VM, who="alice", action="hold", subject=VM))
    return hand


def told(fold: InstanceFold) -> Iterable[bytes]:
    return list(fold.snapshot())


def test_a_fold_that_was_put_away_goes_on_as_if_nothing_had_been() -> None:
    hand = busy()
    again = Hand(InstanceFold())
    again.entries, again.term = list(hand.entries), hand.term
    again.fold.restore(told(hand.fold))
    assert told(again.fold) == told(hand.fold)
    assert [story.id for story in again.finish(TaskId(3))] == [story.id for story in hand.finish(TaskId(3))]
    assert told(again.fold) == told(hand.fold)


def test_what_is_put_away_does_not_change_any_more() -> None:
    hand = busy()
    kept = hand.fold.snapshot()
    expected = told(hand.fold)
    hand.finish(TaskId(3))
    assert list(kept) == expected


def of_version_2() -> list[bytes]:
    return [line.replace(b'"version":1', b'"version":2', 1) for line in told(busy().fold)]


@pytest.mark.parametrize("lines", [[], [b"{}"], [b"no json"], of_version_2()])
def test_lines_of_another_version_are_left_alone(lines: list[bytes]) -> None:
    fold = InstanceFold()
    with pytest.raises(SnapshotError):
        fold.restore(lines)
    assert list(fold.tasks.newest_first()) == []


def test_names_are_taken_out_of_what_holds_them() -> None:
    assert name_of(AtomicOperation(atomic=VmPause(vm=VM))) == "VM_pause"
    assert vm_of(Pinged(by="d", number=1)) == ""
    assert vm_of(records.LaneHeld(vm=VM)) == VM
