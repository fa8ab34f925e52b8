"""The event hub's core: from entries, requests and time to answers; no clock, socket or thread inside.

Three things may have to wait, each for a bounded time: UPDATES.get for news; a question about a place in the
log that this replica has not read yet; a request that becomes a record, for that record to be read back, so
that whoever was answered sees what was done.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from bus.ports import Entry, Request
from bus.quarantine import Quarantined
from schema.fault import XenopsError, internal_error
from schema.records import Record
from schema.rpc import BadRequestError, Call, decode_request, encode_failure, encode_request, encode_result

from eventhub import tokens
from eventhub.calls import (
    Answer,
    AskAgain,
    AskWorker,
    AwaitLog,
    RequestRecord,
    TellReaders,
    WaitForNews,
    Write,
    decide,
    diagnostics,
    encode_news,
    events,
)
from eventhub.effects import Address, Append, Ask, Effect, Reply
from eventhub.fold import Fold
from eventhub.waiting import Waiting

START_WAIT_S = 15.0
"""How long a request waits for a replica that still reads what is in the log already.

So does one for a replica that has lost the log, or the broker, and has not found its place in it again.
"""

BEHIND_WAIT_S = 2.0
"""How long a question waits for an entry that is not read yet: replicas are milliseconds apart."""

WRITE_WAIT_S = 15.0
"""How long a request waits for its record to be read back; longer than a broker takes to restart."""

WAITING_MAX = 50_000
"""Requests that may wait at a time; what can be answered at once still is."""

PAUSE_PER_CLIENT_S = 0.0005
"""After news was told, the next waits for so long per client that was told, beyond the first.

To tell a client costs all services and the broker about as much, for it asks again at once: so told and
asked, many clients take at most half of two processors, and tasks go on. One client alone never waits.
"""

PAUSE_MAX_S = 0.025
"""The longest such pause, however many are told: as late as news may be for it."""

_FULL = f"{WAITING_MAX} requests wait at the event hub already: ask again later"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was understood, when it came, and for how long it waits for the log to be read on."""

    call: Call
    address: Address | None
    at: float
    until: float
    patient: bool = True

    def answered(self, body: bytes) -> list[Effect]:
        """Its answer, if anybody waits for one."""
        return [Reply(body, (self.address,))] if self.address else []

    def refused(self, sentence: str) -> list[Effect]:
        """The sentence as its answer."""
        return self.answered(encode_failure(internal_error(f"{self.call.method}: {sentence}").error))


