"""Core of the switch: what becomes of a request, of a connection's end, of an instance's answer, of time.

Requests to an instance's queue are for us: the instance is asked, and its answer is put into the queue for
it. Everything else passes between clients.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count

from frontend.http.message import HttpRequest
from frontend.switch import protocol
from frontend.switch.effects import Acknowledged, Ask, Effect, Made, Now, Removed, Reply, Sent
from frontend.switch.protocol import (
    Ack,
    Asked,
    BrokenError,
    Create,
    Destroy,
    Diagnostics,
    Entry,
    Event,
    List,
    Login,
    Message,
    MessageId,
    Send,
    Shutdown,
    Snapshot,
    Trace,
    Transfer,
)
from frontend.switch.queues import LimitError, Queue, Queues, check_name
from frontend.switch.trace import Ring

INSTANCE_PREFIX = "org.xen.xapi.xenops."
"""How the queues of instances begin."""

SESSIONS_MAX = 16
"""Sessions of one connection; the original's clients have one."""

NAMES_MAX = 1_000
"""Queues that one transfer may ask for."""

WAIT_S_MAX = 86_400.0
"""A longer wait is as good as for ever."""

RETURN_S = 60.0
"""How long the queues of sessions are kept that were there before a restart, until they come back."""

STALE_MAX = 1_000
"""Waits that were answered before their time and are kept in the order of times, beyond as many as wait."""

NOT_LOGGED_IN = b"Please log in."
BROKEN = b"Error: Internal Server Error"
STAYS = b"the switch ends with the frontend that serves it, not by request"

_NS = 1_000_000_000


@dataclass(slots=True)
class _Waiting:
    """A transfer, or a trace (of no session), that has not been answered yet."""

    connection: int
    session: str | None
    after: int
    queues: tuple[str, ...]
    until_ns: int


