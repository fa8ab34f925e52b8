"""Operators: what LANE.* and WORKER.* answer and write. The leader answers: it alone knows what is decided.

A change is a record, and its answer is given once that has been read: whoever asks next sees it.
"""

from collections.abc import Iterable
from itertools import islice

from bus.ports import Entry, Request
from schema import rpc
from schema.again import undone
from schema.fault import XenopsError, internal_error
from schema.ids import VmId, WorkerName, is_safe_name, read_task_id
from schema.objects.errors import DoesNotExist, Error, InternalError
from schema.objects.lane import Lane, Lanes, LaneTasks, LeasedTask, StrandedVm, WaitingTask, Worker
from schema.overseen import named
from schema.records import DeadlineSet, LaneHeld, LaneReleased, Reprioritised, WorkerDraining

from redirector import workers
from redirector.core import Redirector
from redirector.effects import Answer, Append, Pass, Reply
from redirector.fold import PRIORITY_MAX
from redirector.lane import Lane as LaneOf
from redirector.lane import Waiting

PENDING_MAX = 1_000
"""Changes that may be under way to the log at a time."""

LANES_SHOWN_MAX = 10_000
"""Lanes in one answer."""

_Answer = Lanes | LaneTasks | tuple[Worker, ...]
_Change = LaneHeld | LaneReleased | Reprioritised | DeadlineSet | WorkerDraining


