"""The fold: what every redirector of an instance knows of the log, whether it leads or not.

A leader notes its decisions here, too, before it has read them back: leases without a token, and tasks that
are decided on. All else is the same in every replica that has read up to the same offset, and is what a
snapshot holds.
"""

from dataclasses import dataclass, field

from bus.ports import Entry
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId
from schema.records import (
    CancelRequested,
    DeadlineSet,
    Elected,
    Finished,
    Heartbeat,
    LaneHeld,
    LaneReleased,
    LaneShared,
    Leased,
    Merged,
    Parked,
    Refused,
    Removed,
    Reprioritised,
    Started,
    Submitted,
    WorkerDown,
    WorkerDraining,
    WorkerUp,
    is_void,
)

from redirector.brief import brief_of
from redirector.deadlines import Deadlines
from redirector.followers import Followers
from redirector.lane import Waiting
from redirector.lanes import Lanes
from redirector.requests import Requests
from redirector.workers import Lease, Workers

PRIORITY_MAX = 1_000
"""How far from 0, which is usual, a priority can be, up or down."""

NO_TERM = Term(-1)
"""Before the first election."""

NO_LIFE = Offset(-1)
"""No end of the log was ever found lost."""

ONE_LOSS_S = 60.0
"""Services that find the same loss say so within this time."""


