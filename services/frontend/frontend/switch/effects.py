"""Effects: what the switch's core wants done: clients answered, instances asked, changes written down."""

from typing import NamedTuple

from frontend.switch.protocol import Entry, MessageId


class Now(NamedTuple):
    """The moment: seconds since the epoch, and nanoseconds of the machine's own clock."""

    at: float
    ns: int


class Reply(NamedTuple):
    """Answer the request of a connection."""

    connection: int
    status: int
    body: bytes


class Ask(NamedTuple):
    """Ask an instance; its answer comes back with the message's id."""

    id: MessageId
    body: bytes


class Made(NamedTuple):
    """Write down: a queue was made."""

    queue: str
    owner: str | None


class Removed(NamedTuple):
    """Write down: a queue is no more."""

    queue: str


class Sent(NamedTuple):
    """Write down: a message was put into its queue."""

    id: MessageId
    entry: Entry


class Acknowledged(NamedTuple):
    """Write down: a message is done with."""

    id: MessageId


Note = Made | Removed | Sent | Acknowledged
Effect = Reply | Ask | Note
