"""Migration: where a source's connections wait for the worker that takes the VM, and are joined with it.

The source's PUT is kept open and told to the log; the worker that gets the lease, on whatever host, comes
to `PUT /rendezvous/<ticket>`, and from then on the bytes of both go to and fro. One of this host takes the
connection itself, if it says that it can. If the arrival's task ends before one came, whoever has ended it,
the source is told why.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from bus.ports import Bus, Request
from pydantic import TypeAdapter, ValidationError
from schema import rpc
from schema.ids import InstanceName
from schema.notices import Accepted, Notice
from schema.objects.errors import Error, InternalError
from schema.records import ChannelOffered, Submitted
from schema.wire.codec import encode_text

from frontend.arrivals import Opening, Rendezvous, read_opening, record_of
from frontend.http.message import HttpRequest, Limits
from frontend.rpc_door import AskInstance
from frontend.stream import Stream, nothing

RENDEZVOUS_PATH = "/rendezvous/"
TAKES_DESCRIPTOR = b"x-xenops-descriptor"
"""Header of a worker that takes an open connection with the answer, should both be on one host."""

RENDEZVOUS_S = 60.0
"""How long a source's connection waits for a worker."""

WAITING_MAX = 1_000
"""Connections that wait at a time: three for each VM that is about to arrive."""

LIMITS_OF_SOURCES = Limits(connections_max=1024, bytes_max=64 << 20, request_s=30.0, idle_s=10.0)
"""What other hosts may take at a door for migrations, where without TLS anybody may come. Their requests have
some kB of a VM's metadata, follow each other at once, and a connection that became a channel is no client."""

SOURCE_METHODS = ("VM.import_metadata", "VM.exists", "VM.remove")
"""What a migration's source calls: all that is taken of hosts that nobody has asked who they are."""

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)
_JOINED = b"HTTP/1.1 200 OK\r\n\r\n"
_log = logging.getLogger("frontend")


class Migrations:
    """The rendezvous of one frontend. `address` is where workers reach it: HOST:PORT, or a socket's path.

    All of it runs on the bus's thread, which is that of the connections.
    """

    def __init__(self, bus: Bus, address: str) -> None:
        self._bus = bus
        self._address = address
        self._waiting: dict[str, Stream] = {}
        self._inbox = bus.inbox(self._on_notice)

    def take_over(self, instances: tuple[InstanceName, ...], request: HttpRequest) -> asyncio.Protocol | None:
        """Who takes a connection's bytes after this head; None for one that is no migration's of these."""
        if request.method != "PUT":
            return None
        if request.target.startswith(RENDEZVOUS_PATH):
            takes_it = any(name == TAKES_DESCRIPTOR for name, _ in request.headers)
            return self._worker(request.target.removeprefix(RENDEZVOUS_PATH), takes_it=takes_it)
        headers = tuple((name.decode(), value.decode("utf-8", "replace")) for name, value in request.headers)
        opening = read_opening(request.target, headers, instances)
        return None if opening is None else self.source(opening)

    def source(self, opening: Opening, on_end: Callable[[], None] = nothing) -> Stream:
        """Who takes a source's connection; `on_end` is told when that is over."""
        return Stream(partial(self._on_source, opening), on_end)

    def _worker(self, ticket: str, *, takes_it: bool) -> Stream | None:
        source = self._waiting.pop(ticket, None)
        if source is None:
            return None

        def on_open(worker: Stream) -> None:
            if takes_it and source.is_passed_on(worker, _JOINED):
                return
            worker.write(_JOINED)
            worker.join(source)

        return Stream(on_open)

    def _on_source(self, opening: Opening, stream: Stream) -> None:
        if len(self._waiting) >= WAITING_MAX:
            stream.fail(f"{WAITING_MAX} connections of migrations wait here already: try again later")
            return
        ticket = uuid.uuid4().hex
        record = record_of(opening, Rendezvous(self._address, ticket), self._bus.clock.now())
        if isinstance(record, str):
            stream.fail(record)
            return
        if isinstance(record, Submitted):
            record = record.model_copy(update={"reply_to": self._inbox})
        self._waiting[ticket] = stream
        late = f"no worker of {opening.instance} took the VM within {RENDEZVOUS_S:g} s: is one running?"
        self._bus.later(RENDEZVOUS_S, partial(self._give_up, ticket, late))
        self._append(opening.instance, record, ticket)

    def _append(self, instance: InstanceName, record: Submitted | ChannelOffered, ticket: str) -> None:
        def on_appended(appended: Future[None]) -> None:
            error = appended.exception()
            if error is not None:
                self._bus.call_soon(partial(self._give_up, ticket, str(error)))

        self._bus.append(instance, record).add_done_callback(on_appended)

    def _on_notice(self, message: Request) -> None:
        try:
            notice = _NOTICE.validate_json(message.body)
        except ValidationError:
            _log.warning("a message to the migrations' inbox is no notice")
            return
        if isinstance(notice, Accepted):
            return
        error = notice.error or InternalError(message="the arrival has ended before a worker came")
        self._give_up(notice.request_id, encode_text(Error, error))

    def _give_up(self, ticket: str, words: str) -> None:
        stream = self._waiting.pop(ticket, None)
        if stream is not None:
            stream.fail(words)


def for_sources(ask: AskInstance) -> AskInstance:
    """The same for hosts that nobody has asked who they are: they may do what a migration needs."""

    def ask_some(instance: str, request: Request, on_answer: Callable[[bytes], None]) -> None:
        try:
            call = rpc.decode_request(request.body)
        except rpc.BadRequestError as error:
            on_answer(error.answer)
            return
        if call.method in SOURCE_METHODS:
            ask(instance, request, on_answer)
        else:
            words = f"{call.method} is not taken at a door for migrations: only {', '.join(SOURCE_METHODS)}"
            on_answer(rpc.encode_failure(InternalError(message=words)))

    return ask_some
