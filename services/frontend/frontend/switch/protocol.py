"""Protocol: the message switch's requests and answers, exactly as the original reads and writes them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from schema.wire import json
from schema.wire.codec import from_rpc
from schema.wire.errors import JsonError, MarshalError
from schema.wire.scalars import float_of_text, integer_of_text, text_of_float
from schema.wire.value import Dict

TRACE_TIMEOUT_S = 5.0
"""How long a trace waits when it does not say."""

BEFORE_ALL = -1
"""A place before the first message of any queue."""


class MessageId(NamedTuple):
    """Which message of which queue."""

    queue: str
    number: int


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a request, with the queue for its answer, or the answer to one."""

    payload: bytes
    kind: str | MessageId


@dataclass(frozen=True, slots=True)
class Login:
    """The connection belongs to a session from now on."""

    session: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make a queue, unless it is there; a transient one goes with its session."""

    queue: str
    transient: bool


@dataclass(frozen=True, slots=True)
class Destroy:
    """Remove a queue with all that is in it."""

    queue: str


@dataclass(frozen=True, slots=True)
class Ack:
    """A message is done with."""

    id: MessageId


@dataclass(frozen=True, slots=True)
class List:
    """The queues whose names begin so; alive are those that somebody has asked for messages."""

    prefix: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """Wait for messages after a place in some queues."""

    after: int
    timeout_s: float
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Wait for what has happened from a place on."""

    start: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Put a message into a queue."""

    queue: str
    message: Message


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """All that the switch holds."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the switch."""


Asked = Login | Create | Destroy | Ack | List | Transfer | Trace | Send | Diagnostics | Shutdown


class BrokenError(Exception):
    """A request of the right form with something in it that cannot be read."""


def decode(method: str, target: str, body: bytes) -> Asked | None:
    """What a request asks for; None when it is none of ours.

    Raises:
        BrokenError: a number or the body of a transfer cannot be read.
    """
    words = _path(target).split("/")[1:]
    if method == "POST":
        return _post(words, body)
    return _get(words) if method == "GET" and not body else None


def path_of(target: str) -> str:
    """A target's path, as it came."""
    if not target.startswith("/"):
        target = urlsplit(target).path
    return target.partition("?")[0].partition("#")[0]


def _path(target: str) -> str:
    return _unquoted(path_of(target))


