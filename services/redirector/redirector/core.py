"""Core: the decisions of a redirector. Every replica folds the log, only the leader decides.

What may be relied upon, whoever dies when:

- A leader's decision on a task is in force once it is read in the log, in the term in which it was made.
- Two replicas that have read up to the same offset give the same snapshot, whether one of them leads or not.
- A VM has at most one lease that is in force; no lease is in force that is of an older term.
- A task that was accepted waits, is leased, follows another, or has ended; it never waits without its lane
  being held, its deadline or turn to come, or another task to end before.
- When all tasks have ended nothing is left of them but requests that may still be repeated.
"""

from collections import deque
from dataclasses import dataclass, field

from bus.ports import Entry
from schema.again import undone
from schema.ids import TaskId, Term, VmId, WorkerName, is_safe_name
from schema.notices import Accepted, Ended, Rejected
from schema.objects.dynamic import VmObject
from schema.objects.errors import Cancelled, Error, InternalError
from schema.records import (
    CancelRequested,
    Elected,
    Failed,
    Finished,
    Leased,
    Merged,
    Refused,
    Submitted,
    WorkerDown,
    is_void,
)

from redirector.brief import Stop
from redirector.effects import Append, Effect, Notify
from redirector.fold import NO_LIFE, Fold
from redirector.lane import Waiting
from redirector.lanes import Lanes
from redirector.limits import Limits
from redirector.snapshot import restored, taken
from redirector.workers import Worker, Workers

TOLD_AT_ONCE = 1_000
"""So many are told at a time by a new leader that they are accepted; between, it decides, some ms later."""

TOLD_S = 60.0
"""Of a task that ended longer ago nobody is told: who has waited for it has gone, or was told by others."""


