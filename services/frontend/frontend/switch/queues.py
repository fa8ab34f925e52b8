"""Queues: what waits on the switch, whose it is, and how much it may be."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from frontend.switch.protocol import Entry, Message, MessageId, Snapshot

QUEUES_MAX = 10_000
"""Queues; the original's clients have one each."""

MESSAGES_MAX = 10_000
"""Messages in one queue; more is a client that has forgotten its queue."""

BYTES_MAX = 256 * 1024 * 1024
"""All that waits in all queues."""

NAME_BYTES_MAX = 1024
"""A queue's or a session's name."""


class LimitError(Exception):
    """There is no room; the sentence says for what, and what to do."""


@dataclass(slots=True)
class Queue:
    """Messages by number, in their order; a transient one has an owner, a session."""

    name: str
    owner: str | None = None
    next_number: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    expected_ns: int | None = None  # until when somebody waits, or waited, for messages


class Queues:
    """All queues of a switch."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._owned: dict[str, set[str]] = {}
        self._bytes = 0

    def get(self, name: str) -> Queue | None:
        """A queue, if it is there."""
        return self._queues.get(name)

    def add(self, name: str, owner: str | None) -> bool:
        """Make a queue, unless it is there; answers whether it was made.

        Raises:
            LimitError: there are too many, or the name is too long.
        """
        if name in self._queues:
            return False
        if len(self._queues) >= QUEUES_MAX:
            raise LimitError(f"the switch has {QUEUES_MAX} queues already: destroy some")
        check_name(name)
        self.restore(Queue(name, owner))
        return True

    def restore(self, queue: Queue) -> None:
        """Take in a queue as it is."""
        self._queues[queue.name] = queue
        self._bytes += sum(len(entry.message.payload) for entry in queue.entries.values())
        if queue.owner is not None:
            self._owned.setdefault(queue.owner, set()).add(queue.name)

    def remove(self, name: str) -> bool:
        """Remove a queue and all in it; answers whether it was there."""
        queue = self._queues.pop(name, None)
        if queue is None:
            return False
        self._bytes -= sum(len(entry.message.payload) for entry in queue.entries.values())
        if queue.owner is not None:
            owned = self._owned[queue.owner]
            owned.discard(name)
            if not owned:
                del self._owned[queue.owner]
        return True

    def owners(self) -> list[str]:
        """The sessions that own queues."""
        return list(self._owned)

    def owned(self, session: str) -> list[str]:
        """A session's transient queues."""
        return sorted(self._owned.get(session, ()))

    def send(self, queue: Queue, entry: Entry) -> MessageId:
        """Put a message into a queue.

        Raises:
            LimitError: the queue, or the switch, is full.
        """
        size = len(entry.message.payload)
        if len(queue.entries) >= MESSAGES_MAX:
            raise LimitError(
                f"{MESSAGES_MAX} messages wait in the queue {queue.name} already: does anybody read it?"
            )
        if self._bytes + size > BYTES_MAX:
            raise LimitError(
                f"{self._bytes} bytes wait on the switch, at most {BYTES_MAX} may: try again later"
            )
        number = queue.next_number
        queue.next_number = number + 1
        queue.entries[number] = entry
        self._bytes += size
        return MessageId(queue.name, number)

    def entry(self, id_: MessageId) -> Entry | None:
        """A message, if it is there."""
        queue = self._queues.get(id_.queue)
        return queue.entries.get(id_.number) if queue is not None else None

    def acknowledge(self, id_: MessageId) -> Entry | None:
        """Take a message away; answers what it was, if it was there."""
        queue = self._queues.get(id_.queue)
        entry = queue.entries.pop(id_.number, None) if queue is not None else None
        if entry is not None:
            self._bytes -= len(entry.message.payload)
        return entry

    def after(self, place: int, names: tuple[str, ...]) -> list[tuple[MessageId, Message]]:
        """The messages after a place: queue by queue, in each the last one first, as the original does."""
        found: list[tuple[MessageId, Message]] = []
        for name in names:
            queue = self._queues.get(name)
            if queue is None or not queue.entries:
                continue
            for number in reversed(queue.entries):
                if number <= place:
                    break
                found.append((MessageId(name, number), queue.entries[number].message))
        return found

    def has_after(self, place: int, names: tuple[str, ...]) -> bool:
        """Whether there is any."""
        for name in names:
            queue = self._queues.get(name)
            if queue is not None and queue.entries and next(reversed(queue.entries)) > place:
                return True
        return False

    def names(self, prefix: str) -> list[str]:
        """The queues whose names begin so, the last in the alphabet first."""
        begin = _octets(prefix)
        found = (name for name in self._queues if _octets(name).startswith(begin))
        return sorted(found, key=_octets, reverse=True)

    def all(self) -> Iterator[Queue]:
        """Every queue, in the order of their names."""
        return (self._queues[name] for name in reversed(self.names("")))

    def snapshots(self, *, transient: bool) -> list[Snapshot]:
        """What there is, for diagnostics, in the original's order."""
        return [
            Snapshot(queue.name, queue.expected_ns, _contents(queue))
            for queue in self.all()
            if (queue.owner is not None) == transient
        ]


def check_name(name: str) -> None:
    """Refuse what is too long for the name of a queue or a session.

    Raises:
        LimitError: it is.
    """
    if len(_octets(name)) > NAME_BYTES_MAX:
        raise LimitError(
            f"a name of a queue or session has at most {NAME_BYTES_MAX} bytes: choose a shorter one"
        )


def _contents(queue: Queue) -> list[tuple[MessageId, Entry]]:
    return [(MessageId(queue.name, number), queue.entries[number]) for number in reversed(queue.entries)]


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