def _unquoted(word: str) -> str:
    """The original takes quotes off twice: from the path, then from each name in it."""
    if "%" not in word:
        return word
    return unquote_to_bytes(word.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _post(words: list[str], body: bytes) -> Asked | None:
    match words:
        case ["request", queue, reply_to]:
            return Send(_unquoted(queue), Message(body, _unquoted(reply_to)))
        case ["response", queue, asked_queue, number]:
            return Send(_unquoted(queue), Message(body, MessageId(asked_queue, _int64(number))))
        case ["transfer"]:
            return _transfer(body)
        case ["shutdown"] if not body:
            return Shutdown()
        case _:
            return None


def _get(words: list[str]) -> Asked | None:
    match words:
        case ["ack", queue, number]:
            return Ack(MessageId(_unquoted(queue), _int64(number)))
        case ["persistent", queue]:
            return Create(_unquoted(queue), transient=False)
        case ["transient", queue]:
            return Create(_unquoted(queue), transient=True)
        case ["destroy", queue]:
            return Destroy(_unquoted(queue))
        case ["login", session]:
            return Login(_unquoted(session))
        case ["list", prefix]:
            return List(_unquoted(prefix), alive=False)
        case ["list", "alive", prefix]:
            return List(_unquoted(prefix), alive=True)
        case ["trace"]:
            return Trace(BEFORE_ALL, TRACE_TIMEOUT_S)
        case ["trace", start, timeout]:
            return Trace(_int64(start), _seconds(timeout))
        case [""]:
            return Diagnostics()
        case _:
            return None


def _int64(text: str) -> int:
    number = integer_of_text(text, 64)
    if number is None:
        raise BrokenError(f"{text!r} is no number")
    return number


def _seconds(text: str) -> float:
    seconds = float_of_text(text)
    if seconds is None:
        raise BrokenError(f"{text!r} is no number of seconds")
    return seconds


def _transfer(body: bytes) -> Transfer:
    """`{"from": option of a number as text, "timeout": seconds, "queues": names}`; the last of equal keys."""
    try:
        content = json.loads(body.decode("utf-8", "surrogateescape"))
        if not isinstance(content, Dict):
            raise BrokenError("a transfer is an object")
        fields = {key.lower(): value for key, value in content.pairs}
        after = _int64(from_rpc(str, fields["from"])) if "from" in fields else BEFORE_ALL
        timeout_s = from_rpc(float, fields["timeout"])
        return Transfer(after, timeout_s, from_rpc(tuple[str, ...], fields["queues"]))
    except (JsonError, MarshalError, KeyError) as error:
        raise BrokenError(f"a transfer that cannot be read: {error}") from error


# answers

_quote: Callable[[str], str] = json.dumps


def encode_id(id_: MessageId | None) -> bytes:
    """The answer to a message that was sent: its id, or none when there is no such queue."""
    return _bytes(f"[{_id(id_)}]") if id_ is not None else b"[]"


def encode_names(names: Iterable[str]) -> bytes:
    """The answer to a list."""
    return _bytes(f"[{','.join(map(_quote, names))}]")


def encode_transfer(messages: Iterable[tuple[MessageId, Message]], last: int) -> bytes:
    """The answer to a transfer; `last` is where the next one goes on."""
    pairs = ",".join(f"[{_id(id_)},{_message(message)}]" for id_, message in messages)
    return _bytes(f'{{"messages":[{pairs}],"next":"{last}"}}')


class Event(NamedTuple):
    """Something that has happened: a message came from `input`, or went to `output`, or was done with."""

    at: float
    input: str | None
    queue: str
    output: str | None
    id: MessageId
    message: Message | None
    processing_ns: int | None


def encode_events(events: Iterable[tuple[int, Event]]) -> bytes:
    """The answer to a trace."""
    pairs = ",".join(f"[{number},{_event(event)}]" for number, event in events)
    return _bytes(f'{{"events":[{pairs}]}}')


class Entry(NamedTuple):
    """A message in a queue: from which session, and since when in nanoseconds of the machine's clock."""

    origin: str
    at_ns: int
    message: Message


class Snapshot(NamedTuple):
    """One queue: until when somebody waits for its messages, and what is in it."""

    name: str
    expected_ns: int | None
    entries: list[tuple[MessageId, Entry]]


def encode_diagnostics(
    started_ns: int, now_ns: int, permanent: list[Snapshot], transient: list[Snapshot]
) -> bytes:
    """The answer to diagnostics; times are of the switch's own clock."""
    return _bytes(
        f'{{"start_time":{started_ns},"current_time":{now_ns},'
        f'"permanent_queues":{_queues(permanent)},"transient_queues":{_queues(transient)}}}'
    )


def _queues(queues: list[Snapshot]) -> str:
    pairs = ",".join(f"{_quote(queue.name)}:{_queue(queue)}" for queue in queues)
    return f"{{{pairs}}}"


def _queue(queue: Snapshot) -> str:
    expected = "" if queue.expected_ns is None else f'"next_transfer_expected":{queue.expected_ns},'
    entries = ",".join(f"[{_id(id_)},{_entry(entry)}]" for id_, entry in queue.entries)
    return f'{{{expected}"queue_contents":[{entries}]}}'


def _entry(entry: Entry) -> str:
    message = _message(entry.message)
    return f'{{"origin":["Name",{_quote(entry.origin)}],"time":{entry.at_ns},"message":{message}}}'


def _id(id_: MessageId) -> str:
    return f"[{_quote(id_.queue)},{id_.number}]"


def _message(message: Message) -> str:
    kind = message.kind
    written = f'["Request",{_quote(kind)}]' if isinstance(kind, str) else f'["Response",{_id(kind)}]'
    return f'{{"payload":{_quote(message.payload.decode("utf-8", "surrogateescape"))},"kind":{written}}}'


def _event(event: Event) -> str:
    message = event.message
    content = f'["Ack",{_id(event.id)}]'
    if message is not None:
        content = f'["Message",{_id(event.id)},{_message(message)}]'
    fields: list[tuple[str, Any]] = [
        ("time", text_of_float(event.at)),
        ("input", None if event.input is None else _quote(event.input)),
        ("queue", _quote(event.queue)),
        ("output", None if event.output is None else _quote(event.output)),
        ("message", content),
        ("processing_time", event.processing_ns),
    ]
    pairs = ",".join(f'"{name}":{value}' for name, value in fields if value is not None)
    return f"{{{pairs}}}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
