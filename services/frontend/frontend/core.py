"""Core: what becomes of a request: refused at once, handed on, or submitted and answered once accepted."""

from dataclasses import dataclass, field

from bus.ports import Request
from bus.topology import control_queue, events_queue
from pydantic import ValidationError
from schema import rpc
from schema.ids import InstanceName, is_safe_name
from schema.notices import Accepted, Notice
from schema.objects.errors import DoesNotExist, Error, InternalError
from schema.records import Submitted
from schema.wire.errors import JsonError, MarshalError

from frontend.routes import Control, Events, Queued, route

ACCEPT_TIMEOUT_S = 10.0
"""How long the redirector may take to accept a task; twice the time in which leadership passes."""

PENDING_MAX = 10_000
"""Requests that may wait for the redirector at a time."""

BODY_BYTES_MAX = 16 * 1024 * 1024
"""A larger request is an accident or an attack."""


@dataclass(frozen=True, slots=True)
class Append:
    """Write a record to the instance's log."""

    record: Submitted


@dataclass(frozen=True, slots=True)
class Forward:
    """Hand a message to another queue."""

    queue: str
    request: Request


Effect = Append | Forward


@dataclass(slots=True)
class _Pending:
    """A submission that the redirector has not answered yet."""

    method: str
    client: Request
    record: Submitted
    repeat_at: float
    repeated: bool = False


@dataclass(slots=True)
class Frontend:
    """One instance's requests. `inbox` is the queue where the redirector tells us what it has accepted."""

    instance: InstanceName
    inbox: str
    _pending: dict[str, _Pending] = field(default_factory=dict)

    def on_request(self, request: Request, request_id: str, now: float) -> list[Effect]:
        """A client's request; `request_id` is fresh, `now` in seconds since the epoch."""
        if len(request.body) > BODY_BYTES_MAX:
            sentence = f"the request has {len(request.body)} bytes; at most {BODY_BYTES_MAX} are taken"
            return _fail(request, InternalError(message=sentence))
        try:
            call = rpc.decode_request(request.body)
        except rpc.BadRequestError as error:
            return _reply(request, error.answer)
        match route(call.method):
            case Control():
                return [Forward(control_queue(self.instance), request)]
            case Events():
                return [Forward(events_queue(self.instance), request)]
            case Queued(make):
                try:
                    vm, operation = make(call.params)
                except (JsonError, MarshalError, ValidationError) as error:
                    return _fail(request, InternalError(message=f"{call.method}: {error}"))
                record = Submitted(
                    vm=vm,
                    operation=operation,
                    request_id=request_id,
                    dbg=call.debug_info,
                    accept_by=now + ACCEPT_TIMEOUT_S,
                    reply_to=self.inbox,
                )
                return self._submit(request, call.method, record)

    def _submit(self, request: Request, method: str, record: Submitted) -> list[Effect]:
        if not is_safe_name(record.vm):
            return _fail(request, DoesNotExist(klass="VM", id=f"{record.vm}/config"))
        if len(self._pending) >= PENDING_MAX:
            sentence = f"{PENDING_MAX} requests wait for the redirector already: is it running? Try later"
            return _fail(request, InternalError(message=sentence))
        repeat_at = record.accept_by - ACCEPT_TIMEOUT_S / 2
        self._pending[record.request_id] = _Pending(method, request, record, repeat_at)
        return [Append(record)]

    def on_notice(self, notice: Notice) -> list[Effect]:
        """The redirector has decided; a notice that comes too late, or again, says nothing."""
        pending = self._pending.pop(notice.request_id, None)
        if pending is None:
            return []
        if isinstance(notice, Accepted):
            return _reply(pending.client, rpc.encode_result(pending.method, str(notice.task)))
        return _fail(pending.client, notice.error)

    def on_append_failed(self, record: Submitted, reason: str) -> list[Effect]:
        """The broker did not take a submission."""
        pending = self._pending.pop(record.request_id, None)
        return _fail(pending.client, InternalError(message=reason)) if pending else []

    def on_undeliverable(self, queue: str, request: Request) -> list[Effect]:
        """A request that was handed on came back: nobody serves that queue."""
        who = {control_queue(self.instance): "worker", events_queue(self.instance): "event hub"}.get(queue)
        if who is None:
            return []
        sentence = f"no {who} of instance {self.instance} is running: start one, then ask again"
        return _fail(request, InternalError(message=sentence))

    def on_time(self, now: float) -> list[Effect]:
        """Repeat what is not answered by half time; give up what cannot be accepted any more."""
        effects: list[Effect] = []
        for request_id, pending in list(self._pending.items()):
            if now > pending.record.accept_by:
                del self._pending[request_id]
                sentence = (
                    f"no redirector of instance {self.instance} has accepted the request within "
                    f"{ACCEPT_TIMEOUT_S:g} s: is one running? The request is void"
                )
                effects += _fail(pending.client, InternalError(message=sentence))
            elif now > pending.repeat_at and not pending.repeated:
                pending.repeated = True
                effects.append(Append(pending.record))
        return effects


def _reply(request: Request, body: bytes) -> list[Effect]:
    """An answer, if anybody waits for one."""
    if request.reply_to is None:
        return []
    return [Forward(request.reply_to, Request(body, correlation_id=request.correlation_id))]


def _fail(request: Request, error: Error) -> list[Effect]:
    return _reply(request, rpc.encode_failure(error))
