"""Spans: what the event hub does of each trace: it answers calls, and tells of tasks that have ended."""

import time
from dataclasses import dataclass

from bus.ports import Entry, Request
from schema.records import Finished
from schema.rpc import is_failure
from traces import Kind, Start, Tracer, names

from eventhub.effects import Address

ASKED_MAX = 50_000
"""Traced calls that wait for an answer; as many as may wait at all."""


@dataclass(frozen=True, slots=True)
class _Asked:
    traceparent: str | None
    at: float


class HubSpans:
    """One instance's; used on the bus's thread. A call that nobody traced before is not traced here either.

    Spans are made when they end: thousands may wait for news, and are no traces that are under way.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._asked: dict[Address, _Asked] = {}
        self._ended: list[Start] = []

    def asked(self, request: Request) -> None:
        """A call has come."""
        if request.traceparent is None or request.reply_to is None or len(self._asked) >= ASKED_MAX:
            return
        address = Address(request.reply_to, request.correlation_id)
        self._asked[address] = _Asked(request.traceparent, time.time())

    def answered(self, address: Address, body: bytes) -> None:
        """Somebody is given an answer."""
        asked = self._asked.pop(address, None) if self._asked else None
        if asked is not None:
            start = Start("answer", Kind.CONSUMER, asked.traceparent, at=asked.at, depth=2)
            error = body.decode("utf-8", "replace") if is_failure(body) else None
            self.tracer.end(self.tracer.begin(start), error)

    def read(self, entry: Entry) -> None:
        """A record was read: clients are about to be told."""
        record = entry.record
        if isinstance(record, Finished) and record.traceparent is not None:
            attributes = {names.TASK: str(record.task), names.VM: str(record.vm)}
            start = Start("tell", Kind.CONSUMER, record.traceparent, time.time(), attributes, depth=4)
            self._ended.append(start)

    def told(self) -> None:
        """All that was read was told to those who waited."""
        if self._ended:
            ended, self._ended = self._ended, []
            for start in ended:
                self.tracer.end(self.tracer.begin(start))