@dataclass(slots=True)
class Fold:
    """One instance after some of its log's entries.

    `repeats` are records of a request that had come before, with the task of its first record, until they are
    refused. `cancels` are wishes that no worker knows of, for tasks that wait or follow another. `life` is
    where the log was first found to have lost its end, at `life_at`, in seconds since the epoch: whether what
    was asked for before has been done may be what it has lost.
    """

    term: Term = NO_TERM
    leader: str = ""
    life: Offset = NO_LIFE
    life_at: float = -ONE_LOSS_S
    lanes: Lanes = field(default_factory=Lanes)
    workers: Workers = field(default_factory=Workers)
    requests: Requests = field(default_factory=Requests)
    followers: Followers = field(default_factory=Followers)
    repeats: dict[TaskId, tuple[TaskId, VmId]] = field(default_factory=dict)
    cancels: dict[TaskId, VmId] = field(default_factory=dict)
    deadlines: Deadlines = field(init=False)

    def __post_init__(self) -> None:
        self.deadlines = Deadlines(self.lanes)

    def on_entry(self, entry: Entry, now: float) -> None:
        """Take the next entry. `now` only counts for how long workers have been silent."""
        record = entry.record
        match record.kind:
            case "Submitted":
                self._on_submitted(entry, record)
            case "Leased":
                self._on_leased(entry, record)
            case "Finished":
                self._on_finished(record)
            case "Refused":
                self._on_refused(record)
            case "Merged":
                self._on_merged(record)
            case "CancelRequested":
                self._on_cancel(record)
            case "Elected":
                self._on_elected(entry.offset, record, now)
            case "WorkerUp" | "WorkerDown" | "WorkerDraining" | "Heartbeat" | "Started" | "Parked":
                self._on_worker(record, now)
            case "LaneHeld" | "LaneReleased" | "LaneShared" | "Removed":
                self._on_lane(record)
            case "Reprioritised" | "DeadlineSet":
                self._on_changed(record)
            case "LifeBegan":
                self._on_life_began(entry)
            case _:
                pass  # progress, changes and barriers say nothing of lanes and workers

    def _on_submitted(self, entry: Entry, record: Submitted) -> None:
        task = TaskId(entry.offset)
        first = self.requests.first(record.request_id)
        if first is not None:
            self.repeats[task] = (first, record.vm)
            return
        self.requests.note(record.request_id, task, at=entry.at, accept_by=record.accept_by)
        waiting = Waiting(
            id=task,
            vm=record.vm,
            brief=brief_of(record.operation),
            request_id=record.request_id,
            since=entry.at,
            accept_by=record.accept_by,
            reply_to=record.reply_to,
            deadline=record.deadline,
            awaited=record.awaited,
            traceparent=record.traceparent,
            baggage=record.baggage,
        )
        self.lanes.push(waiting)
        self.deadlines.note(waiting)

    def _on_refused(self, record: Refused) -> None:
        if is_void(record, self.term):
            return
        self.repeats.pop(record.task, None)
        self.cancels.pop(record.task, None)
        refused = self.lanes.remove(record.task)
        if refused is not None and self.requests.first(refused.request_id) == record.task:
            self.requests.refuse(refused.request_id)

    def _on_merged(self, record: Merged) -> None:
        """Into a task that has ended, nobody would end it: it runs for itself."""
        if is_void(record, self.term):
            return
        if self.is_live(record.into, record.vm):
            self.lanes.remove(record.task)
            self.followers.add(record.task, record.into)
        else:
            self._waits_again(self.lanes.reconsider(record.task))

    def is_live(self, task: TaskId, vm: VmId) -> bool:
        """Whether a task waits or runs."""
        return self.lanes.unsettled(task) is not None or self.lanes.leased(vm) == task

    def _on_leased(self, entry: Entry, record: Leased) -> None:
        if record.term != self.term:
            return  # of a leader that had been replaced: nobody obeys it
        self.lanes.lease(record.task)
        if self.lanes.leased(record.vm) == record.task:  # else it had ended before, and nobody runs it
            self.note_lease(record, LeaseToken(entry.offset), since=entry.at)

    def note_lease(self, record: Leased, token: LeaseToken | None, since: float) -> None:
        """What comes after a migration under the VM's other name is best done by the same worker."""
        running = self.lanes.running(record.vm)
        if running is None:
            raise AssertionError(f"lane {record.vm} is leased to nobody")
        brief = running.brief
        lease = Lease(record.task, record.vm, token, brief.takes_slot, since)
        self.workers.lease(record.worker, lease)
        if token is not None and brief.other_name is not None:
            self.workers.remember(brief.other_name, record.worker)

    def _on_finished(self, record: Finished) -> None:
        self.lanes.remove(record.task)
        self.lanes.release(record.vm, record.task)
        self.workers.settle(record.task)
        for task in self.followers.end(record.task):
            self.cancels.pop(task, None)

    def _on_cancel(self, record: CancelRequested) -> None:
        """Noted by every replica: a leader that dies before it has acted leaves the wish to the next.

        What runs has its worker told by the same record; a wish that came before the lease is no more then.
        """
        task = record.task
        waiting = self.waiting(task)
        if waiting is not None or task in self.followers:
            self.cancels[task] = record.vm if waiting is None else waiting.vm
        else:
            self.cancels.pop(task, None)

    def waiting(self, task: TaskId) -> Waiting | None:
        """A task that waits, as far as the log tells: a decision or a lease that is not read yet is none."""
        vm = self.workers.unwritten_for(task)
        return self.lanes.unsettled(task) or (self.lanes.running(vm) if vm is not None else None)

    def _on_changed(self, record: Reprioritised | DeadlineSet) -> None:
        """Of no task but one that waits; should a lease of it come to nothing, it waits as it was told to."""
        waiting = self.waiting(record.task)
        if waiting is None:
            return
        match record:
            case Reprioritised(priority=priority):
                self.lanes.reprioritise(waiting, max(-PRIORITY_MAX, min(priority, PRIORITY_MAX)))
            case DeadlineSet(deadline=deadline):  # pragma: no branch  there is no other
                waiting.deadline = deadline
                self.deadlines.note(waiting)

    def _on_elected(self, offset: Offset, record: Elected, now: float) -> None:
        """What the last leader has decided and not written is void."""
        self.term = Term(offset)
        self.leader = record.redirector
        self.workers.trust(now)
        for lease in self.workers.void_unwritten():
            self._waits_again(self.lanes.give_back(lease.vm, lease.task))
        for waiting in self.lanes.reconsider_all():
            self._waits_again(waiting)

    def _on_life_began(self, entry: Entry) -> None:
        if entry.at - self.life_at > ONE_LOSS_S:
            self.life, self.life_at = entry.offset, entry.at

    def _waits_again(self, task: Waiting | None) -> None:
        """Its deadline may have passed unnoticed while it did not wait."""
        if task is not None:
            self.deadlines.note(task)

    def _on_worker(
        self, record: WorkerUp | WorkerDown | WorkerDraining | Heartbeat | Started | Parked, now: float
    ) -> None:
        match record:
            case WorkerUp():
                self.workers.come(record.worker, record.epoch, record.capacity, now)
            case WorkerDown():
                self.workers.go(record.worker, record.epoch, now)
            case WorkerDraining():
                self.workers.drain(record.worker, draining=record.draining)
            case Heartbeat():
                self.workers.hear(record.worker, now)
                self.workers.strand(record.worker, record.stranded)
            case Started():
                self.workers.hear(record.worker, now)
                self.workers.unpark(record.task)
            case Parked():  # pragma: no branch  there is no other
                self.workers.park(record.task, record.token)

    def _on_lane(self, record: LaneHeld | LaneReleased | LaneShared | Removed) -> None:
        """Of a VM that is gone nothing is kept: one of the same name may come, which nobody has held."""
        match record:
            case LaneHeld(vm=vm):
                self.lanes.hold(vm, held=True)
            case LaneReleased(vm=vm):
                self.lanes.hold(vm, held=False)
            case LaneShared(vm=vm, shares=shares):
                self.lanes.share(vm, shares=shares)
            case Removed(vm=vm):  # pragma: no branch  there is no other
                self.lanes.share(vm, shares=False)
                self.lanes.hold(vm, held=False)
                self.workers.forget(vm)
