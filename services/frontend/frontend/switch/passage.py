"""Passage: a service on the switch, as xapi's storage, is asked over the bus, and answers there."""

import asyncio
import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from bus.ports import Bus, Request
from schema import rpc
from schema.objects.errors import InternalError

from frontend.http.door import Door
from frontend.http.message import HttpRequest

WAIT_S = 3600.0
"""How long answers are waited for at a time."""

ASKED_S = 900.0
"""An answer that comes later is to nobody: workers wait for a third of that."""

_log = logging.getLogger("frontend")


class Passage:
    """From queues of the bus to one of the switch, as a client of that; all of it on the bus's thread.

    Nothing of it is written down: who waits when this process ends asks again, or gives up in his own time.
    """

    def __init__(self, bus: Bus, door: Door, service: str) -> None:
        self._bus = bus
        self._service = service
        self._session = f"xenops-passage:{uuid.uuid4().hex}"
        self._asking, self._waiting = _Line(door), _Line(door)
        self._asked: OrderedDict[tuple[str, int], tuple[float, Request]] = OrderedDict()

    def open(self, queues: Iterable[str]) -> None:
        """Join the switch, then take what comes by these queues of the bus."""
        for line in (self._asking, self._waiting):
            line.open()
            line.ask("GET", f"/login/{quote(self._session)}")
        self._asking.ask("GET", f"/transient/{quote(self._session)}")
        self._wait(None)
        for queue in queues:
            self._bus.serve(queue, self._on_request)
            _log.info("what comes by the queue %s goes to %s on the switch", queue, self._service)

    def _on_request(self, request: Request) -> None:
        """The service's queue is made where it is not there yet, as the original's clients do."""
        service, session = quote(self._service), quote(self._session)
        self._asking.ask("GET", f"/persistent/{service}")
        status, body = self._asking.ask("POST", f"/request/{service}/{session}", request.body)
        place = _place(body) if status == HTTPStatus.OK else None
        if place is not None:
            self._note(place, request)
            return
        sentence = f"the message switch does not take a request to {self._service}: {_text(body)}"
        self._answer(request, rpc.encode_failure(InternalError(message=sentence)))

    def _note(self, place: tuple[str, int], request: Request) -> None:
        """Whose answer it will be; a service that answers none costs no memory for long."""
        now = self._asking.loop.time()
        while self._asked and next(iter(self._asked.values()))[0] <= now - ASKED_S:
            self._asked.popitem(last=False)
        self._asked[place] = now, request

    def _wait(self, after: str | None) -> None:
        told: dict[str, object] = {"timeout": WAIT_S, "queues": [self._session]}
        if after is not None:
            told["from"] = after
        self._waiting.await_answer("POST", "/transfer", json.dumps(told).encode(), self._on_transfer)

    def _on_transfer(self, body: bytes) -> None:
        """Answers, or none within the time; each is for a request of ours, or for nobody."""
        told = json.loads(_text(body))
        for (queue, number), message in told["messages"]:
            kind, of = message["kind"]
            asked = self._asked.pop(tuple(of), None) if kind == "Response" else None
            if asked is not None:
                self._answer(asked[1], message["payload"].encode("utf-8", "surrogateescape"))
            self._asking.ask("GET", f"/ack/{quote(queue)}/{number}")
        self._wait(told["next"])

    def _answer(self, request: Request, body: bytes) -> None:
        if request.reply_to is not None:
            self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))


class _Line:
    """A connection to the switch that is none: a door's client in its own process."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, door: Door) -> None:
        self.state: Any = None
        self._door = door
        self._answer = (0, b"")
        self._on_answer: Callable[[bytes], None] | None = None

    def open(self) -> None:
        """From here on there is a loop."""
        self.loop = asyncio.get_running_loop()

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request that is answered at once; answers its status and body."""
        self._door.on_request(self, HttpRequest(method, target, (), body))
        return self._answer

    def await_answer(self, method: str, target: str, body: bytes, on_answer: Callable[[bytes], None]) -> None:
        """One request that may be answered later: `on_answer` is told the body, never within this call."""
        self._on_answer = on_answer
        self._door.on_request(self, HttpRequest(method, target, (), body))

    def reply(self, status: int, body: bytes, _more: bytes = b"") -> None:
        """The door is in the midst of something: who awaits the answer hears of it afterwards."""
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is None:
            self._answer = status, body
        else:
            self.loop.call_soon(on_answer, body)


def _place(body: bytes) -> tuple[str, int] | None:
    """Where a request was put; None: there is no such queue."""
    found = json.loads(_text(body))
    return (str(found[0][0]), int(found[0][1])) if found else None


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")