@dataclass(slots=True)
class Redirector:
    """One instance's redirector. `name` is this process's own: by it, it knows its own election.

    `version` is its software's. `_stands`: how many of its elections are still to be read. `_refusing`: tasks
    whose refusal it has decided and not read yet. `_untold`: requests, with their tasks, whose submitters may
    not know that they are accepted, for their leader died.
    """

    name: str
    limits: Limits = field(default_factory=Limits)
    version: str = ""
    fold: Fold = field(default_factory=Fold)
    leads: bool = False
    _lost: set[TaskId] = field(default_factory=set)
    _refusing: set[TaskId] = field(default_factory=set)
    _untold: deque[tuple[str, TaskId]] = field(default_factory=deque)
    _holds: bool = False
    _stands: int = 0

    @property
    def term(self) -> Term:
        """Since when the present leader leads, as far as is known."""
        return self.fold.term

    @property
    def lanes(self) -> Lanes:
        """What waits, and what is leased."""
        return self.fold.lanes

    @property
    def workers(self) -> Workers:
        """Who runs tasks."""
        return self.fold.workers

    def on_entry(self, entry: Entry, now: float) -> list[Effect]:
        """Fold one entry; what the leader decides on it. `now` is in seconds since the epoch."""
        told = self._tell(entry, now)
        self.fold.on_entry(entry, now)
        record = entry.record
        if record.kind == "Elected":
            told += self._on_election(own=record.redirector == self.name)
        if not self.leads:
            return told
        decided = self._decide(entry, now)
        leases = [] if record.kind == "Leased" else self._lease_all()  # one that is read lets nothing else go
        return [*told, *leases, *decided]  # first what a worker waits for

    def on_leadership(self, *, held: bool) -> list[Effect]:
        """The leader's queue is ours, or no longer: to lead, our election must first be read."""
        self._holds = held
        if not held:
            self.leads = False
            self._untold.clear()
            return []
        return self._stand()

    def _on_election(self, *, own: bool) -> list[Effect]:
        """An election that the broker took late, of one that leads no more, must not end that of who does."""
        self.leads = own
        self._lost.clear()
        self._refusing.clear()
        self._untold.clear()
        self._stands = max(0, self._stands - own)
        return self._stand() if self._holds and not own and not self._stands else []

    def _stand(self) -> list[Effect]:
        self._stands += 1
        return [Append(Elected(redirector=self.name, version=self.version))]

    def on_time(self, now: float) -> list[Effect]:
        """What has become due: deadlines, workers that have fallen silent."""
        if not self.leads:
            return []
        return [*self._expire(now), *self._lose_workers(now), *self._lease_all()]

    def snapshot(self) -> bytes:
        """What all entries read so far have left, for whoever goes on from here (`redirector.snapshot`)."""
        return taken(self.fold)

    def restore(self, snapshot: bytes) -> None:
        """Know what another had read when it made its snapshot.

        Raises:
            SnapshotError: it is none, or none that this version reads; nothing has changed.
        """
        self.fold = restored(snapshot)
        self.leads = False

    def _decide(self, entry: Entry, now: float) -> list[Effect]:
        """What an entry, which has been folded, makes the leader do."""
        record = entry.record
        match record.kind:
            case "Submitted":
                return self._on_submitted(TaskId(entry.offset), record, now)
            case "Leased" if record.task in self.fold.cancels:  # the wish came before the worker had it
                return [Append(CancelRequested(vm=record.vm, task=record.task))]
            case "CancelRequested" if record.task in self.fold.cancels:
                return self._cancel(record.task)
            case "Elected":
                return self._on_elected(now)
            case "LifeBegan":
                return self._end_doubtful()
            case _:
                return []

    # --- a task comes -------------------------------------------------------------------------------

    def _on_submitted(self, task: TaskId, record: Submitted, now: float) -> list[Effect]:
        if task in self.fold.repeats:
            return [self._refuse_repeat(task), *self._on_repeat(task, record)]
        error = self._objection(record, now)
        if error is not None:
            self.fold.lanes.decide(task)
            self._refusing.add(task)
            return [Append(Refused(vm=record.vm, task=task, error=error, term=self.term))]
        accepted = Accepted(request_id=record.request_id, task=task)
        waiting = self.fold.lanes.find(task)
        is_notable = waiting is not None and waiting.brief.is_notable
        return [*_notify(record, accepted), *(self._reconsider(waiting) if waiting and is_notable else ())]

    def _on_repeat(self, task: TaskId, record: Submitted) -> list[Effect]:
        """What became of the first one; while its refusal is being written nobody can tell."""
        first, _ = self.fold.repeats[task]
        if first in self._refusing:
            return []
        if self.fold.requests.is_refused(record.request_id):
            error = undone(f"the request was refused as task {first}")
            return _notify(record, Rejected(request_id=record.request_id, error=error))
        return _notify(record, Accepted(request_id=record.request_id, task=first))

    def _refuse_repeat(self, task: TaskId) -> Effect:
        first, vm = self.fold.repeats[task]
        error = InternalError(message=f"a repeat of a request that was met before: it is task {first}")
        return Append(Refused(vm=vm, task=task, error=error, term=self.term))

    def _objection(self, record: Submitted, now: float) -> Error | None:
        """Why a task, which waits already, is not accepted."""
        if not is_safe_name(record.vm):
            return InternalError(
                message=f"{record.vm!r} cannot name a VM: use letters, digits, '.', '_', '-'"
            )
        if now > record.accept_by:
            late = now - record.accept_by
            return undone(f"the request was met {late:.1f} s too late")
        if self.fold.lanes.depth(record.vm) > self.limits.lane_tasks_max:
            most = self.limits.lane_tasks_max
            return InternalError(
                message=f"{most} tasks wait for VM {record.vm} already; cancel some, or wait"
            )
        if len(self.lanes) > self.limits.instance_tasks_max:
            most = self.limits.instance_tasks_max
            return InternalError(message=f"{most} tasks wait already; wait until some have ended")
        return None

    def _reconsider(self, waiting: Waiting) -> list[Effect]:
        """What a waiting task means for others, and they for it. Only the leader may act on it.

        A replica that did so in its fold would lose the task when the leader dies before its word is written.
        """
        return self._merge(waiting) or self._overtake(waiting)

    def _merge(self, check: Waiting) -> list[Effect]:
        """Join a check that waits already; one that executes does not count: it may have looked too early."""
        earlier = self.fold.lanes.earlier_check(check)
        if earlier is None:
            return []
        self.fold.lanes.decide(check.id)
        merged = Merged(
            vm=check.vm, task=check.id, into=earlier, traceparent=check.traceparent, term=self.term
        )
        return [Append(merged, check)]

    def _overtake(self, power_off: Waiting) -> list[Effect]:
        """A forced power-off ends every clean stop before it, waiting or running; others keep their turn."""
        if power_off.brief.stop is not Stop.FORCED:
            return []
        effects = [self._cancel_waiting(stop.id) for stop in self.fold.lanes.clean_stops_before(power_off)]
        running = self.fold.lanes.running(power_off.vm)
        if running is not None and running.brief.stop is Stop.CLEAN:
            effects.append(Append(CancelRequested(vm=running.vm, task=running.id)))
        return effects

    # --- a task goes --------------------------------------------------------------------------------

    def _tell(self, entry: Entry, now: float) -> list[Effect]:
        """What an entry, which has not been folded yet, means for who waits for news of a task.

        Told by every replica; nobody minds to be told again. Of what is long ago nobody is told.
        """
        told: list[Effect] = []
        record = entry.record
        match record.kind:
            case "Finished":
                self._lost.discard(record.task)
                told = self._on_end(record)
            case "Refused" if not is_void(record, self.term):
                self._refusing.discard(record.task)
                told = self._on_refused(record)
            case _:
                pass
        return told if now - entry.at <= TOLD_S else []

    def _on_refused(self, record: Refused) -> list[Effect]:
        """Only now: a leader that is replaced before its refusal is written has refused nothing."""
        refused = self.fold.lanes.unsettled(record.task)
        if refused is None or refused.reply_to is None:
            return []
        return [Notify(refused.reply_to, Rejected(request_id=refused.request_id, error=record.error))]

    def _on_end(self, record: Finished) -> list[Effect]:
        ended = self.fold.lanes.unsettled(record.task) or self.fold.lanes.running(record.vm)
        if ended is None or ended.id != record.task or not ended.awaited or ended.reply_to is None:
            return []
        error = record.outcome.error if isinstance(record.outcome, Failed) else None
        return [Notify(ended.reply_to, Ended(request_id=ended.request_id, error=error))]

    def _cancel(self, task: TaskId) -> list[Effect]:
        """End what waits or follows another; what is leased has its worker told, once that knows of it."""
        if self.fold.lanes.find(task) is not None:
            return [self._cancel_waiting(task)]
        vm = self.fold.cancels[task]
        if task in self.fold.followers or self.fold.lanes.unsettled(task) is not None:
            return [Append(_failed(vm, task, Cancelled(task=str(task))))]
        if self.fold.workers.unwritten_for(task) is not None:
            return []  # the worker knows nothing of it yet: told when that record is read
        return [Append(CancelRequested(vm=vm, task=task))]

    def _cancel_waiting(self, task: TaskId) -> Effect:
        return self._finish_waiting(task, Cancelled(task=str(task)))

    def _finish_waiting(self, task: TaskId, error: Error) -> Effect:
        waiting = self.fold.lanes.decide(task)
        failed = _failed(waiting.vm, task, error)
        return Append(failed.model_copy(update={"traceparent": waiting.traceparent}), waiting)

    # --- leading ------------------------------------------------------------------------------------

    def _on_elected(self, now: float) -> list[Effect]:
        """A new leader does what the last one may have died before it could."""
        fold = self.fold
        effects = [self._refuse_repeat(task) for task in fold.repeats]
        effects += self._end_doubtful()
        for task in list(fold.cancels):
            effects += self._cancel(task)
        for waiting in self.fold.lanes.notable():
            effects += self._reconsider(waiting)
        self._untold.extend((request_id, task) for request_id, task, _ in fold.requests.items())
        return effects + self.tell_some(now)

    def _end_doubtful(self) -> list[Effect]:
        """What has waited since before the log lost its end may have been done: it is not done again."""
        life = self.fold.life
        if life == NO_LIFE:
            return []
        doubtful = [waiting.id for waiting in self.fold.lanes.undecided() if waiting.id < life]
        sentence = (
            "the log has lost its end since this was asked for, and so whether it was done: look at the VM's "
            "state, and ask again"
        )
        return [self._finish_waiting(task, InternalError(message=sentence)) for task in doubtful]

    @property
    def has_more_to_tell(self) -> bool:
        """Whether `tell_some` is to be called again, soon."""
        return bool(self._untold)

    def tell_some(self, now: float) -> list[Effect]:
        """Whoever may still wait for it is told that his request is accepted: some of them."""
        some = [self._untold.popleft() for _ in range(min(TOLD_AT_ONCE, len(self._untold)))]
        effects: list[Effect] = []
        for request_id, task in some:
            found = self.fold.lanes.find(task)
            if found is not None and found.reply_to and found.accept_by >= now:
                effects.append(Notify(found.reply_to, Accepted(request_id=request_id, task=task)))
        return effects

    def _lease_all(self) -> list[Effect]:
        """Give every task a worker whose turn it is, as long as workers are free."""
        effects: list[Effect] = []
        lanes, workers = self.fold.lanes, self.fold.workers
        while (task := lanes.next_arrival()) is not None:
            worker = workers.choose(task.vm, takes_slot=False)
            if worker is None:
                break
            effects.append(self._lease(task, worker.name))
        while (free := workers.first_free()) is not None and (task := lanes.next()) is not None:
            effects.append(self._lease(task, (workers.choose(task.vm) or free).name))
        return effects

    def _lease(self, task: Waiting, worker: WorkerName) -> Effect:
        leased = Leased(vm=task.vm, task=task.id, worker=worker, term=self.term, traceparent=task.traceparent)
        self.fold.lanes.lease(task.id)
        self.fold.note_lease(leased, None, since=task.since)
        return Append(leased, task)

    def _expire(self, now: float) -> list[Effect]:
        return [
            self._finish_waiting(
                task, InternalError(message=f"task {task} was not begun before its deadline")
            )
            for task in self.fold.deadlines.passed(now)
        ]

    def _lose_workers(self, now: float) -> list[Effect]:
        """Who is silent is written down; who does not object once that can be read loses its leases.

        Silence alone proves nothing: a broker in trouble silences everybody.
        """
        effects: list[Effect] = []
        for worker in self.fold.workers.all():
            silence = now - worker.seen
            if worker.up and not worker.suspected and silence > self.limits.worker_silence_s:
                self.fold.workers.suspect(worker)
                effects.append(Append(WorkerDown(worker=worker.name, epoch=worker.epoch)))
            elif not worker.up and silence > self.limits.worker_answer_s:
                effects += self._lose(worker, silence)
        return effects

    def _lose(self, worker: Worker, silence: float) -> list[Effect]:
        """The end of all that a worker had under way: nobody knows how far it came, so nobody tries again.

        It may have changed the VM and told nobody: clients are told to look.
        """
        sentence = f"worker {worker.name} was lost: silent for {silence:.0f} s; look at the VM's state"
        effects: list[Effect] = []
        for lease in worker.leases.values():
            if lease.task not in self._lost:
                self._lost.add(lease.task)
                record = _failed(lease.vm, lease.task, InternalError(message=sentence))
                looks = {"token": lease.token, "changed": (VmObject(id=lease.vm),)}
                effects.append(Append(record.model_copy(update=looks)))
        return effects


def _failed(vm: VmId, task: TaskId, error: Error) -> Finished:
    return Finished(vm=vm, task=task, outcome=Failed(error=error))


def _notify(record: Submitted, notice: Accepted | Rejected) -> list[Effect]:
    return [Notify(record.reply_to, notice)] if record.reply_to else []
