"""Passage: a service on the switch, as xapi's storage, is asked over the bus, and answers there."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
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

_log = logging.getLogger("frontend")


class Passage:
    """From queues of the bus to one of the switch, as a client of that; all of it on the bus's thread.

    Nothing of it is written down: who waits when this process ends asks again, or gives up in his own time.
    """

    def __init__(self, bus: Bus, door: Door, service: str) -> None:
        self._bus = bus
        self._service = service
        self._session = f"xenops-passage:{uuid.uuid4().hex}"
        self._asking = _Line(door, None)
        self._waiting = _Line(door, self._on_transfer)
        self._asked: dict[tuple[str, int], Request] = {}

    def open(self, queues: Iterable[str]) -> None:
        """Join the switch, then take what comes by these queues of the bus."""
        for line in (self._asking, self._waiting):
            line.open()
            line.send("GET", f"/login/{quote(self._session)}")
        self._asking.send("GET", f"/transient/{quote(self._session)}")
        self._wait(None)
        for queue in queues:
            self._bus.serve(queue, self._on_request)
            _log.info("what comes by the queue %s goes to %s on the switch", queue, self._service)

    def _on_request(self, request: Request) -> None:
        """The service's queue is made where it is not there yet, as the original's clients do."""
        service, session = quote(self._service), quote(self._session)
        self._asking.send("GET", f"/persistent/{service}")
        status, body = self._asking.send("POST", f"/request/{service}/{session}", request.body)
        place = _place(body) if status == HTTPStatus.OK else None
        if place is not None:
            self._asked[place] = request
            return
        sentence = f"the message switch does not take a request to {self._service}: {_text(body)}"
        self._answer(request, rpc.encode_failure(InternalError(message=sentence)))

    def _wait(self, after: str | None) -> None:
        told: dict[str, object] = {"timeout": WAIT_S, "queues": [self._session]}
        if after is not None:
            told["from"] = after
        self._waiting.send("POST", "/transfer", json.dumps(told).encode())

    def _on_transfer(self, _: int, body: bytes) -> None:
        """Answers, or none within the time; each is for a request of ours, or for nobody."""
        told = json.loads(_text(body))
        for (queue, number), message in told["messages"]:
            kind, of = message["kind"]
            request = self._asked.pop(tuple(of), None) if kind == "Response" else None
            if request is not None:
                self._answer(request, message["payload"].encode("utf-8", "surrogateescape"))
            self._asking.send("GET", f"/ack/{quote(queue)}/{number}")
        self._wait(told["next"])

    def _answer(self, request: Request, body: bytes) -> None:
        if request.reply_to is not None:
            self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))


class _Line:
    """A connection to the switch that is none: a door's client in its own process."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, door: Door, on_later: Callable[[int, bytes], None] | None) -> None:
        self.state: Any = None
        self._door = door
        self._on_later = on_later
        self._answers: list[tuple[int, bytes]] = []

    def open(self) -> None:
        """From here on there is a loop."""
        self.loop = asyncio.get_running_loop()

    def send(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request; answers what it is answered at once, nothing for one that waits."""
        self._door.on_request(self, HttpRequest(method, target, (), body))
        with suppress(IndexError):
            return self._answers.pop()
        return 0, b""

    def reply(self, status: int, body: bytes, _more: bytes = b"") -> None:
        """The door is in the midst of something: what waits hears of it afterwards."""
        if self._on_later is not None and body.startswith(b"{"):
            self.loop.call_soon(self._on_later, status, body)
        else:
            self._answers.append((status, body))


def _place(body: bytes) -> tuple[str, int] | None:
    """Where a request was put; None: there is no such queue."""
    found = json.loads(_text(body))
    return (str(found[0][0]), int(found[0][1])) if found else None


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")