class EventHub:
    """One instance's tasks and updates, from its log; `version` is this software's, for who asks."""

    def __init__(self, version: str = "") -> None:
        self._version = version
        self._fold = Fold()
        self._live = False
        self._sure = True
        self._told = tokens.START
        self._owed = False  # somebody who waits has not seen all that was told before
        self._pause_until = 0.0
        self._waiting = Waiting()
        self._behind: list[tuple[int, _Asked]] = []
        self._writes: dict[Record, list[_Asked]] = {}
        self._read_back: list[_Asked] = []
        self._with_worker: dict[int, _Asked] = {}
        self._numbers = count()

    def snapshot(self) -> Iterator[bytes]:
        """What is known of the log now, as lines."""
        return self._fold.snapshot()

    def restore(self, lines: Iterable[bytes]) -> None:
        """Know what lines say, before anything is read; raises SnapshotError for another version's."""
        self._fold.restore(lines)

    @property
    def is_live(self) -> bool:
        """Whether all that was in the log at the start is read."""
        return self._live

    def on_log(self, *, sure: bool) -> None:
        """Whether what was read is known to stand in the log still, from now on."""
        self._sure = sure

    def due_s(self, now: float) -> float | None:
        """In how many seconds to call `on_batch`, for somebody may have to be told of what was read."""
        if not self._live:
            return None
        if self._read_back or self._behind:
            return 0.0
        return max(0.0, self._pause_until - now) if self._has_news() else None

    def on_entry(self, entry: Entry) -> None:
        """Take the next entry of the log; nobody is told before `on_batch`."""
        life = self._fold.life
        self._fold.on_entry(entry)
        if self._fold.life != life and len(self._waiting):
            self._waiting.begin_anew()
            self._owed = True
        if self._writes and isinstance(entry.record, RequestRecord):
            self._read_back += self._writes.pop(entry.record, ())

    def on_quarantined(self, one: Quarantined) -> None:
        """A message of the log is passed over by all."""
        self._fold.quarantine.on_quarantined(one)

    def on_live(self, now: float) -> list[Effect]:
        """All that was in the log is read: from now on requests are answered."""
        self._live = True
        return self.on_batch(now)

    def on_batch(self, now: float) -> list[Effect]:
        """Some entries were read: tell everybody who waits for them, once."""
        read_back, self._read_back = self._read_back, []
        effects = [
            effect for asked in read_back for effect in asked.answered(encode_result(asked.call.method, None))
        ]
        effects += self._catch_up(now)
        if self._has_news() and now >= self._pause_until:
            effects += self._tell(now)
        return effects

    def _has_news(self) -> bool:
        return self._owed or self._fold.updates.last > self._told

    def _tell(self, now: float) -> list[Effect]:
        """Tell everybody who waits what is new; then they are left alone for a while."""
        self._told, self._owed = self._fold.updates.last, False
        woken = list(self._waiting.wake(self._told))
        others = sum(len(addresses) for _, addresses in woken) - 1
        self._pause_until = now + min(PAUSE_MAX_S, PAUSE_PER_CLIENT_S * others)
        return [self._news(place, addresses) for place, addresses in woken]

    def on_time(self, now: float) -> list[Effect]:
        """Answer those whose time is up."""
        effects = self._catch_up(now) if self._behind else []
        effects += [self._news(place, addresses) for place, addresses in self._waiting.expire(now)]
        for record in [record for record, asked in self._writes.items() if asked[0].at + WRITE_WAIT_S <= now]:
            effects += self.on_append_failed(record, f"it was not read back within {WRITE_WAIT_S:g} s")
        return effects

    def on_append_failed(self, record: Record, reason: str) -> list[Effect]:
        """A record was not appended, or nobody knows: say so to those who wait for it."""
        return [
            effect
            for asked in self._writes.pop(record, ())
            for effect in asked.refused(f"it may not have been done ({reason}): look, and ask again")
        ]

    def on_worker_answer(self, number: int, answer: bytes | None) -> list[Effect]:
        """What a worker says to what it was asked; None when it does not."""
        asked = self._with_worker.pop(number)
        return asked.answered(diagnostics(self._fold, answer))

    def on_request(self, request: Request, now: float) -> list[Effect]:
        """Answer a request of `Task.*`, `UPDATES.*`, `get_diagnostics`, `QUARANTINE.*` or `EVENTS.*`."""
        address = Address(request.reply_to, request.correlation_id) if request.reply_to else None
        try:
            call = decode_request(request.body)
        except BadRequestError as error:
            return [Reply(error.answer, (address,))] if address else []
        asked = _Asked(call, address, now, now + (BEHIND_WAIT_S if self._live else START_WAIT_S))
        return self._perform(asked, now) if self._live else self._defer(asked, tokens.START)

    def _perform(self, asked: _Asked, now: float) -> list[Effect]:
        try:
            decision = decide(self._fold, asked.call, patient=asked.patient, sure=self._sure)
        except XenopsError as error:
            return asked.answered(encode_failure(error.error))
        match decision:
            case Answer(body):
                return asked.answered(body)
            case AskAgain(place):
                return self._defer(asked, place)
            case AwaitLog():
                return self._defer(replace(asked, until=asked.at + START_WAIT_S), tokens.START)
            case Write(record, before):
                return self._write(record, asked, before)
            case TellReaders():
                return asked.answered(events(self._fold, self._waiting.places(), self._version))
            case AskWorker():
                return self._ask_worker(asked)
            case WaitForNews(place, timeout_s):  # pragma: no branch  there is no other decision
                return self._wait_for_news(asked, place, asked.at + timeout_s, now)

    def _wait_for_news(self, asked: _Asked, place: int, deadline: float, now: float) -> list[Effect]:
        if asked.address is None:
            return []
        if self._is_full():
            return asked.refused(_FULL)
        if deadline <= now:
            return [self._news(place, (asked.address,))]
        self._waiting.add(asked.address, place, deadline)
        self._owed = self._owed or place < self._told
        return []

    def _defer(self, asked: _Asked, place: int) -> list[Effect]:
        if self._is_full():
            return asked.refused(_FULL)
        self._behind.append((place, asked))
        return []

    def _ask_worker(self, asked: _Asked) -> list[Effect]:
        if self._is_full():
            return asked.refused(_FULL)
        number = next(self._numbers)
        self._with_worker[number] = asked
        return [Ask(number, encode_request(asked.call.method, **asked.call.params))]

    def _is_full(self) -> bool:
        return len(self._waiting) + len(self._behind) + len(self._with_worker) >= WAITING_MAX

    def _write(self, record: Record, asked: _Asked, before: tuple[Record, ...]) -> list[Effect]:
        """Append a record and answer when it is read; one that is under way already serves for both."""
        if record in self._writes:
            self._writes[record].append(asked)
            return []
        self._writes[record] = [asked]
        return [Append(record, before)]

    def _catch_up(self, now: float) -> list[Effect]:
        """Ask anew what waited for a place that is reached now, or has waited for long enough."""
        behind, self._behind = self._behind, []
        effects: list[Effect] = []
        for place, asked in behind:
            if self._live and self._fold.seen >= place:
                effects += self._perform(replace(asked, patient=asked.patient and now < asked.until), now)
            elif now < asked.until:
                self._behind.append((place, asked))
            elif self._live:
                effects += self._perform(replace(asked, patient=False), now)
            else:
                effects += asked.refused("the event hub is still reading the log: ask again later")
        return effects

    def _news(self, place: int, addresses: tuple[Address, ...]) -> Reply:
        return Reply(encode_news(self._fold, self._fold.updates.since(place)), addresses)
