"""Core: the fold and the decisions of a redirector; every replica folds, only the leader decides."""

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

from bus.ports import Entry
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, is_safe_name
from schema.notices import Accepted, Rejected
from schema.objects.errors import Cancelled, Error, InternalError
from schema.records import (
    CancelRequested,
    Elected,
    Failed,
    Finished,
    Heartbeat,
    LaneHeld,
    LaneReleased,
    Leased,
    Merged,
    Refused,
    Reprioritised,
    Started,
    Submitted,
    WorkerDown,
    WorkerUp,
)

from redirector.effects import Append, Effect, Notify
from redirector.lanes import Lanes, Waiting
from redirector.merge import is_clean_stop, is_forced_power_off
from redirector.workers import Lease, Workers

NO_TERM = Term(-1)
"""Before the first election."""

URGENT = 1_000
"""The priority of a forced power-off: nothing that waits is worth waiting for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how long silence may last; each limit answers with a clear error."""

    lane_tasks_max: int = 1_000
    instance_tasks_max: int = 1_000_000
    requests_remembered: int = 100_000
    worker_silence_s: float = 20.0


@dataclass(slots=True)
class Redirector:
    """One instance's redirector. `name` is this process's own: by it, it knows its own election."""

    name: str
    limits: Limits = field(default_factory=Limits)
    term: Term = NO_TERM
    leads: bool = False
    lanes: Lanes = field(default_factory=Lanes)
    workers: Workers = field(default_factory=Workers)
    _requests: OrderedDict[str, TaskId] = field(default_factory=OrderedDict)
    _followers: dict[TaskId, list[TaskId]] = field(default_factory=dict)
    _merged: set[TaskId] = field(default_factory=set)
    _cancels: dict[TaskId, VmId] = field(default_factory=dict)
    _deadlines: list[tuple[float, TaskId]] = field(default_factory=list)

    def on_entry(self, entry: Entry, now: float) -> list[Effect]:
        """Fold one entry; what the leader decides on it. `now` is in seconds since the epoch."""
        effects = self._fold(entry, now)
        return [*effects, *self._lease_all()] if self.leads else []

    def on_leadership(self, *, held: bool) -> list[Effect]:
        """The leader's queue is ours, or no longer: to lead, our election must first be read."""
        if not held:
            self.leads = False
            return []
        return [Append(Elected(redirector=self.name))]

    def on_time(self, now: float) -> list[Effect]:
        """What has become due: deadlines, workers that have fallen silent."""
        if not self.leads:
            return []
        return [*self._expire(now), *self._lose_workers(now), *self._lease_all()]

    def _fold(self, entry: Entry, now: float) -> list[Effect]:
        match entry.record:
            case Submitted() as record:
                return self._on_submitted(entry.offset, record, now)
            case Refused(task=task) | Merged(task=task):
                return self._on_settled_elsewhere(entry.record, task)
            case Leased() as record:
                self._on_leased(entry.offset, record)
            case Finished() as record:
                self._on_finished(record)
            case CancelRequested() as record:
                return self._on_cancel(record)
            case Elected() as record:
                return self._on_elected(entry.offset, record, now)
            case WorkerUp() as record:
                self.workers.come(record.worker, record.epoch, record.capacity, now)
            case WorkerDown() as record:
                self.workers.go(record.worker, record.epoch)
            case Heartbeat(worker=worker) | Started(worker=worker):
                self.workers.hear(worker, now)
            case LaneHeld(vm=vm):
                self.lanes.hold(vm, held=True)
            case LaneReleased(vm=vm):
                self.lanes.hold(vm, held=False)
            case Reprioritised() as record:
                self.lanes.reprioritise(record.task, record.priority)
            case _:
                pass  # progress, changes and barriers decide nothing here
        return []

    # --- a task comes -------------------------------------------------------------------------------

    def _on_submitted(self, offset: Offset, record: Submitted, now: float) -> list[Effect]:
        task = TaskId(offset)
        first = self._requests.get(record.request_id)
        if first is not None:
            refusal = InternalError(message=f"a repeat of request {record.request_id}, which is task {first}")
            accepted = Accepted(request_id=record.request_id, task=first)
            return [Append(Refused(vm=record.vm, task=task, error=refusal)), *_notify(record, accepted)]
        error = self._objection(record, now) if self.leads else None
        if error is not None:
            rejected = Rejected(request_id=record.request_id, error=error)
            return [Append(Refused(vm=record.vm, task=task, error=error)), *_notify(record, rejected)]
        self._remember(record.request_id, task)
        self._queue(task, record)
        accepted = Accepted(request_id=record.request_id, task=task)
        return [*_notify(record, accepted), *self._merge(task, record.vm), *self._overtake(task, record)]

    def _objection(self, record: Submitted, now: float) -> Error | None:
        """Why a task is not accepted."""
        if not is_safe_name(record.vm):
            return InternalError(
                message=f"{record.vm!r} cannot name a VM: use letters, digits, '.', '_', '-'"
            )
        if now > record.accept_by:
            late = now - record.accept_by
            return InternalError(message=f"the request was met {late:.1f} s too late; submit it again")
        if self.lanes.depth(record.vm) >= self.limits.lane_tasks_max:
            most = self.limits.lane_tasks_max
            return InternalError(
                message=f"{most} tasks wait for VM {record.vm} already; cancel some, or wait"
            )
        if len(self.lanes) >= self.limits.instance_tasks_max:
            most = self.limits.instance_tasks_max
            return InternalError(message=f"{most} tasks wait already; wait until some have ended")
        return None

    def _remember(self, request_id: str, task: TaskId) -> None:
        self._requests[request_id] = task
        if len(self._requests) > self.limits.requests_remembered:
            self._requests.popitem(last=False)

    def _queue(self, task: TaskId, record: Submitted) -> None:
        urgent = is_forced_power_off(record.operation)
        self.lanes.push(
            Waiting(
                id=task,
                vm=record.vm,
                operation=record.operation,
                request_id=record.request_id,
                reply_to=record.reply_to,
                accept_by=record.accept_by,
                deadline=record.deadline,
                priority=URGENT if urgent else 0,
            )
        )
        if record.deadline is not None:
            heapq.heappush(self._deadlines, (record.deadline, task))

    def _merge(self, task: TaskId, vm: VmId) -> list[Effect]:
        """Join a check that waits already; one that executes does not count: it may have looked too early."""
        earlier = self.lanes.earlier_check(task)
        if earlier is None:
            return []
        self.lanes.remove(task)
        return [Append(Merged(vm=vm, task=task, into=earlier))]

    def _overtake(self, task: TaskId, record: Submitted) -> list[Effect]:
        """A forced power-off ends every clean stop before it, waiting or under way."""
        if not is_forced_power_off(record.operation):
            return []
        pointless = [
            waiting.id
            for waiting in self.lanes.waiting(record.vm)
            if waiting.id != task and is_clean_stop(waiting.operation)
        ]
        effects: list[Effect] = [
            self._finish_waiting(other, Cancelled(task=str(other))) for other in pointless
        ]
        running = self.lanes.leased(record.vm)
        if running is not None:
            effects.append(Append(CancelRequested(vm=record.vm, task=running)))
        return effects

    # --- a task goes --------------------------------------------------------------------------------

    def _on_settled_elsewhere(self, record: Refused | Merged, task: TaskId) -> list[Effect]:
        removed = self.lanes.remove(task)
        if isinstance(record, Merged):
            self._followers.setdefault(record.into, []).append(task)
            self._merged.add(task)
        elif removed is not None and self._requests.get(removed.request_id) == task:
            del self._requests[removed.request_id]
        return []

    def _on_leased(self, offset: Offset, record: Leased) -> None:
        if record.term != self.term:
            return  # of a leader that had been replaced: nobody obeys it
        self.lanes.occupy(record.vm, record.task)
        self.workers.lease(record.worker, Lease(record.task, record.vm, LeaseToken(offset)))

    def _on_finished(self, record: Finished) -> None:
        self.lanes.remove(record.task)
        self.lanes.release(record.vm, record.task)
        self.workers.settle(record.task)
        for task in (record.task, *self._followers.pop(record.task, ())):
            self._merged.discard(task)
            self._cancels.pop(task, None)

    def _on_cancel(self, record: CancelRequested) -> list[Effect]:
        """Noted by every replica: a leader that dies before it has acted leaves the wish to the next."""
        if self.lanes.find(record.task) is None and record.task not in self._merged:
            return []  # it runs, so its worker cancels it, or it has ended
        self._cancels[record.task] = record.vm
        return self._cancel_now(record.task) if self.leads else []

    def _cancel_now(self, task: TaskId) -> list[Effect]:
        error = Cancelled(task=str(task))
        if self.lanes.find(task) is not None:
            return [self._finish_waiting(task, error)]
        return [Append(_failed(self._cancels[task], task, error))]

    def _finish_waiting(self, task: TaskId, error: Error) -> Effect:
        waiting = self.lanes.remove(task)
        if waiting is None:
            raise AssertionError(f"task {task} does not wait")
        return Append(_failed(waiting.vm, task, error))

    # --- leading ------------------------------------------------------------------------------------

    def _on_elected(self, offset: Offset, record: Elected, now: float) -> list[Effect]:
        """A new leader does what the last one may have died before it could."""
        self.term = Term(offset)
        self.leads = record.redirector == self.name
        for lease in self.workers.void_unwritten():
            self.lanes.release(lease.vm, lease.task)
        if not self.leads:
            return []
        owed = [effect for task in list(self._cancels) for effect in self._cancel_now(task)]
        return owed + [
            Notify(waiting.reply_to, Accepted(request_id=waiting.request_id, task=waiting.id))
            for waiting in self.lanes.all()
            if waiting.reply_to and waiting.accept_by >= now
        ]

    def _lease_all(self) -> list[Effect]:
        """Give every task a worker whose turn it is, as long as workers are free."""
        effects: list[Effect] = []
        while (task := self.lanes.next()) is not None:
            worker = self.workers.choose(task.vm)
            if worker is None:
                break
            self.lanes.lease(task.id)
            self.workers.lease(worker.name, Lease(task.id, task.vm, None))
            effects.append(Append(Leased(vm=task.vm, task=task.id, worker=worker.name, term=self.term)))
        return effects

    def _expire(self, now: float) -> list[Effect]:
        effects = []
        while self._deadlines and self._deadlines[0][0] < now:
            _, task = heapq.heappop(self._deadlines)
            if self.lanes.find(task) is not None:
                error = InternalError(message=f"task {task} was not begun before its deadline")
                effects.append(self._finish_waiting(task, error))
        return effects

    def _lose_workers(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for worker in self.workers.all():
            silence = now - worker.seen
            if not worker.up or silence <= self.limits.worker_silence_s:
                continue
            sentence = f"worker {worker.name} was lost: silent for {silence:.0f} s; look at the VM's state"
            for lease in list(worker.leases.values()):
                finished = _failed(lease.vm, lease.task, InternalError(message=sentence))
                effects.append(Append(finished.model_copy(update={"token": lease.token})))
            self.workers.go(worker.name, worker.epoch)
            effects.append(Append(WorkerDown(worker=worker.name, epoch=worker.epoch)))
        return effects


def _failed(vm: VmId, task: TaskId, error: Error) -> Finished:
    return Finished(vm=vm, task=task, outcome=Failed(error=error))


def _notify(record: Submitted, notice: Accepted | Rejected) -> list[Effect]:
    return [Notify(record.reply_to, notice)] if record.reply_to else []
