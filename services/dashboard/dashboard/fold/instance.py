"""One instance's fold: tasks, lanes, workers, barriers, and who asked for what."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bus.ports import Entry
from bus.stories.story import State, Story
from bus.stories.tasks import Tasks
from schema import records
from schema.ids import Offset
from schema.overseen import Acted, Wish

from dashboard.fold.marks import ActionSeen, Barrier, asks_as, wanted_by
from dashboard.fold.snapshot import FoldState, decoded, encoded
from dashboard.fold.workers import WorkersSeen

ACTIONS_KEPT = 200
"""What operators asked for, the newest."""


@dataclass(frozen=True, slots=True)
class LaneSeen:
    """A VM's lane as far as the log tells: what runs, what waits, whether it is held."""

    vm: str
    held_at: float | None
    running: Story | None
    waiting: tuple[Story, ...]
    merged: int

    @property
    def oldest_at(self) -> float | None:
        """Since when the longest waiting task waits."""
        return self.waiting[0].submitted_at if self.waiting else None


class InstanceFold:
    """All that is known of one instance after the entry at `offset`, made `at` seconds since the epoch."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.workers = WorkersSeen()
        self.held: dict[str, float] = {}
        self.barriers: dict[int, Barrier] = {}
        self.actions: deque[ActionSeen] = deque(maxlen=ACTIONS_KEPT)
        self.leader = ""
        self.leader_version = ""
        self.offset = -1
        self.at = 0.0
        self.kinds: Counter[str] = Counter()

    def on_entry(self, entry: Entry) -> tuple[Story, ...]:
        """Take the next entry; answers the tasks that it ended."""
        self.offset, self.at = entry.offset, entry.at
        self.kinds[entry.record.kind] += 1
        self.workers.on_entry(entry)
        self._note(entry)
        return self.tasks.on_entry(entry)

    def _note(self, entry: Entry) -> None:
        match entry.record:
            case Wish() as wish:
                self._note_wish(wish, entry)
            case records.Removed(vm=vm):
                self.held.pop(vm, None)
            case records.Barrier(vm=vm, barrier=barrier):
                self.barriers[barrier] = Barrier(barrier, vm, entry.offset, entry.at)
            case records.BarrierRemoved(barrier=barrier):
                self.barriers.pop(barrier, None)
            case records.Elected(redirector=redirector, version=version):
                self.leader, self.leader_version = redirector, version
            case Acted(who=who, action=action, subject=subject):
                self.actions.appendleft(ActionSeen(entry.offset, entry.at, who, action, subject))
            case _:
                pass  # tasks or workers take it, or it says nothing that operators see

    def _note_wish(self, wish: Wish, entry: Entry) -> None:
        """What is wanted by way of this service stands in an `Acted` already; a cancel, with its task."""
        match wish:
            case records.LaneHeld(vm=vm):
                self.held[vm] = entry.at
            case records.LaneReleased(vm=vm):
                self.held.pop(vm, None)
            case _:
                pass  # tasks or workers take it
        found = wanted_by(wish)
        if wish.by and found and not self._is_acted(wish.by, found[1]):
            self.actions.appendleft(ActionSeen(entry.offset, entry.at, wish.by, *found, proved=False))

    def _is_acted(self, by: str, subject: str) -> bool:
        """Whether an operator has asked for it here; anybody may call himself as we do."""
        return any(one.proved and one.subject == subject and asks_as(one.who) == by for one in self.actions)

    def lanes(self) -> list[LaneSeen]:
        """All lanes in which anything is or that are held, those that wait longest first."""
        names = dict.fromkeys((*self.tasks.vms, *self.held))
        return sorted(map(self.lane, names), key=_urgency)

    def lane(self, vm: str) -> LaneSeen:
        """One lane, empty or not."""
        live = self.tasks.lane(vm)
        waiting = [story for story in live if story.state is State.WAITING]
        waiting.sort(key=lambda story: -story.priority)
        running = next((story for story in live if story.state in (State.RUNNING, State.PARKED)), None)
        merged = sum(story.state is State.MERGED for story in live)
        return LaneSeen(vm, self.held.get(vm), running, tuple(waiting), merged)

    def snapshot(self) -> Iterator[bytes]:
        """What is known now, as lines."""
        return encoded(
            FoldState(
                offset=self.offset,
                at=self.at,
                leader=self.leader,
                leader_version=self.leader_version,
                held=dict(self.held),
                workers=self.workers.all(),
                barriers=tuple(self.barriers.values()),
                actions=tuple(self.actions),
            ),
            self.tasks.state(),
        )

    def restore(self, lines: Iterable[bytes]) -> None:
        """Know what lines say; raises SnapshotError for another version's."""
        state, tasks = decoded(lines)
        self.offset, self.at = Offset(state.offset), state.at
        self.leader, self.leader_version = state.leader, state.leader_version
        self.held = dict(state.held)
        self.workers.take(state.workers)
        self.barriers = {barrier.id: barrier for barrier in state.barriers}
        self.actions = deque(state.actions, maxlen=ACTIONS_KEPT)
        self.tasks.take(tasks)


def _urgency(lane: LaneSeen) -> tuple[int, float, str]:
    oldest = lane.oldest_at
    return (0, oldest, lane.vm) if oldest is not None else (1, 0.0, lane.vm)
