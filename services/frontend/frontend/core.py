"""Core: what becomes of a request: refused at once, handed on, or submitted and answered once accepted."""

from dataclasses import dataclass, field, replace
from typing import Any

from bus.ports import Request
from bus.topology import DIRECT_REPLIES, control_queue, events_queue, lanes_queue
from schema import rpc
from schema.again import UNDECIDED, undone
from schema.debug_info import read_debug_info, read_traceparent
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId, is_safe_name
from schema.notices import Accepted, Ended, Notice
from schema.objects.errors import DoesNotExist, Error, InternalError
from schema.objects.task import Completed, Failed
from schema.records import Submitted
from schema.wire.codec import from_rpc

from frontend.returned import Returned
from frontend.routes import Control, Events, Lanes, Queued, route

ACCEPT_TIMEOUT_S = 10.0
"""How long the redirector may take to accept a task; twice the time in which leadership passes."""

NOTICE_S = 2.0
"""The end of it, in which nothing is accepted any more: an answer may be under way, and clocks differ.

A client that is told to submit its request again must not find it done."""

NEVER = float("inf")

END_TIMEOUT_S = 1_200.0
"""How long a request that is answered at its task's end may take: as long as any step; as in the original."""

ASK_S = 5.0
"""How often the event hub is asked whether a task that is awaited has ended: what told us so may be lost."""

UNKNOWN_MAX = 3
"""So often in a row an event hub must not know an awaited task, and it is gone: with a log that was lost."""

