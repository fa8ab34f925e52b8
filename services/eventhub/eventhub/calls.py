"""Calls: what each method that the event hub serves comes to, given what is known now."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.retrial import retrial
from schema import records
from schema.fault import XenopsError, internal_error
from schema.ids import InstanceName, VmId, is_safe_name, read_task_id
from schema.objects.errors import DoesNotExist
from schema.objects.events import Events, Readers, StandingBarrier
from schema.overseen import (
    DISCARD_MESSAGE,
    RETRY_MESSAGE,
    QuarantineDiscarded,
    QuarantineRetried,
    message_name,
    named,
)
from schema.records import Record
from schema.rpc import Call, encode_result

from eventhub import tokens
from eventhub.diagnostics import report
from eventhub.fold import Fold
from eventhub.tasks import TaskStory
from eventhub.updates import BARRIERS_MAX, News

GET_WAIT_S_MAX = 300.0
"""How long UPDATES.get waits at most, also when asked to wait for ever: clients go on from its token."""

READERS_SHOWN_MAX = 1_000
"""Places at which somebody waits that are told, those furthest behind; mostly all wait at one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, as it goes out."""

    body: bytes


@dataclass(frozen=True, slots=True)
class AskAgain:
    """It is about a place in the log that has not been read yet; ask again when it has."""

    place: int


@dataclass(frozen=True, slots=True)
class WaitForNews:
    """What is newer than `place` is told with the next batch, if anything is; or wait for it.

    Until `timeout_s` from the request on.
    """

    place: int
    timeout_s: float


RequestRecord = (
    records.Barrier
    | records.BarrierRemoved
    | records.CancelRequested
    | records.Changed
    | records.TaskDestroyed
    | QuarantineDiscarded
    | QuarantineRetried
)
"""The records that a request may become. Each can be the key of a dict; not every record can, for a task's
result may be any wire value."""


@dataclass(frozen=True, slots=True)
class Write:
    """Append this record, behind those `before` it; once it is read back, the answer is that all is well."""

    record: RequestRecord
    before: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class TellReaders:
    """It is about those who wait for news."""


@dataclass(frozen=True, slots=True)
class AskWorker:
    """A part of the answer is known to workers only."""


@dataclass(frozen=True, slots=True)
class AwaitLog:
    """Whether the log still is the one that was read is not known; ask again when it is."""


Decision = Answer | AskAgain | AwaitLog | WaitForNews | Write | TellReaders | AskWorker


def decide(fold: Fold, call: Call, *, patient: bool, sure: bool = True) -> Decision:
    """What a call comes to; not `patient`: it has waited for long enough, decide by what there is.

    `sure`: what was read is known to stand in the log still.

    Raises:
        XenopsError: what the client is told instead.
    """
    match call.method:
        case "Task.stat" | "Task.cancel" | "Task.destroy" | "Task.destroy_on_finish":
            return _about_task(fold, call, patient=patient, sure=sure)
        case "Task.list":
            return Answer(encode_result("Task.list", tuple(story.shown() for story in fold.tasks.all())))
        case "UPDATES.get":
            return _updates_get(fold, call, patient=patient)
        case "UPDATES.last_id":
            return Answer(encode_result("UPDATES.last_id", fold.token_of(fold.updates.last)))
        case "UPDATES.inject_barrier":
            return _inject_barrier(fold, call)
        case "UPDATES.remove_barrier":
            return Write(records.BarrierRemoved(barrier=call.params["id"]))
        case "UPDATES.refresh_vm":
            return _refresh_vm(fold, VmId(call.params["id"]))
        case "get_diagnostics":
            return AskWorker()
        case "QUARANTINE.list":
            return Answer(encode_result(call.method, fold.quarantine.told()))
        case "QUARANTINE.retry" | "QUARANTINE.discard":
            return _about_message(fold, call, patient=patient)
        case "EVENTS.stat":
            return TellReaders()
        case method:
            raise internal_error(
                f"{method} was sent to the event hub, which does not serve it: a routing bug"
            )


def _about_message(fold: Fold, call: Call, *, patient: bool) -> Decision:
    """Only an operator's wish that stands in the log is done: who may ask the event hub need not be one."""
    log, offset = InstanceName(call.params["log"]), call.params["offset"]
    name, kept = message_name(log, offset), fold.quarantine.find(log, offset)
    if kept is None:
        raise XenopsError(DoesNotExist(klass="quarantined_record", id=name))
    action = RETRY_MESSAGE if call.method == "QUARANTINE.retry" else DISCARD_MESSAGE
    who = fold.quarantine.wished_by(action, name)
    if who is None:
        if patient:
            return AskAgain(fold.seen + 1)
        raise internal_error(
            f"{call.method} of {name}: no operator has asked for it; use the operators' page"
        )
    if action == DISCARD_MESSAGE:
        if kept.done:
            raise internal_error(f"{call.method} of {name}: it was {kept.done} by {kept.by} already")
        return Write(QuarantineDiscarded(log=log, offset=offset, who=who))
    record = retrial(kept)
    if isinstance(record, str):
        raise internal_error(f"{call.method} of {name}: {record}")
    return Write(QuarantineRetried(log=log, offset=offset, who=who, record=record.kind), before=(record,))


