"""The control queue: reads and changes of metadata, answered without a lease, so that none waits for a task.

What a request is about to change is noted first; the note is dropped once the log has the record that tells
of the change.
"""

import threading
from functools import partial

from bus.ports import Bus, Request
from schema.objects.errors import InternalError
from schema.rpc import Call, encode_failure, is_failure

from engine.control import Answered, Control
from engine.worker.spans import answer_start
from engine.worker.tools import Tools
from engine.worker.untold import Note, Untold, change_of

WAITING_MAX = 10_000
"""Requests that may wait for a thread that answers them."""


class ControlQueue:
    """Takes requests on the bus's thread, and answers there those that never wait; others in threads."""

    def __init__(self, bus: Bus, control: Control, tools: Tools, untold: Untold) -> None:
        self._bus = bus
        self._untold = untold
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
            answered, note = self._perform(read)
            if span is not None and is_failure(answered.body):
                span.error = answered.body.decode("utf-8", "replace")
        self._untold.tell(answered.records, note)
        self._reply(request, answered.body)

    def _perform(self, read: Call | Answered) -> tuple[Answered, Note | None]:
        """The answer, and the note of what it has changed, if it has."""
        if isinstance(read, Answered):
            return read, None
        change = change_of(read.method, read.params)
        note = None if change is None else self._untold.note(change)
        answered = self._control.perform(read)
        if note is not None and note.changed not in answered.records:
            note.forget()
            return answered, None
        return answered, note

    def _reply(self, request: Request, body: bytes) -> None:
        if request.reply_to is not None:
            self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))
