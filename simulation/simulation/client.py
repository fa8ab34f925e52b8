"""Client: who asks for operations, follows its tasks, and never forgets what it was told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from bus.insist import Insistent
from bus.ports import BusError, Request
from bus.topology import door_queue
from schema.again import REPEATED_S, is_undecided, once_id
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId, VmId, WorkerName
from schema.objects.errors import DoesNotExist
from schema.objects.task import Pending, Task
from schema.records import DeadlineSet, LaneHeld, LaneReleased, Record, Reprioritised, WorkerDraining
from schema.rpc import decode_response, encode_request

from simulation.bus import SimBus
from simulation.requests import AT_ONCE, request_of
from simulation.scenario import Barrier, Cancel, Deed, Drain, Hold, Limit, Operate, Prioritise, Trigger

INSTANCE = InstanceName("sim")
THERE = InstanceName("there")
"""The instance of the other host, if there is one."""

PATIENCE_S = 30.0
"""How long a client waits for an answer."""

AGAIN_S = 0.2
"""How long after an attempt that came to nothing an operation is asked for again."""

POLL_S = 5.0
"""How often a client looks how far its task has come."""

UNDERSTOOD_MAX = 10_000
"""So many different answers are kept as what they say."""

OnResult = Callable[[Any], None]


@lru_cache(UNDERSTOOD_MAX)
def understood(method: str, answer: bytes) -> Any:
    """What an answer says: a result, or an error. Most answers are given again and again."""
    try:
        return decode_response(method, answer)
    except XenopsError as error:
        return error


class Caller:
    """Asks as any client does: JSON-RPC to the instance's door."""

    def __init__(self, bus: SimBus, instance: InstanceName, complain: Callable[[str], None]) -> None:
        self.bus = bus
        self.instance = instance
        self.complain = complain
        self.asking = 0
        self._numbers = 0

    def call(self, method: str, on_result: OnResult, dbg: str = "sim", **params: Any) -> None:
        """Ask; `on_result` gets the result, an `XenopsError`, or a `BusError` when there was no answer."""
        request = Request(encode_request(method, debug_info=dbg, **params))
        self._ask(method, request, PATIENCE_S + params.get("timeout", 0), on_result)

    def insist(self, method: str, on_result: OnResult, dbg: str = "sim", **params: Any) -> None:
        """Ask for an operation, and again under the same id as long as it may be that it was not accepted."""
        self._numbers += 1
        body = encode_request(method, request_id=once_id(self._numbers), debug_info=dbg, **params)
        until = self.bus.clock.now() + REPEATED_S - PATIENCE_S

        def on_outcome(result: Any) -> None:
            is_open = isinstance(result, BusError) or (
                isinstance(result, XenopsError) and is_undecided(result.error)
            )
            if is_open and self.bus.clock.now() < until:
                self.asking += 1
                self.bus.later(AGAIN_S, again)
            else:
                on_result(result)

        def again() -> None:
            self.asking -= 1
            ask()

        def ask() -> None:
            self._ask(method, Request(body), PATIENCE_S, on_outcome)

        ask()

    def _ask(self, method: str, request: Request, patience_s: float, on_result: OnResult) -> None:
        self.asking += 1

        def on_answer(answer: bytes | BusError) -> None:
            self.asking -= 1
            on_result(answer if isinstance(answer, BusError) else understood(method, answer))

        self.bus.ask(door_queue(self.instance), request, patience_s, on_answer)


@dataclass(slots=True)
class Asked:
    """What became of one operation, as its client knows."""

    dbg: str
    vm: str
    what: str
    where: "Contact"
    task: str | None = None
    refused: str | None = None
    state: Any = None
    polls: int = 0
    gone: bool = False

    @property
    def ended(self) -> bool:
        """Whether its task has."""
        return self.gone or (self.state is not None and not isinstance(self.state, Pending))


@dataclass(frozen=True, slots=True)
class Contact:
    """How one instance is asked; `log` is where an operator writes. `door` is where others migrate to."""

    caller: Caller
    log: Insistent
    door: str

    @property
    def instance(self) -> InstanceName:
        """Whose."""
        return self.caller.instance