PENDING_MAX = 10_000
PENDING_BYTES_MAX = 256 << 20
"""Requests that may wait for the redirector, or for their task's end, at a time, and how much they hold."""


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log; `method` is what a client called."""

    record: Submitted
    method: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Forward:
    """Hand a message to another queue; `method` is what a client called, if it is a call that goes on."""

    queue: str
    request: Request
    method: str = field(default="", compare=False)


Effect = Append | Forward


@dataclass(slots=True)
class _Pending:
    """A submission that the redirector has not answered yet, or whose end the client waits for.

    It is repeated at `repeat_at`, at half time and when nothing is accepted any more: whoever leads then says
    what became of it. Once it is `repeated`, that the broker takes no more of it says nothing of the first.
    `answer` is what the client is told at the end of a task that is awaited; `task` is known once accepted,
    and asked for at `ask_at`; `unknown`: how often in a row the event hub has not known it. `size`: of the
    request, in bytes.
    """

    method: str
    client: Request
    record: Submitted
    repeat_at: float
    repeated: bool = False
    answer: Any = None
    task: TaskId | None = None
    ask_at: float = 0.0
    unknown: int = 0
    size: int = 0


@dataclass(slots=True)
class Frontend:
    """One instance's requests. `inbox` is the queue where the redirector tells us what it has accepted."""

    instance: InstanceName
    inbox: str
    _pending: dict[str, _Pending] = field(default_factory=dict)
    _pending_bytes: int = 0
    _returned: Returned = field(default_factory=Returned)

    def on_request(self, request: Request, request_id: str, now: float) -> list[Effect]:
        """A client's request; `request_id` is fresh, `now` in seconds since the epoch."""
        if len(request.body) > rpc.REQUEST_BYTES_MAX:
            sentence = f"the request has {len(request.body)} bytes; at most {rpc.REQUEST_BYTES_MAX} are taken"
            return _fail(request, InternalError(message=sentence))
        try:
            call = rpc.decode_request(request.body)
        except rpc.BadRequestError as error:
            return _reply(request, error.answer)
        match route(call.method):
            case Control():
                return [Forward(control_queue(self.instance), _traced(request, call), call.method)]
            case Events():
                return [Forward(events_queue(self.instance), _traced(request, call), call.method)]
            case Lanes():
                return [Forward(lanes_queue(self.instance), _traced(request, call), call.method)]
            case Queued() as queued:
                return self._queue(request, call, queued, (request_id, now))

    def _queue(
        self, request: Request, call: rpc.Call, queued: Queued, met: tuple[str, float]
    ) -> list[Effect]:
        """Submit an operation; `met` is its request's fresh id, and when."""
        request_id, now = met
        try:
            request.body.decode()
            vm, operation = queued.make(call.params)
            if b"\\u" in request.body:  # an escape may stand for half a letter, as a byte may
                (call.debug_info + operation.model_dump_json()).encode()
        except XenopsError as error:
            return _fail(request, error.error)
        except ValueError:
            sentence = f"{call.method}: the request holds bytes that are not UTF-8; the log keeps text only"
            return _fail(request, InternalError(message=sentence))
        info = read_debug_info(call.debug_info)
        record = Submitted(
            vm=vm,
            operation=operation,
            request_id=call.once or request_id,
            dbg=info.log,
            accept_by=now + ACCEPT_TIMEOUT_S - NOTICE_S,
            reply_to=self.inbox,
            awaited=queued.awaited is not None,
            traceparent=info.traceparent or read_traceparent(request.traceparent),
            baggage=info.baggage,
        )
        return self._submit(request, call.method, record, queued.awaited(vm) if queued.awaited else None)

    def _submit(self, request: Request, method: str, record: Submitted, answer: Any) -> list[Effect]:
        if not is_safe_name(record.vm):
            return _fail(request, DoesNotExist(klass="VM", id=f"{record.vm}/config"))
        same = self._pending.get(record.request_id)
        if same is not None:  # its client asks again, having lost its way to us: he is answered there
            same.client = replace(request, body=b"")
            return []
        if len(self._pending) >= PENDING_MAX:
            sentence = f"{PENDING_MAX} requests wait for the redirector already: is it running? Try later"
            return _fail(request, InternalError(message=sentence))
        size = len(request.body)
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            sentence = f"{self._pending_bytes} bytes of requests wait for the redirector already: try later"
            return _fail(request, InternalError(message=sentence))
        repeat_at = record.accept_by + NOTICE_S - ACCEPT_TIMEOUT_S / 2
        client = replace(request, body=b"")  # the record says it all
        pending = _Pending(method, client, record, repeat_at, answer=answer, size=size)
        self._pending[record.request_id] = pending
        self._pending_bytes += size
        return [Append(record, method)]

    def _forget(self, request_id: str) -> None:
        """One that waits no more."""
        self._pending_bytes -= self._pending.pop(request_id).size

    def on_notice(self, notice: Notice) -> list[Effect]:
        """The redirector has decided; a notice that comes too late, or again, says nothing."""
        pending = self._pending.get(notice.request_id)
        if pending is None:
            return []
        if isinstance(notice, Accepted) and pending.record.awaited:
            pending.task = notice.task
            return []
        self._forget(notice.request_id)
        if isinstance(notice, Accepted):
            return _reply(pending.client, rpc.encode_result(pending.method, str(notice.task)))
        if notice.error is None:
            return _reply(pending.client, rpc.encode_result(pending.method, pending.answer))
        return _fail(pending.client, notice.error)

    def on_append_failed(self, record: Submitted, reason: str) -> list[Effect]:
        """The broker did not take a submission; of one that it may have taken before, it says nothing."""
        pending = self._pending.get(record.request_id)
        if pending is None or pending.repeated:
            return []
        self._forget(record.request_id)
        return _fail(pending.client, InternalError(message=reason))

    def on_undeliverable(self, queue: str, request: Request, now: float) -> list[Effect]:
        """What was handed on came back: nobody serves that queue. For a while it is sent again.

        So is an answer for which there was no connection: whoever waits may have kept his own.
        """
        who = {
            control_queue(self.instance): "worker",
            events_queue(self.instance): "event hub",
            lanes_queue(self.instance): "redirector",
        }.get(queue)
        is_ours = who is not None or queue.startswith(DIRECT_REPLIES)
        if (is_ours and self._returned.keeps(queue, request, now)) or who is None:
            return []
        return _fail(request, undone(f"no {who} of instance {self.instance} is running: start one"))

    def on_time(self, now: float) -> list[Effect]:
        """Repeat what is not answered or came back; give up what cannot be accepted any more."""
        effects: list[Effect] = [Forward(queue, request) for queue, request in self._returned.due(now)]
        for request_id, pending in list(self._pending.items()):
            if pending.task is not None:
                effects += self._await_end(pending, pending.task, now)
            elif now > pending.record.accept_by + NOTICE_S:
                self._forget(request_id)
                sentence = (
                    f"no redirector of instance {self.instance} has answered within {ACCEPT_TIMEOUT_S:g} s: "
                    "is one running? The request is void, unless one took it before it fell silent: "
                    f"{UNDECIDED}"
                )
                effects += _fail(pending.client, InternalError(message=sentence))
            elif now > pending.repeat_at:
                last = pending.record.accept_by
                pending.repeat_at = last if now <= last else NEVER
                pending.repeated = True
                effects.append(Append(pending.record))
        return effects

    def _await_end(self, pending: _Pending, task: TaskId, now: float) -> list[Effect]:
        """Look now and then whether an accepted task has ended."""
        if now > pending.record.accept_by + END_TIMEOUT_S:
            self._forget(pending.record.request_id)
            sentence = (
                f"{pending.method} has not ended within {END_TIMEOUT_S:g} s and goes on: it is task {task}"
            )
            return _fail(pending.client, InternalError(message=sentence))
        if now < pending.ask_at:
            return []
        is_first, pending.ask_at = not pending.ask_at, now + ASK_S
        if is_first:
            return []
        body = rpc.encode_request("Task.stat", debug_info=pending.record.dbg, id=str(task))
        question = Request(body, reply_to=self.inbox, correlation_id=pending.record.request_id)
        return [Forward(events_queue(self.instance), question)]

    def on_answer(self, request_id: str, body: bytes) -> list[Effect]:
        """What an event hub says of an awaited task; only that it has ended is news."""
        pending = self._pending.get(request_id)
        if pending is None:
            return []
        try:
            task = rpc.decode_response("Task.stat", body)
        except XenopsError as error:  # else it reads the log late, or is not there: it is asked again
            return self._on_unknown(pending) if isinstance(error.error, DoesNotExist) else []
        if task.dbg != pending.record.dbg:
            return self._on_unknown(pending)  # ids begin again in a new log: it is another's
        pending.unknown = 0
        match task.state:
            case Completed():
                return self.on_notice(Ended(request_id=request_id, error=None))
            case Failed(error=error):
                return self.on_notice(Ended(request_id=request_id, error=from_rpc(Error, error)))
            case _:
                return []

    def _on_unknown(self, pending: _Pending) -> list[Effect]:
        """A hub that is just being started knows less than others do: only after a while it is believed."""
        pending.unknown += 1
        if pending.unknown < UNKNOWN_MAX:
            return []
        self._forget(pending.record.request_id)
        sentence = (
            f"what became of {pending.method} of VM {pending.record.vm} is not known, its task "
            f"{pending.task} is gone with a log that was lost: look whether it was done"
        )
        return _fail(pending.client, InternalError(message=sentence))


def _traced(request: Request, call: rpc.Call) -> Request:
    """A request that goes on, with the span that caused it: what the call itself says counts most."""
    traceparent = read_debug_info(call.debug_info).traceparent or read_traceparent(request.traceparent)
    return request if traceparent == request.traceparent else replace(request, traceparent=traceparent)


def _reply(request: Request, body: bytes) -> list[Effect]:
    """An answer, if anybody waits for one."""
    if request.reply_to is None:
        return []
    return [Forward(request.reply_to, Request(body, correlation_id=request.correlation_id))]


def _fail(request: Request, error: Error) -> list[Effect]:
    return _reply(request, rpc.encode_failure(error))
