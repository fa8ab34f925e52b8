"""Reception: the control queue, answered beside all leases, so that no read waits for an operation."""

import threading
from functools import partial

from bus.ports import Bus, Request
from schema.objects.errors import InternalError
from schema.rpc import Call, encode_failure, is_failure

from engine.control import Answered, Control
from engine.worker.spans import answer_start
from engine.worker.tools import Tools

WAITING_MAX = 10_000
"""Requests that may wait for one of those threads."""


class Reception:
    """Takes requests on the bus's thread; answers those that never wait there, too, others in threads."""

    def __init__(self, bus: Bus, control: Control, tools: Tools) -> None:
        self._bus = bus
        self._control = control
        self._tools = tools
        self._places = threading.Semaphore(WAITING_MAX)
        self._closed = False

    def on_request(self, request: Request) -> None:
        """A request to the control queue."""
        read = self._control.read(request.body)
        if isinstance(read, Answered) or not self._control.waits(read):
            self._answer(request, read)
        elif self._closed:
            sentence = "this worker is being stopped: ask again"
            self._reply(request, encode_failure(InternalError(message=sentence)))
        elif self._places.acquire(blocking=False):
            self._tools.threads.answer(partial(self._answer_and_make_room, request, read))
        else:
            sentence = f"{WAITING_MAX} requests wait for this worker already: ask later"
            self._reply(request, encode_failure(InternalError(message=sentence)))

    def close(self) -> None:
        """Do no more but what never waits; what is under way ends by itself."""
        self._closed = True

    def _answer_and_make_room(self, request: Request, call: Call) -> None:
        try:
            self._answer(request, call)
        finally:
            self._places.release()

    def _answer(self, request: Request, read: Call | Answered) -> None:
        with self._tools.tracer.within(answer_start(request)) as span:
            answered = read if isinstance(read, Answered) else self._control.perform(read)
            if span is not None and is_failure(answered.body):
                span.error = answered.body.decode("utf-8", "replace")
        for record in answered.records:
            self._tools.append(record)
        self._reply(request, answered.body)

    def _reply(self, request: Request, body: bytes) -> None:
        if request.reply_to is not None:
            self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))