@dataclass(slots=True)
class Client:
    """One client: all that it asked for. `find` tells which of its contacts has a VM.

    `undo` ends what it did as an operator.
    """

    contacts: tuple[Contact, ...]
    find: Callable[[str], int]
    asked: list[Asked] = field(default_factory=list)
    barriers: set[int] = field(default_factory=set)
    undo: list[Record] = field(default_factory=list)

    def do(self, step: Deed) -> None:
        """What a step says."""
        match step:
            case Operate():
                self.operate(step)
            case Cancel():
                self.cancel(step)
            case Trigger():
                self.trigger(step)
            case Barrier():
                self.barrier(step)
            case Hold():
                self.hold(step)
            case Prioritise():
                self.prioritise(step)
            case Limit():
                self.limit(step)
            case Drain():
                self.drain(step)

    def operate(self, step: Operate) -> None:
        """Ask for an operation, and follow it to its end."""
        where = self._where(step.vm)
        others = [contact for contact in self.contacts if contact is not where]
        method, params = request_of(step, others[0].door if others else where.door)
        asked = Asked(f"op{len(self.asked)}", step.vm, step.command, where)
        self.asked.append(asked)
        ask = where.caller.call if step.command in AT_ONCE else where.caller.insist
        ask(method, lambda result: self._on_task(asked, result), asked.dbg, **params)

    def cancel(self, step: Cancel) -> None:
        """Cancel a task."""
        if (asked := self._task(step.back)) is not None:
            asked.where.caller.call("Task.cancel", lambda _: None, id=asked.task)

    def prioritise(self, step: Prioritise) -> None:
        """Move a task, as an operator does."""
        if (asked := self._task(step.back)) is not None and asked.task is not None:
            moved = Reprioritised(vm=VmId(asked.vm), task=TaskId(int(asked.task)), priority=step.priority)
            asked.where.log.append(moved)

    def limit(self, step: Limit) -> None:
        """Say by when a task must have begun, as an operator does."""
        if (asked := self._task(step.back)) is not None and asked.task is not None:
            deadline = asked.where.caller.bus.clock.now() + step.within_s
            limit = DeadlineSet(vm=VmId(asked.vm), task=TaskId(int(asked.task)), deadline=deadline)
            asked.where.log.append(limit)

    def drain(self, step: Drain) -> None:
        """Drain a worker for a while, as an operator does."""
        worker, log = WorkerName(step.who), self.contacts[0].log
        log.append(WorkerDraining(worker=worker, draining=True))
        again = WorkerDraining(worker=worker, draining=False)
        self.undo.append(again)
        self._bus.later(step.lasts_s, lambda: log.append(again))

    def trigger(self, step: Trigger) -> None:
        """Let a guest do something by itself."""
        caller = self._where(step.vm).caller
        caller.call("DEBUG.trigger", lambda _: None, cmd=step.command, args=(step.vm,))

    def barrier(self, step: Barrier) -> None:
        """Put up a barrier; whoever follows the updates takes it down."""
        number = len(self.barriers) + 1
        self.barriers.add(number)
        caller = self._where(step.vm).caller
        caller.call("UPDATES.inject_barrier", lambda _: None, vm_id=step.vm, id=number)

    def hold(self, step: Hold) -> None:
        """Hold a lane for a while, as an operator does."""
        vm, log = VmId(step.vm), self._where(step.vm).log
        self.undo.append(LaneReleased(vm=vm))
        log.append(LaneHeld(vm=vm))
        self._bus.later(step.lasts_s, lambda: log.append(LaneReleased(vm=vm)))

    def open_tasks(self) -> list[Asked]:
        """Whose end it has not seen."""
        return [asked for asked in self.asked if asked.task is not None and not asked.ended]

    def forget(self, instance: InstanceName) -> None:
        """An instance's log is lost: what was asked of it so far may have been done, or not."""
        for asked in self.asked:
            if asked.where.instance == instance:
                asked.gone = True
        for contact in self.contacts:
            if contact.instance == instance:
                for record in self.undo:  # what was done may be there, and its end be lost
                    contact.log.append(record)

    def look_again(self) -> None:
        """Look at every task once more: what has ended stays as it ended."""
        for asked in self.asked:
            if asked.task is not None and not asked.gone:
                self._look(asked)

    @property
    def asking(self) -> int:
        """How many answers it waits for."""
        return sum(contact.caller.asking for contact in self.contacts)

    @property
    def _bus(self) -> SimBus:
        return self.contacts[0].caller.bus

    def _where(self, vm: str) -> Contact:
        return self.contacts[self.find(vm)]

    def _task(self, back: int) -> Asked | None:
        known = [asked for asked in self.asked if asked.task is not None and not asked.gone]
        return known[-1 - back] if back < len(known) else None

    def _on_task(self, asked: Asked, result: Any) -> None:
        if asked.what in AT_ONCE or asked.gone:
            return
        if isinstance(result, str):
            asked.task = result
            self._look(asked)
        elif isinstance(result, XenopsError):
            asked.refused = str(result.error)

    def _look(self, asked: Asked) -> None:
        caller = asked.where.caller
        caller.call("Task.stat", lambda result: self._on_stat(asked, result), id=asked.task)

    def _on_stat(self, asked: Asked, result: Any) -> None:
        before = asked.state
        if asked.gone:
            return
        if isinstance(result, XenopsError) and isinstance(result.error, DoesNotExist):
            asked.where.caller.complain(f"task {asked.task} of {asked.vm} is not known to who asks for it")
            asked.gone = True
            return
        if isinstance(result, Task):
            asked.state = result.state
            if before is not None and not isinstance(before, Pending) and before != result.state:
                asked.where.caller.complain(
                    f"task {asked.task} had ended as {before} and now is {result.state}"
                )
        if not asked.ended:
            asked.polls += 1
            self._bus.later(POLL_S, lambda: self._look(asked))
