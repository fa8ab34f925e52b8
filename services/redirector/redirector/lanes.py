"""Lanes: what waits for each VM, what runs, what a leader has decided on, and whose turn it is.

Every step is O(1) or O(log n). A leader's decision on a task that waits takes the task out of its lane at
once, but nobody else knows of it before it has been read in the log: until then it is remembered as decided.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, repeat
from operator import attrgetter

from schema.ids import TaskId, VmId

from redirector.claims import Claims
from redirector.lane import Lane, Waiting
from redirector.turns import Turns

LANES_HELD_MAX = 100_000
"""Lanes that may be held at a time: any name can be held, but each costs memory as long as it is."""


class Lanes:
    """All lanes of an instance, and the circles of those whose next task may go."""

    def __init__(self) -> None:
        self.claims = Claims()
        self._lanes: dict[VmId, Lane] = {}
        self._vm_of: dict[TaskId, VmId] = {}
        self._decided: dict[TaskId, Waiting] = {}
        self._notable: dict[TaskId, None] = {}
        self._held: dict[VmId, None] = {}
        self._turns = Turns()
        self._arrivals = Turns()

    # --- what there is ------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many tasks wait in all lanes together."""
        return len(self._vm_of)

    def depth(self, vm: VmId) -> int:
        """How many tasks wait for one VM."""
        lane = self._lanes.get(vm)
        return len(lane.tasks) if lane else 0

    def get(self, vm: VmId) -> Lane | None:
        """A VM's lane, if anything is in it."""
        return self._lanes.get(vm)

    def count(self) -> int:
        """How many lanes there are in which anything is."""
        return len(self._lanes)

    def all(self) -> Iterator[Lane]:
        """All lanes in which anything is."""
        yield from self._lanes.values()

    def held(self) -> Iterator[VmId]:
        """Whose lanes are held."""
        yield from self._held

    def find(self, task: TaskId) -> Waiting | None:
        """A task that waits."""
        vm = self._vm_of.get(task)
        return None if vm is None else self._lanes[vm].tasks[task]

    def unsettled(self, task: TaskId) -> Waiting | None:
        """A task that waits, or is decided on."""
        return self.find(task) or self._decided.get(task)

    def waiting(self, vm: VmId) -> list[Waiting]:
        """All that wait for a VM, the next one first."""
        lane = self._lanes.get(vm)
        return lane.in_order() if lane else []

    def every(self) -> Iterator[Waiting]:
        """All that wait, for any VM, also what is decided on, in no order."""
        yield from self.undecided()
        yield from self.decided()

    def decided(self) -> Iterator[Waiting]:
        """All that are decided on."""
        yield from self._decided.values()

    def undecided(self) -> Iterator[Waiting]:
        """All that wait, for any VM, in no order; not what is decided on."""
        for lane in self._lanes.values():
            yield from lane.tasks.values()

    def notable(self) -> list[Waiting]:
        """Those waiting tasks that may mean something for others, oldest first."""
        return [self._lanes[self._vm_of[task]].tasks[task] for task in sorted(self._notable)]

    def leased(self, vm: VmId) -> TaskId | None:
        """The task of a VM that is leased."""
        lane = self._lanes.get(vm)
        return lane.leased if lane else None

    def running(self, vm: VmId) -> Waiting | None:
        """The same with all that is kept of it."""
        lane = self._lanes.get(vm)
        return lane.running if lane else None

    def earlier_check(self, task: Waiting) -> TaskId | None:
        """The check equal to a waiting one that has waited longer than it."""
        return self._lanes[task.vm].earlier_check(task)

    def clean_stops_before(self, task: Waiting) -> list[Waiting]:
        """The clean stops of its VM that have waited longer than a waiting task."""
        return list(self._lanes[task.vm].clean_stops_before(task.id))

    # --- what comes and goes ------------------------------------------------------------------------

    def push(self, task: Waiting) -> None:
        """A task waits from now on."""
        lane = self._lane(task.vm)
        task.vm = lane.vm
        lane.push(task)
        self._vm_of[task.id] = lane.vm
        self._note(task)
        self._turn(lane)

    def fill(self, tasks: list[Waiting], leased: Iterable[TaskId]) -> None:
        """All these wait, or are leased, from now on, each VM's oldest first; nothing did before.

        It is faster where those of a VM stand together.
        """
        for vm, found in groupby(tasks, attrgetter("vm")):
            lane, together = self._lane(vm), list(found)
            lane.fill(together)
            self._vm_of.update(zip(map(attrgetter("id"), together), repeat(vm)))
        for lane in list(self._lanes.values()):
            self._turn(lane)
        self._notable = {task.id: None for task in tasks if task.brief.is_notable}
        for id_ in leased:
            self.lease(id_)

    def remove(self, task: TaskId) -> Waiting | None:
        """A task neither waits nor is decided on any more; answers it if it did, or was."""
        return self._decided.pop(task, None) or self._take(task)

    def decide(self, task: TaskId) -> Waiting:
        """A waiting task's end is under way to the log: it does not wait, but may again."""
        waiting = self._take(task)
        if waiting is None:
            raise AssertionError(f"task {task} does not wait")
        self._decided[task] = waiting
        return waiting

    def reconsider(self, task: TaskId) -> Waiting | None:
        """The decision on a task came to nothing: it waits again; answers it if there was one."""
        waiting = self._decided.pop(task, None)
        if waiting is not None:
            self.push(waiting)
        return waiting

    def reconsider_all(self) -> list[Waiting]:
        """The decisions on all tasks came to nothing; answers those."""
        reconsidered = list(self._decided.values())
        for waiting in reconsidered:
            self.reconsider(waiting.id)
        return reconsidered

    def reprioritise(self, task: Waiting, priority: int) -> None:
        """A task that waits, or may again, has another priority: higher goes first."""
        waits = self._take(task.id) is not None
        task.priority = priority
        if waits:
            self.push(task)

    def lease(self, task: TaskId) -> None:
        """A task is leased: its lane waits for its end."""
        found = self._decided.pop(task, None) or self._lift(task)
        if found is not None:
            lane = self._lane(found.vm)
            lane.running = found
            self.claims.add(task, lane.vm, found.brief)
            self._turn(lane)
            self._turn_of(found.brief.other_name)

    def release(self, vm: VmId, task: TaskId) -> None:
        """The leased task has ended."""
        lane = self._lanes.get(vm)
        ended = lane.running if lane is not None else None
        if lane is None or ended is None or ended.id != task:
            return
        lane.running = None
        self.claims.drop(task, ended.brief)
        self._turn(lane)
        self._turn_of(ended.brief.other_name)
        self._let_share()  # the VM may share no longer

    def give_back(self, vm: VmId, task: TaskId) -> Waiting | None:
        """The lease of a task came to nothing: it waits again; answers it if it was leased."""
        running = self.running(vm)
        if running is None or running.id != task:
            return None
        self.release(vm, task)
        self.push(running)
        return running

    # --- who may go ---------------------------------------------------------------------------------

    def hold(self, vm: VmId, *, held: bool) -> None:
        """Let nothing more go from a lane, or let it go again. Beyond the limit nothing is held."""
        if held and self.may_hold(vm):
            self._held[vm] = None
        else:
            self._held.pop(vm, None)
        lane = self._lane(vm)
        lane.held = vm in self._held
        self._turn(lane)

    def may_hold(self, vm: VmId) -> bool:
        """Whether there is room for one more lane that is held."""
        return vm in self._held or len(self._held) < LANES_HELD_MAX

    def share(self, vm: VmId, *, shares: bool) -> None:
        """A VM's turn comes only while no other runs that shares, too."""
        self.claims.share(vm, shares=shares)
        for turns in (self._turns, self._arrivals):
            turns.leave(vm)
        self._turn_of(vm)
        self._let_share()

    def next(self) -> Waiting | None:
        """The task whose turn it is; lanes take turns. It waits until it is leased."""
        return self._first(self._turns)

    def next_arrival(self) -> Waiting | None:
        """The same of those that need no slot of a worker."""
        return self._first(self._arrivals)

    def _first(self, turns: Turns) -> Waiting | None:
        vm = turns.first()
        return None if vm is None else self._lanes[vm].head()

    def _lane(self, vm: VmId) -> Lane:
        lane = self._lanes.get(vm)
        if lane is None:
            lane = self._lanes[vm] = Lane(vm)
        return lane

    def _note(self, task: Waiting) -> None:
        if task.brief.is_notable:
            self._notable[task.id] = None

    def _take(self, task: TaskId) -> Waiting | None:
        taken = self._lift(task)
        if taken is not None:
            self._turn(self._lanes[taken.vm])
        return taken

    def _lift(self, task: TaskId) -> Waiting | None:
        """Take a task out of its lane, whose turn is to be looked at next."""
        vm = self._vm_of.pop(task, None)
        if vm is None:
            return None
        self._notable.pop(task, None)
        return self._lanes[vm].pop(task)

    def _turn_of(self, vm: VmId | None) -> None:
        """The same for a VM that may have no lane."""
        lane = self._lanes.get(vm) if vm is not None else None
        if lane is not None:
            self._turn(lane)

    def _turn(self, lane: Lane) -> None:
        """Put a lane at the end of its circle or take it out, by whether its next task may go."""
        vm, claims = lane.vm, self.claims
        shares = claims.shares(vm)
        if not lane.leasable() or claims.named_by(vm) is not None:
            self._turns.leave(vm)
            self._arrivals.leave(vm)
            if lane.idle():
                del self._lanes[vm]
        elif lane.head().brief.takes_slot:
            self._turns.stand(vm, shares=shares)
            self._arrivals.leave(vm)
        else:
            self._turns.leave(vm)
            self._arrivals.stand(vm, shares=shares)
        if shares:
            self._let_share()

    def _let_share(self) -> None:
        free = self.claims.shared_by() is None
        self._turns.let_share(free=free)
        self._arrivals.let_share(free=free)
