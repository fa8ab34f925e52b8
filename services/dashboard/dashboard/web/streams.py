"""Streams: Server-Sent Events: the log as it comes, resumable; and a pulse that says that something is new.

Nothing is kept for a reader but its place: one that is slow reads later from the ring that all share, and
is told of a gap when the ring has passed it. One that does not read at all is let go.
"""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from bus.ports import Entry
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from dashboard.fold.feed import Seen, Wanted, seen
from dashboard.metrics import Metrics
from dashboard.showing import entry
from dashboard.watch import Watch
from dashboard.web.server import LAST_WORDS

STREAMS_MAX = 1_000
"""Streams at a time."""

CHUNK_ENTRIES = 200
"""So many entries are looked at at a time."""

PIECE_BYTES = 32 * 1024
"""So much is sent at a time: what waits for a reader that takes nothing is his own copy."""

ENCODED_MAX = 1_000
"""Events that are kept as they are sent: who follows mostly wants what others have just got."""

SILENCE_S = 15.0
"""After so long without anything a comment is sent, so that both sides know that the other is there."""

STUCK_S = 60.0
"""A reader that takes nothing for so long is told that it is let go, behind what it has not taken yet."""

RETRY = b"retry: 2000\n\n"
STILL_HERE = b": still here\n\n"

_log = logging.getLogger("dashboard")


class Encoded:
    """The events of one log's entries, made once for all who follow."""

    def __init__(self) -> None:
        self._events: OrderedDict[int, bytes] = OrderedDict()

    def event(self, one: Entry) -> bytes:
        """An entry as it is sent."""
        found = self._events.get(one.offset)
        if found is None:
            found = _event("entry", seen(one), entry(one).model_dump(mode="json"))
            self._events[one.offset] = found
            if len(self._events) > ENCODED_MAX:
                self._events.popitem(last=False)
        return found


async def log_events(
    watch: Watch, encoded: Encoded, after: Seen | None, wanted: Wanted
) -> AsyncIterator[bytes]:
    """Entries after those that were seen (None: from the first request on) as events."""
    place: int | None = watch.feed.end
    yield RETRY
    while not watch.live:  # how far the log goes is not known yet
        if not await watch.notifier.wait(SILENCE_S):
            yield STILL_HERE
    if after is not None:
        place = watch.feed.place_after(after)
    while True:
        found = None if place is None else watch.feed.since(place, CHUNK_ENTRIES)
        if found is None:
            first = watch.feed.first or 0
            yield _event("gap", None, {"first": first})
            place = watch.feed.place_after(Seen(first - 1))
            place = watch.feed.end if place is None else place
            continue
        entries, place = found
        events = [encoded.event(one) for one in entries if wanted.takes(one)]
        for piece in _pieces(events):
            yield piece
        if not entries and not await watch.notifier.wait(SILENCE_S):
            yield STILL_HERE


def _pieces(events: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for event in events:
        piece += event
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def news(watch: Watch, pause_s: float) -> AsyncIterator[bytes]:
    """That there is news, with the last offset as its id, at most every `pause_s`."""
    yield RETRY
    yield _event("news", watch.fold.offset, {"offset": watch.fold.offset})
    while True:
        if await watch.notifier.wait(SILENCE_S):
            yield _event("news", watch.fold.offset, {"offset": watch.fold.offset})
            await asyncio.sleep(pause_s)
        else:
            yield STILL_HERE


def _event(name: str, id_: Seen | int | None, data: object) -> bytes:
    head = f"event: {name}\n" if id_ is None else f"event: {name}\nid: {id_}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class OpenStreams:
    """The streams that are open; on the bus's own thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.streams
        self._cut = metrics.cut
        self._ends: set[asyncio.Event] = set()
        self._encoded: dict[str, Encoded] = {}
        self._on_none: Callable[[], None] | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._ends)

    @property
    def full(self) -> bool:
        """Whether there may be no more."""
        return self.count >= STREAMS_MAX

    def encoded(self, instance: str) -> Encoded:
        """The events of an instance's log."""
        return self._encoded.setdefault(instance, Encoded())

    def add(self) -> asyncio.Event:
        """One has begun; it ends when it is told so."""
        end = asyncio.Event()
        self._ends.add(end)
        self._gauge.set(self.count)
        return end

    def remove(self, end: asyncio.Event) -> None:
        """One has ended."""
        self._ends.discard(end)
        self._gauge.set(self.count)
        if not self._ends and self._on_none is not None:
            self._on_none()

    def cut(self) -> None:
        """One was ended, for its reader takes nothing."""
        self._cut.inc()
        _log.info("an event stream was ended: its reader took nothing for %g s", STUCK_S)

    def end(self, on_none: Callable[[], None]) -> None:
        """End all; `on_none` is told when there are none any more."""
        self._on_none = on_none
        for end in self._ends:
            end.set()
        if not self._ends:
            on_none()


class EventStream(Response):
    """An endless answer that ends when its reader does, or takes nothing any more, or all are ended."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], streams: OpenStreams) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._streams = streams

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        end = self._streams.add()
        tasks = [asyncio.ensure_future(one) for one in (self._send(scope, send), _gone(receive), end.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._streams.remove(end)
        if end.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._events:
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            try:
                async with asyncio.timeout(
                    STUCK_S
                ):  # before 3.12, `wait_for` may swallow that its task is cancelled
                    await send(message)
            except TimeoutError:
                self._streams.cut()
                scope["state"][LAST_WORDS]()
                why = {"reason": f"nothing was taken for {STUCK_S:g} s: go on from the last id"}
                last = {"type": "http.response.body", "body": _event("end", None, why), "more_body": False}
                await send(last)
                return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