class Operators:
    """One instance's requests of operators, and the changes of which nothing has been read yet."""

    def __init__(self, core: Redirector) -> None:
        self._core = core
        self._pending: list[tuple[_Change, Request, str]] = []

    def on_request(self, request: Request, now: float) -> list[Answer]:
        """A request; `now` is in seconds since the epoch."""
        if not self._core.leads:
            return self._pass_on(request)
        try:
            call = rpc.decode_request(request.body)
        except rpc.BadRequestError as error:
            return [Reply(request, error.answer)]
        try:
            found = self._answer(call, now)
        except XenopsError as error:
            return _fail(request, error.error)
        if isinstance(found, _Change):
            if len(self._pending) >= PENDING_MAX:
                sentence = f"{PENDING_MAX} changes are being written already: try again later"
                return _fail(request, InternalError(message=sentence))
            self._pending.append((found, request, call.method))
            return [Append(found)]
        return [Reply(request, rpc.encode_result(call.method, found))]

    def on_entry(self, entry: Entry) -> list[Answer]:
        """An entry has been read, and folded: whoever wanted it is answered."""
        if not self._pending:
            return []
        done = [pending for pending in self._pending if pending[0] == entry.record]
        self._pending = [pending for pending in self._pending if pending[0] != entry.record]
        return [Reply(request, rpc.encode_result(method, None)) for _, request, method in done]

    def on_undeliverable(self, queue: str, request: Request) -> list[Answer]:
        """A request that was passed on came back, or something else did, which is nobody's business here."""
        return _fail(request, _nobody_leads()) if queue == self._core.fold.leader else []

    def _pass_on(self, request: Request) -> list[Answer]:
        leader = self._core.fold.leader
        if leader in {"", self._core.name}:
            return _fail(request, _nobody_leads())
        return [Pass(leader, request)]

    def _answer(self, call: rpc.Call, now: float) -> _Answer | _Change:
        params = call.params
        by = named(params["debug_info"])
        match call.method:
            case "LANE.list":
                return self._lanes(params["limit"])
            case "LANE.stat":
                return self._lane_tasks(_vm(params["id"]))
            case "LANE.hold":
                return self._hold(_vm(params["id"]), by)
            case "LANE.release":
                return LaneReleased(vm=_vm(params["id"]), by=by)
            case "LANE.prioritise":
                return self._prioritise(params["task"], params["priority"], by)
            case "LANE.set_deadline":
                waiting, within = self._waiting(params["task"]), params["within"]
                deadline = None if within is None else now + within
                return DeadlineSet(vm=waiting.vm, task=waiting.id, deadline=deadline, by=by)
            case "WORKER.list":
                return tuple(_shown_worker(worker, now) for worker in self._core.workers.all())
            case "WORKER.drain" | "WORKER.undrain":
                return self._drain(params["worker"], by, draining=call.method == "WORKER.drain")
            case method:
                raise internal_error(
                    f"{method} was sent to the redirector, which does not serve it: a routing bug"
                )

    # --- what there is ------------------------------------------------------------------------------

    def _lanes(self, limit: int) -> Lanes:
        lanes = self._core.lanes
        most = max(0, min(limit, LANES_SHOWN_MAX))
        shown = tuple(self._lane(lane) for lane in islice(lanes.all(), most))
        return Lanes(total=lanes.count(), waiting=len(lanes), lanes=shown)

    def _lane_tasks(self, vm: VmId) -> LaneTasks:
        lane = self._core.lanes.get(vm) or LaneOf(vm)
        return LaneTasks(lane=self._lane(lane), tasks=tuple(_shown_tasks(lane.in_order())))

    def _lane(self, lane: LaneOf) -> Lane:
        return Lane(
            vm=lane.vm,
            held=lane.held,
            blocked=self._blocked(lane) if lane.tasks else "",
            waiting=len(lane.tasks),
            leased=self._leased(lane),
        )

    def _leased(self, lane: LaneOf) -> LeasedTask | None:
        running, found = (
            lane.running,
            None if lane.leased is None else self._core.workers.lease_of(lane.leased),
        )
        if running is None or found is None:
            return None
        worker, lease = found
        return LeasedTask(
            task=str(running.id),
            operation=running.brief.name,
            worker=worker.name,
            since=lease.since,
            token=lease.token,
            parked=running.id in worker.parked,
        )

    def _blocked(self, lane: LaneOf) -> str:
        """Why the next task of a lane does not go."""
        claims = self._core.lanes.claims
        named_by, shared_by = claims.named_by(lane.vm), claims.shared_by()
        if lane.leased is not None:
            return f"task {lane.leased} runs"
        if lane.held:
            return "the lane is held"
        if named_by is not None:
            return f"task {named_by} migrates the VM"
        if shared_by is not None and claims.shares(lane.vm):
            return f"task {shared_by} has the GPU"
        if self._core.workers.choose(lane.vm, takes_slot=lane.head().brief.takes_slot) is None:
            return "no worker is free"
        return ""

    # --- what is to change --------------------------------------------------------------------------

    def _hold(self, vm: VmId, by: str) -> _Change:
        if not self._core.lanes.may_hold(vm):
            raise internal_error("too many lanes are held already: release some")
        return LaneHeld(vm=vm, by=by)

    def _prioritise(self, task: str, priority: int, by: str) -> _Change:
        waiting = self._waiting(task)
        if abs(priority) > PRIORITY_MAX:
            raise internal_error(f"a priority is from {-PRIORITY_MAX} to {PRIORITY_MAX}, not {priority}")
        return Reprioritised(vm=waiting.vm, task=waiting.id, priority=priority, by=by)

    def _waiting(self, task: str) -> Waiting:
        id_ = read_task_id(task)
        waiting = None if id_ is None else self._core.lanes.find(id_)
        if waiting is None:
            raise XenopsError(DoesNotExist(klass="waiting task", id=task))
        return waiting

    def _drain(self, name: str, by: str, *, draining: bool) -> _Change:
        worker = WorkerName(name)
        if self._core.workers.get(worker) is None:
            raise XenopsError(DoesNotExist(klass="worker", id=name))
        return WorkerDraining(worker=worker, draining=draining, by=by)


def _vm(name: str) -> VmId:
    if not is_safe_name(name):
        raise XenopsError(DoesNotExist(klass="VM", id=name))
    return VmId(name)


def _shown_tasks(tasks: Iterable[Waiting]) -> Iterable[WaitingTask]:
    for task in tasks:
        yield WaitingTask(
            task=str(task.id),
            operation=task.brief.name,
            since=task.since,
            priority=task.priority,
            deadline=task.deadline,
        )


def _shown_worker(worker: workers.Worker, now: float) -> Worker:
    return Worker(
        worker=worker.name,
        state=_state_of(worker),
        capacity=worker.capacity,
        busy=worker.busy,
        leases=len(worker.leases),
        silent_s=max(0.0, now - worker.seen),
        stranded=tuple(
            StrandedVm(id=one.vm, own=one.of, state=one.state, where=one.where) for one in worker.stranded
        ),
    )


def _state_of(worker: workers.Worker) -> str:
    if worker.draining:
        return "draining" if worker.leases else "drained"
    if not worker.up:
        return "down"
    return "missed" if worker.suspected else "up"


def _nobody_leads() -> Error:
    return undone("no redirector leads at the moment: leadership passes within a second")


def _fail(request: Request, error: Error) -> list[Answer]:
    return [Reply(request, rpc.encode_failure(error))]
