"""Tasks: what the log says of each; live ones by their lane, ended ones until they are too many."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass

from schema import records
from schema.debug_info import trace_of
from schema.ids import Term
from schema.objects.errors import Cancelled
from schema.operations import AtomicOperation, Operation
from schema.records import Record
from schema.sentences import sentence

from bus.ports import Entry
from bus.stories.story import State, Story

ENDED_MAX = 10_000
"""Ended tasks that are kept, the newest: some 10 MB."""

NO_TERM = -1
"""Before the first election. Where what is read begins behind it, the first lease tells its term."""


@dataclass(frozen=True, slots=True)
class TasksState:
    """All that `Tasks` knows, in the order in which the ended ones go."""

    stories: tuple[Story, ...]
    ended: tuple[int, ...]
    term: int


class Tasks:
    """The fold: give it every entry; ask for stories, which nobody else changes."""

    def __init__(self, ended_max: int = ENDED_MAX) -> None:
        self._ended_max = ended_max
        self._stories: dict[int, Story] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._lanes: dict[str, dict[int, None]] = {}
        self._term = NO_TERM

    def state(self) -> TasksState:
        """What is known now, as copies."""
        return TasksState(tuple(map(copy, self._stories.values())), tuple(self._ended), self._term)

    def take(self, state: TasksState) -> None:
        """Know what a state says, and nothing else."""
        self._stories = {story.id: story for story in state.stories}
        self._ended = OrderedDict.fromkeys(state.ended)
        self._term = state.term
        self._lanes = {}
        for story in state.stories:
            if not story.ended:
                self._lanes.setdefault(story.vm, {})[story.id] = None

    def find(self, task: int) -> Story | None:
        """A task, if it is known."""
        return self._stories.get(task)

    def newest_first(self) -> Iterator[Story]:
        """All tasks that are known."""
        return reversed(self._stories.values())

    def live(self) -> Iterator[Story]:
        """All that have not ended, by lane."""
        return (self._stories[task] for lane in self._lanes.values() for task in lane)

    def lane(self, vm: str) -> list[Story]:
        """What of a VM has not ended, in order of arrival."""
        return [self._stories[task] for task in self._lanes.get(vm, ())]

    @property
    def vms(self) -> Iterable[str]:
        """The VMs in whose lanes anything is."""
        return self._lanes.keys()

    def count(self, *states: State) -> int:
        """How many live tasks are in one of these states."""
        return sum(story.state in states for story in self.live())

    def on_entry(self, entry: Entry) -> tuple[Story, ...]:
        """Take the next entry; answers the tasks that it ended."""
        record = entry.record
        match record:
            case records.Submitted():
                self._submit(record, entry)
            case records.Refused():
                return self._refuse(record, entry.at)
            case records.Finished():
                return self._finish(record, entry.at)
            case records.Elected():
                self._term = entry.offset
            case records.Merged() | records.Leased():
                self._decide(record, entry)
            case records.Started() | records.Parked() | records.Progress():
                self._run(record, entry.at)
            case records.CancelRequested() | records.Reprioritised() | records.DeadlineSet():
                self._wish(record, entry.at)
            case _:
                pass  # it says nothing of a task that operators see
        return ()

    def _submit(self, record: records.Submitted, entry: Entry) -> None:
        story = Story(
            entry.offset,
            record.vm,
            name_of(record.operation),
            record.dbg,
            entry.at,
            trace=trace_of(record.traceparent),
            deadline=record.deadline,
        )
        self._stories[story.id] = story
        self._lanes.setdefault(story.vm, {})[story.id] = None

    def _refuse(self, record: records.Refused, at: float) -> tuple[Story, ...]:
        story = self._live_one(record.task)
        if story is None or records.is_void(record, Term(self._term)):
            return ()
        story.state = State.REFUSED
        story.error, story.error_kind = sentence(record.error), record.error.kind
        self._end(story, at)
        return (story,)

    def _decide(self, record: records.Merged | records.Leased, entry: Entry) -> None:
        story = self._live_one(record.task)
        if story is None:
            return
        if self._term == NO_TERM and record.term is not None:
            self._term = record.term
        match record:
            case records.Leased():
                if record.term != self._term:
                    return
                story.state, story.worker, story.token = State.RUNNING, record.worker, entry.offset
                story.leased_at, story.into = entry.at, None
                story.attempts += 1
                story.began_at, story.atoms, story.atom = None, (), ""
            case records.Merged():  # pragma: no branch  there is no other
                leader = self._live_one(record.into)
                if leader is not None and not records.is_void(record, Term(self._term)):
                    story.state, story.into = State.MERGED, leader.id
                    leader.followers.append(story.id)

    def _run(self, record: records.Started | records.Parked | records.Progress, at: float) -> None:
        story = self._live_one(record.task)
        if story is None or story.token != record.token:
            return
        match record:
            case records.Started():
                story.state = State.RUNNING
            case records.Parked():
                story.state = State.PARKED
            case records.Progress():  # pragma: no branch  there is no other
                story.progress, story.atom = record.fraction, record.atom
                story.cancellable = record.cancellable
                story.atom_began_s, story.atoms = record.atom_began_s, story.atoms + record.atoms
                story.began_at = story.began_at if record.ran_s is None else at - record.ran_s

    def _wish(
        self, record: records.CancelRequested | records.Reprioritised | records.DeadlineSet, at: float
    ) -> None:
        story = self._live_one(record.task)
        if story is None:
            return
        match record:
            case records.CancelRequested():
                story.cancel_at, story.cancel_by = at, record.by
            case records.Reprioritised():
                story.priority = record.priority
            case records.DeadlineSet():  # pragma: no branch  there is no other
                story.deadline = record.deadline

    def _finish(self, record: records.Finished, at: float) -> tuple[Story, ...]:
        story = self._live_one(record.task)
        if story is None:
            return ()
        story.duration_s, story.atoms, story.atom = record.duration_s, record.atoms, ""
        state, error, kind = _outcome(record.outcome)
        ended = (story, *self._followers(story))
        for one in ended:
            one.state, one.error, one.error_kind = state, error, kind
            self._end(one, at)
        return ended

    def _followers(self, leader: Story) -> Iterator[Story]:
        """All that were merged into a task, and into those."""
        for task in leader.followers:
            follower = self._live_one(task)
            if follower is not None and follower.into == leader.id:
                yield follower
                yield from self._followers(follower)

    def _live_one(self, task: int) -> Story | None:
        story = self._stories.get(task)
        return None if story is None or story.ended else story

    def _end(self, story: Story, at: float) -> None:
        story.ended_at = at
        lane = self._lanes[story.vm]
        del lane[story.id]
        if not lane:
            del self._lanes[story.vm]
        self._ended[story.id] = None
        if len(self._ended) > self._ended_max:
            oldest, _ = self._ended.popitem(last=False)
            del self._stories[oldest]


def _outcome(outcome: records.Outcome) -> tuple[State, str, str]:
    """What has become of a task; of a failure, in words and by its name, too."""
    if isinstance(outcome, records.Succeeded):
        return State.DONE, "", ""
    state = State.CANCELLED if isinstance(outcome.error, Cancelled) else State.FAILED
    return state, sentence(outcome.error), outcome.error.kind


def name_of(operation: Operation) -> str:
    """An operation's name; of one atomic alone, the atomic's."""
    return operation.atomic.kind if isinstance(operation, AtomicOperation) else operation.kind


def vm_of(record: Record) -> str:
    """The VM that a record is about; "" if about none."""
    return getattr(record, "vm", None) or ""
