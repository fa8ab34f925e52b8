"""Tasks: what the log says about each task, as the interface shows it.

A task is there from its `Submitted` on and ends with the first `Finished`, once. One that was merged into
another ends with it. It is kept until a client destroys it, or until it is old and nobody has.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bus.ports import Entry
from schema import records
from schema.ids import LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.errors import Error
from schema.objects.task import Completed, Completion, Failed, Pending, Task, TaskState
from schema.operations import (
    Operation,
    PciCheckState,
    VbdCheckState,
    VifCheckState,
    VmCheckState,
    VusbCheckState,
)
from schema.wire.codec import to_rpc
from schema.wire.value import Dict

FINISHED_MAX = 10_000
"""Finished tasks kept for clients that have not destroyed them: the oldest go first."""

FINISHED_AGE_MAX_S = 24 * 3600.0
"""How long a finished task is kept for a client that does not come back."""

NO_TERM = Term(-1)
"""Before the first election."""

_CHECKS = (VmCheckState, PciCheckState, VbdCheckState, VifCheckState, VusbCheckState)


@dataclass(slots=True)
class TaskStory:
    """One task as far as the log tells."""

    id: TaskId
    vm: VmId
    operation: Operation
    dbg: str
    created: float
    destroy_on_finish: bool
    awaited: bool = False
    """Whoever submitted it waits for its end, and asks here if nobody tells him; nobody else sees it then."""
    destroyed: bool = False
    state: TaskState = field(default_factory=lambda: Pending(progress=0.0))
    subtasks: tuple[tuple[str, float], ...] = ()
    debug_info: tuple[tuple[str, str], ...] = (("cancel_points_seen", "0"),)
    backtrace: str = "()"
    cancellable: bool = True
    token: LeaseToken | None = None
    worker: WorkerName | None = None
    merged: bool = False
    followers: list[TaskId] = field(default_factory=list)
    generation: int = field(default=0, compare=False)

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return not isinstance(self.state, Pending)

    def shown(self) -> Task:
        """The task as the interface shows it."""
        return Task(
            id=str(self.id),
            dbg=self.dbg,
            ctime=self.created,
            state=self.state,
            subtasks=tuple((name, Pending(progress=fraction)) for name, fraction in self.subtasks),
            debug_info=self.debug_info,
            backtrace=self.backtrace,
            cancellable=self.cancellable,
        )


@dataclass(frozen=True, slots=True)
class _End:
    """How and when a task ended, and so all that were merged into it."""

    state: TaskState
    backtrace: str
    at: float


@dataclass(slots=True)
class TaskChanges:
    """What one entry did: tasks to be told of, in order, and tasks that are no more."""

    changed: list[TaskId] = field(default_factory=list)
    gone: list[TaskId] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TasksState:
    """All that `Tasks` knows; the finished ones with their times, in the order in which they go."""

    stories: tuple[TaskStory, ...]
    finished: tuple[tuple[TaskId, float], ...]
    term: Term


class Tasks:
    """The fold: give it every entry; ask for tasks.

    A story that somebody holds as a part of a state is never changed: it is copied first, once.
    """

    def __init__(self, finished_max: int = FINISHED_MAX) -> None:
        self._finished_max = finished_max
        self._stories: dict[TaskId, TaskStory] = {}
        self._finished: OrderedDict[TaskId, float] = OrderedDict()
        self._term = NO_TERM
        self._generation = 0

    def state(self) -> TasksState:
        """What is known now; to take it costs little, to keep it nothing."""
        self._generation += 1
        return TasksState(tuple(self._stories.values()), tuple(self._finished.items()), self._term)

    def take(self, state: TasksState) -> None:
        """Know what a state says, and nothing else."""
        self._generation += 1
        self._stories = {story.id: story for story in state.stories}
        self._finished = OrderedDict(state.finished)
        self._term = state.term

    def _own(self, task: TaskId) -> TaskStory | None:
        """A story that may be changed."""
        story = self._stories.get(task)
        if story is None or story.generation == self._generation:
            return story
        own = replace(story, followers=list(story.followers), generation=self._generation)
        self._stories[task] = own
        return own

    def find(self, task: TaskId) -> TaskStory | None:
        """The task, unless it never was, was refused, destroyed or has been kept for too long."""
        story = self._stories.get(task)
        return None if story is None or story.destroyed else story

    def find_awaited(self, task: TaskId) -> TaskStory | None:
        """The same, also of one that has ended and was awaited."""
        story = self._stories.get(task)
        return story if story is not None and story.awaited else self.find(task)

    def all(self) -> list[TaskStory]:
        """All tasks, ordered by id as the original orders them: as text."""
        shown = (story for story in self._stories.values() if not story.destroyed)
        return sorted(shown, key=lambda story: str(story.id))

    def queued(self) -> Iterator[TaskStory]:
        """Tasks that wait in a lane, in order of arrival."""
        return (
            story
            for story in self._stories.values()
            if not story.finished and story.token is None and not story.merged
        )

    def running(self) -> Iterator[TaskStory]:
        """Tasks that a worker may be running."""
        return (story for story in self._stories.values() if not story.finished and story.token is not None)

    def on_entry(self, entry: Entry) -> TaskChanges:
        """Take the next entry; answers what it did to tasks."""
        changes = TaskChanges()
        record = entry.record
        match record.kind:
            case "Submitted":
                self._submit(record, entry)
            case "Refused":
                if not records.is_void(record, self._term):
                    self._drop(record.task, changes)
            case "Merged":
                if not records.is_void(record, self._term):
                    self._merge(record)
            case "Elected":
                self._term = Term(entry.offset)
            case "Leased":
                self._lease(record, entry)
            case "Progress":
                self._progress(record, changes)
            case "Finished":
                self._finish(record, entry.at, changes)
            case "TaskDestroyed":
                self._destroy(record, changes)
            case _:
                pass  # no other record says anything about a task that the interface shows
        self._expire(entry.at, changes)
        return changes

    def _submit(self, submitted: records.Submitted, entry: Entry) -> None:
        task = TaskId(entry.offset)
        nobody_asked = submitted.reply_to is None and isinstance(submitted.operation, _CHECKS)
        nobody_keeps = nobody_asked or submitted.awaited
        self._stories[task] = TaskStory(
            task,
            submitted.vm,
            submitted.operation,
            submitted.dbg,
            entry.at,
            destroy_on_finish=nobody_keeps,
            awaited=submitted.awaited,
        )
        self._stories[task].generation = self._generation

    def _merge(self, merged: records.Merged) -> None:
        """Into a task that has ended, a task runs for itself: that one may have looked too early."""
        follower, leader = self._own(merged.task), self._own(merged.into)
        if follower is None or follower.finished or leader is None or leader.finished:
            return
        follower.merged = True
        leader.followers.append(follower.id)

    def _lease(self, leased: records.Leased, entry: Entry) -> None:
        story = self._own(leased.task)
        if story is not None and leased.term == self._term:
            story.token = LeaseToken(entry.offset)
            story.worker = leased.worker

    def _progress(self, progress: records.Progress, changes: TaskChanges) -> None:
        story = self._own(progress.task)
        if story is None or story.finished or story.token != progress.token:
            return
        before = (story.state, story.subtasks, story.debug_info, story.cancellable)
        story.state = Pending(progress=progress.fraction)
        story.subtasks = progress.subtasks
        story.debug_info = progress.debug_info or story.debug_info
        story.cancellable = progress.cancellable
        if before != (story.state, story.subtasks, story.debug_info, story.cancellable):
            changes.changed.append(story.id)

    def _finish(self, finished: records.Finished, at: float, changes: TaskChanges) -> None:
        story = self._own(finished.task)
        if story is None or story.finished:
            return
        story.debug_info = finished.debug_info or story.debug_info
        end = _end_of(finished, at)
        for one in (story, *self._followers(story)):
            self._end(one, end, changes)

    def _followers(self, leader: TaskStory) -> Iterator[TaskStory]:
        """All that were merged into a task, and into those."""
        for task in leader.followers:
            follower = self._own(task)
            if follower is not None and not follower.finished:
                yield follower
                yield from self._followers(follower)

    def _end(self, story: TaskStory, end: _End, changes: TaskChanges) -> None:
        story.state, story.backtrace = end.state, end.backtrace
        self._finished[story.id] = end.at
        if story.awaited:
            story.destroyed = True
            changes.gone.append(story.id)
        elif story.destroy_on_finish:
            self._drop(story.id, changes)
        else:
            changes.changed.append(story.id)

    def _destroy(self, destroyed: records.TaskDestroyed, changes: TaskChanges) -> None:
        story = self._own(destroyed.task)
        if story is None:
            return
        if story.finished:
            self._drop(story.id, changes)
            return
        story.destroy_on_finish = True
        if not destroyed.on_finish:
            story.destroyed = True  # forgotten only at its end: others may be merged into it
            changes.gone.append(story.id)

    def _drop(self, task: TaskId, changes: TaskChanges) -> None:
        self._finished.pop(task, None)
        if self._stories.pop(task, None) is not None:
            changes.gone.append(task)

    def _expire(self, now: float, changes: TaskChanges) -> None:
        while self._finished:
            oldest, at = next(iter(self._finished.items()))
            if len(self._finished) <= self._finished_max and at > now - FINISHED_AGE_MAX_S:
                return
            self._drop(oldest, changes)


def _end_of(finished: records.Finished, at: float) -> _End:
    outcome = finished.outcome
    if isinstance(outcome, records.Failed):
        return _End(Failed(error=to_rpc(Error, outcome.error)), outcome.backtrace, at)
    completion = Completion(duration=finished.duration_s, result=wire_value(outcome.result))
    return _End(Completed(completion=completion), "()", at)


def wire_value(value: Any) -> Any:
    """A record's JSON value as a wire value: objects become `Dict`."""
    match value:
        case dict():
            return Dict((name, wire_value(content)) for name, content in value.items())
        case list() | tuple():
            return [wire_value(item) for item in value]
        case _:
            return value