def events(fold: Fold, waiting: Iterable[tuple[int, int]], version: str) -> bytes:
    """The answer of EVENTS.stat; `waiting`: how many have seen all up to each place."""
    last = fold.updates.last
    readers = tuple(
        Readers(token=fold.token_of(place), count=count, behind=max(0, last - place))
        for place, count in sorted(waiting)[:READERS_SHOWN_MAX]
    )
    barriers = tuple(
        StandingBarrier(id=one.id, token=fold.token_of(one.place), objects=len(one.changes))
        for one in fold.updates.barriers
    )
    token, objects = fold.token_of(last), len(fold.updates.items())
    told = Events(
        token=token, seen=fold.seen, objects=objects, readers=readers, barriers=barriers, version=version
    )
    return encode_result("EVENTS.stat", told)


def diagnostics(fold: Fold, part: bytes | None) -> bytes:
    """The answer of get_diagnostics, with the part of the worker that answered, if any did."""
    return encode_result("get_diagnostics", report(fold, part))


def _about_task(fold: Fold, call: Call, *, patient: bool, sure: bool) -> Decision:
    """Of a log that was lost another's task may have had that number: nothing is told of its end then."""
    text = call.params["id"]
    task = read_task_id(text)
    if task is None or task >> tokens.PLACE_BITS:
        raise XenopsError(DoesNotExist(klass="task", id=text))
    is_look = call.method == "Task.stat"
    story = fold.tasks.find_awaited(task) if is_look else fold.tasks.find(task)
    if patient and not sure and (story is None or story.finished):
        return AwaitLog()
    if story is not None:
        return _done_to(story, call)
    if tokens.place_after(task) > fold.seen and patient:
        return AskAgain(tokens.place_after(task))
    raise XenopsError(DoesNotExist(klass="task", id=text))


def _done_to(story: TaskStory, call: Call) -> Decision:
    method = call.method
    if method == "Task.stat":
        return Answer(encode_result(method, story.shown()))
    if method == "Task.cancel":
        if story.finished:
            return Answer(encode_result(method, None))  # too late is no error, as in the original
        by = named(call.params["debug_info"])
        return Write(records.CancelRequested(vm=story.vm, task=story.id, by=by))
    on_finish = method == "Task.destroy_on_finish"
    return Write(records.TaskDestroyed(vm=story.vm, task=story.id, on_finish=on_finish))


def _updates_get(fold: Fold, call: Call, *, patient: bool) -> Decision:
    token, timeout = call.params["last_id"], call.params["timeout"]
    timeout_s = GET_WAIT_S_MAX if timeout is None else min(timeout, GET_WAIT_S_MAX)
    place = None if token is None else fold.place_of(token)
    if place is not None and place > fold.seen:
        if patient:
            return AskAgain(place)
        place = None
    if place is not None:
        return WaitForNews(place, timeout_s)
    news = fold.updates.everything() if token is None else fold.updates.since(tokens.START)
    if news:
        return Answer(encode_news(fold, news))
    return WaitForNews(news.place, timeout_s)


def encode_news(fold: Fold, news: News) -> bytes:
    """The answer of UPDATES.get."""
    barriers = tuple((barrier.id, barrier.objects) for barrier in news.barriers)
    return encode_result("UPDATES.get", (barriers, news.objects, fold.token_of(news.place)))


def _inject_barrier(fold: Fold, call: Call) -> Decision:
    vm = call.params["vm_id"]
    if not is_safe_name(vm):
        raise XenopsError(DoesNotExist(klass="VM", id=f"{vm}/config"))
    if len(fold.updates.barriers) >= BARRIERS_MAX:
        raise internal_error(
            f"UPDATES.inject_barrier of {vm}: {BARRIERS_MAX} barriers stand already; take some down with"
            " UPDATES.remove_barrier"
        )
    return Write(records.Barrier(vm=VmId(vm), barrier=call.params["id"]))


def _refresh_vm(fold: Fold, vm: VmId) -> Decision:
    objects = fold.updates.objects_of(vm)
    if not objects:
        return Answer(encode_result("UPDATES.refresh_vm", None))  # as the original's, of an unknown VM
    return Write(records.Changed(vm=vm, changed=objects))