@dataclass(slots=True)
class Switch:
    """One switch. `server` is the session that we serve `instances` as; connections are numbers."""

    instances: tuple[str, ...]
    server: str
    queues: Queues = field(default_factory=Queues)
    _trace: Ring = field(default_factory=Ring)
    _sessions: dict[int, set[str]] = field(default_factory=dict)
    _connections: dict[str, set[int]] = field(default_factory=dict)
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _waiting_for: dict[str, set[int]] = field(default_factory=dict)
    _tracing: set[int] = field(default_factory=set)
    _due: list[tuple[int, int, _Waiting]] = field(default_factory=list)
    _tickets: "count[int]" = field(default_factory=count)
    _returning_until_ns: int | None = None
    _started_ns: int = 0

    def on_start(self, now: Now, may_repeat: Callable[[bytes], bool], lost: bytes) -> list[Effect]:
        """The instances' queues are made; sessions of a life before may come back to their own for a while.

        What that life has left unanswered is asked again where that is harmless, and else answered by `lost`.
        """
        effects: list[Effect] = []
        self._started_ns = now.ns
        if self.queues.owners():
            self._returning_until_ns = now.ns + int(RETURN_S * _NS)
        for name in self.instances:
            self._make(name, None, effects)
        for queue in list(self.queues.all()):
            if not self._is_ours(queue):
                continue
            for number, entry in list(queue.entries.items()):
                id_ = MessageId(queue.name, number)
                if may_repeat(entry.message.payload):
                    effects.append(Ask(id_, entry.message.payload))
                else:
                    effects += self.on_answer(id_, lost, now)
        return effects

    def on_request(self, connection: int, request: HttpRequest, now: Now) -> list[Effect]:
        """A client's request."""
        method, target, _, body = request
        try:
            asked = protocol.decode(method, target, body)
            if asked is None:
                words = f"Not found: {protocol.path_of(target)}".encode("utf-8", "surrogateescape")
                return [Reply(connection, HTTPStatus.NOT_FOUND, words)]
            return self._perform(connection, asked, now)
        except BrokenError:
            return [Reply(connection, HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN)]
        except LimitError as error:
            return [Reply(connection, HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode())]

    def on_gone(self, connection: int) -> list[Effect]:
        """A connection has ended: with a session's last one go the queues that it owns."""
        self._forget_waiting(connection)
        effects: list[Effect] = []
        for session in self._sessions.pop(connection, ()):
            others = self._connections[session]
            others.discard(connection)
            if not others:
                del self._connections[session]
                for name in self.queues.owned(session):
                    self._remove(name, effects)
        return effects

    def on_answer(self, id_: MessageId, payload: bytes, now: Now) -> list[Effect]:
        """An instance has answered a request; if there is no queue for the answer any more, it is dropped."""
        asked = self.queues.entry(id_)
        if asked is None:
            return []
        effects: list[Effect] = []
        reply_to = self.queues.get(asked.message.kind) if isinstance(asked.message.kind, str) else None
        if reply_to is not None:
            try:
                self._send(reply_to, Entry(self.server, now.ns, Message(payload, id_)), now, effects)
            except LimitError:
                reply_to = None  # its reader takes nothing: there is nobody to tell
        self._acknowledge(id_, self.server, now, effects)
        return effects

    def on_time(self, now: Now) -> list[Effect]:
        """Answer those whose time is over; forget sessions that have not come back after a restart."""
        effects: list[Effect] = []
        while self._due and self._due[0][0] <= now.ns:
            _, _, waiting = heapq.heappop(self._due)
            if self._waiting.get(waiting.connection) is waiting:
                effects.append(self._answer(waiting, now))
        if self._returning_until_ns is not None and now.ns >= self._returning_until_ns:
            self._returning_until_ns = None
            for session in self.queues.owners():
                if session not in self._connections:
                    for name in self.queues.owned(session):
                        self._remove(name, effects)
        return effects

    def due_ns(self) -> int | None:
        """When `on_time` has something to do."""
        while self._due and self._waiting.get(self._due[0][2].connection) is not self._due[0][2]:
            heapq.heappop(self._due)
        times = [self._due[0][0]] if self._due else []
        if self._returning_until_ns is not None:
            times.append(self._returning_until_ns)
        return min(times, default=None)

    def _perform(self, connection: int, asked: Asked, now: Now) -> list[Effect]:
        sessions = self._sessions.get(connection)
        match asked:
            case Login(session):
                self._login(connection, session)
                return [Reply(connection, HTTPStatus.OK, b"")]
            case Diagnostics():
                permanent = [self._served(queue, now) for queue in self.queues.snapshots(transient=False)]
                transient = self.queues.snapshots(transient=True)
                body = protocol.encode_diagnostics(self._started_ns, now.ns, permanent, transient)
                return [Reply(connection, HTTPStatus.OK, body)]
            case Trace(start, timeout_s):
                return self._wait(_Waiting(connection, None, start, (), _until(timeout_s, now)), now)
            case _ if not sessions:
                return [Reply(connection, HTTPStatus.NOT_FOUND, NOT_LOGGED_IN)]
            case Shutdown():
                return [Reply(connection, HTTPStatus.FORBIDDEN, STAYS)]
            case Transfer(after, timeout_s, names):
                until_ns = _until(timeout_s, now)
                return self._transfer(_Waiting(connection, min(sessions), after, names, until_ns), now)
            case _:
                return self._change(connection, min(sessions), asked, now)

    def _change(
        self, connection: int, session: str, asked: List | Create | Destroy | Ack | Send, now: Now
    ) -> list[Effect]:
        """What is answered at once."""
        effects: list[Effect] = []
        body = b""
        match asked:
            case List(prefix, alive):
                body = protocol.encode_names(self._names(prefix, alive=alive))
            case Create(name, transient):
                self._make(name, session if transient else None, effects)
                body = name.encode("utf-8", "surrogateescape")
            case Destroy(name):
                if name not in self.instances:
                    self._remove(name, effects)
            case Ack(id_):
                self._acknowledge(id_, session, now, effects)
            case Send(name, message):
                return self._take(connection, name, Entry(session, now.ns, message), now)
        effects.insert(0, Reply(connection, HTTPStatus.OK, body))
        return effects

    def _login(self, connection: int, session: str) -> None:
        check_name(session)
        sessions = self._sessions.setdefault(connection, set())
        if len(sessions) >= SESSIONS_MAX and session not in sessions:
            raise LimitError(f"a connection has at most {SESSIONS_MAX} sessions: open another one")
        sessions.add(session)
        self._connections.setdefault(session, set()).add(connection)

    def _names(self, prefix: str, *, alive: bool) -> Iterable[str]:
        names = self.queues.names(prefix)
        return (name for name in names if self._is_alive(name)) if alive else names

    def _is_alive(self, name: str) -> bool:
        queue = self.queues.get(name)
        return name in self.instances or (queue is not None and queue.expected_ns is not None)

    def _is_ours(self, queue: Queue) -> bool:
        """Whether requests in a queue are for an instance of the bus; one of another's may be a client."""
        name = queue.name
        return name in self.instances or (queue.expected_ns is None and name.startswith(INSTANCE_PREFIX))

    def _served(self, queue: Snapshot, now: Now) -> Snapshot:
        """Our own queues are always waited for: m-cli takes others for services that never started."""
        return queue._replace(expected_ns=now.ns) if queue.name in self.instances else queue

    def _make(self, name: str, owner: str | None, effects: list[Effect]) -> None:
        if self.queues.add(name, owner):
            effects.append(Made(name, owner))
            for connection in self._waiting_for.get(name, ()):
                self._expect(name, self._waiting[connection].until_ns)

    def _remove(self, name: str, effects: list[Effect]) -> None:
        if self.queues.remove(name):
            effects.append(Removed(name))

    def _acknowledge(self, id_: MessageId, session: str, now: Now, effects: list[Effect]) -> None:
        if self.queues.acknowledge(id_) is not None:
            effects.append(Acknowledged(id_))
        self._happened(Event(now.at, session, id_.queue, None, id_, None, None), effects)

    def _take(self, connection: int, name: str, entry: Entry, now: Now) -> list[Effect]:
        """A client's message."""
        queue = self.queues.get(name)
        if queue is None:
            return [Reply(connection, HTTPStatus.OK, protocol.encode_id(None))]
        effects: list[Effect] = []
        if entry.message.kind == entry.origin:
            self._make(entry.origin, entry.origin, effects)  # its queue may be lost with a state directory
        if not self._is_ours(queue):
            id_ = self._send(queue, entry, now, effects)
        elif isinstance(entry.message.kind, str):
            id_ = self._put(queue, entry, now, effects)
            self._happened(Event(now.at, None, name, self.server, id_, entry.message, None), effects)
            effects.append(Ask(id_, entry.message.payload))
        else:
            id_ = self._put(queue, entry, now, effects)  # an answer to one who has asked nothing
            self._acknowledge(id_, self.server, now, effects)
        effects.insert(0, Reply(connection, HTTPStatus.OK, protocol.encode_id(id_)))
        return effects

    def _send(self, queue: Queue, entry: Entry, now: Now, effects: list[Effect]) -> MessageId:
        """Put a message into a queue, and answer who waits for it."""
        id_ = self._put(queue, entry, now, effects)
        for connection in list(self._waiting_for.get(queue.name, ())):
            waiting = self._waiting[connection]
            if id_.number > waiting.after:
                effects.append(self._answer(waiting, now))
        return id_

    def _put(self, queue: Queue, entry: Entry, now: Now, effects: list[Effect]) -> MessageId:
        id_ = self.queues.send(queue, entry)
        effects.append(Sent(id_, entry))
        self._happened(Event(now.at, entry.origin, queue.name, None, id_, entry.message, None), effects)
        return id_

    def _transfer(self, waiting: _Waiting, now: Now) -> list[Effect]:
        if len(waiting.queues) > NAMES_MAX:
            raise LimitError(f"a transfer may ask for {NAMES_MAX} queues: use several connections")
        for name in waiting.queues:
            self._expect(name, waiting.until_ns)
        return self._wait(waiting, now)

    def _expect(self, name: str, until_ns: int) -> None:
        queue = self.queues.get(name)
        if queue is not None:
            queue.expected_ns = until_ns

    def _wait(self, waiting: _Waiting, now: Now) -> list[Effect]:
        """Answer at once if there is something, or no time; else later."""
        is_there = (
            self._trace.next > waiting.after
            if waiting.session is None
            else self.queues.has_after(waiting.after, waiting.queues)
        )
        if is_there or waiting.until_ns <= now.ns:
            return [self._answer(waiting, now)]
        self._waiting[waiting.connection] = waiting
        for name in waiting.queues:
            self._waiting_for.setdefault(name, set()).add(waiting.connection)
        if waiting.session is None:
            self._tracing.add(waiting.connection)
        heapq.heappush(self._due, (waiting.until_ns, next(self._tickets), waiting))
        if len(self._due) > 2 * len(self._waiting) + STALE_MAX:
            self._due = [due for due in self._due if self._waiting.get(due[2].connection) is due[2]]
            heapq.heapify(self._due)
        return []

    def _answer(self, waiting: _Waiting, now: Now) -> Reply:
        """What there is now, for one who waits no longer."""
        self._forget_waiting(waiting.connection)
        if waiting.session is None:
            body = protocol.encode_events(self._trace.since(waiting.after))
            return Reply(waiting.connection, HTTPStatus.OK, body)
        found = self.queues.after(waiting.after, waiting.queues)
        for id_, message in found:
            took_ns = self._processing_ns(message, now)
            self._trace.add(Event(now.at, None, id_.queue, waiting.session, id_, message, took_ns))
        last = max((id_.number for id_, _ in found), default=waiting.after)
        return Reply(waiting.connection, HTTPStatus.OK, protocol.encode_transfer(found, last))

    def _processing_ns(self, message: Message, now: Now) -> int | None:
        """How long a request took whose answer this is, if it is still there."""
        if isinstance(message.kind, str):
            return None
        asked = self.queues.entry(message.kind)
        return None if asked is None else now.ns - asked.at_ns

    def _forget_waiting(self, connection: int) -> None:
        waiting = self._waiting.pop(connection, None)
        if waiting is None:
            return
        self._tracing.discard(connection)
        for name in waiting.queues:
            others = self._waiting_for.get(name)
            if others is not None:
                others.discard(connection)
                if not others:
                    del self._waiting_for[name]

    def _happened(self, event: Event, effects: list[Effect]) -> None:
        """Note an event; answer who looks on."""
        self._trace.add(event)
        for connection in list(self._tracing):
            waiting = self._waiting[connection]
            if self._trace.next > waiting.after:
                effects.append(self._answer(waiting, Now(event.at, 0)))


def _until(timeout_s: float, now: Now) -> int:
    """When a wait is over; one that is no number is none."""
    return now.ns + int(max(0.0, min(timeout_s, WAIT_S_MAX)) * _NS) if timeout_s == timeout_s else now.ns  # noqa: PLR0124
