import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from bus.rabbit.deliveries import delivery_at, frame_end
from bus.rabbit.services import LoopServices, StreamConnection
from hypothesis import example, given
from hypothesis import strategies as st
from pika import frame, spec

Message = tuple[bytes, spec.BasicProperties]
CHANNEL = 3
TEXT = st.text(max_size=40)
NAMES = TEXT | st.just(b"\xff\xfe")

HEADERS = (
    st.none() | st.builds(lambda n: {"x-stream-offset": n}, st.integers(0, 1 << 62)) | st.just({"a": "b"})
)
PROPERTIES = st.builds(
    spec.BasicProperties,
    content_type=st.none() | NAMES,
    headers=HEADERS,
    delivery_mode=st.none() | st.integers(1, 2),
    correlation_id=st.none() | NAMES,
    reply_to=st.none() | NAMES,
    message_id=st.none() | TEXT,
    timestamp=st.none() | st.integers(0, 1 << 40),
    type=st.none() | TEXT,
    user_id=st.none() | TEXT,
)
MESSAGES: st.SearchStrategy[Message] = st.tuples(st.binary(max_size=300), PROPERTIES)


def deliver(message: Message, tag: int = 7) -> bytes:
    """A message as the broker sends it."""
    body, properties = message
    method = spec.Basic.Deliver("consumer", tag, False, "exchange", "key")  # noqa: FBT003  pika's own
    sent = frame.Method(CHANNEL, method).marshal() + frame.Header(CHANNEL, len(body), properties).marshal()
    return sent + (frame.Body(CHANNEL, body).marshal() if body else b"")


def parts(method: Any, header: Any, body: bytes) -> tuple[Any, ...]:
    return vars(method.method), vars(header.properties), header.body_size, body


def by_pika(sent: bytes) -> tuple[Any, ...]:
    """What pika makes of a message."""
    found: list[Any] = []
    while sent:
        length, one = frame.decode_frame(sent)
        found.append(one)
        sent = sent[length:]
    return parts(found[0], found[1], found[2].fragment if len(found) > 2 else b"")


ONE: Message = (b"body", spec.BasicProperties(message_id="1"))


@example((b"", spec.BasicProperties(headers={"a": "b"}, type="other")), b"", b"")
@given(message=MESSAGES, before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_a_message_is_read_as_pika_reads_it_wherever_it_begins(
    message: Message, before: bytes, after: bytes
) -> None:
    sent = deliver(message)
    found = delivery_at(before + sent + after, len(before))
    assert found is not None
    assert parts(found.method, found.header, found.body) == by_pika(sent)
    assert (found.method.channel_number, found.end) == (CHANNEL, len(before) + len(sent))


@given(message=MESSAGES, data=st.data())
def test_of_a_message_that_is_not_all_here_nothing_is_read(message: Message, data: st.DataObject) -> None:
    sent = deliver(message)
    assert delivery_at(sent[: data.draw(st.integers(0, len(sent) - 1))], 0) is None


@pytest.mark.parametrize(
    "sent",
    [
        frame.Heartbeat().marshal(),
        frame.Method(CHANNEL, spec.Basic.Ack(3)).marshal(),
        frame.Method(CHANNEL, spec.Basic.Deliver("c", 1, False, "", "")).marshal() * 2,  # noqa: FBT003
        deliver(ONE)[:-12] + frame.Body(CHANNEL, b"bo").marshal() + frame.Body(CHANNEL, b"dy").marshal(),
        deliver(ONE)[:-12] + frame.Body(CHANNEL + 1, b"body").marshal(),
        deliver(ONE)[:-1] + b"?",
        deliver(ONE).replace(struct.pack(">H", spec.BasicProperties.FLAG_MESSAGE_ID), b"\x00\x81"),
    ],
    ids=[
        "a heartbeat",
        "an ack",
        "without a header",
        "two pieces",
        "another channel's",
        "no end",
        "more flags",
    ],
)
def test_whatever_is_no_whole_message_is_left_to_pika(sent: bytes) -> None:
    assert delivery_at(sent, 0) is None


@given(octets=st.binary(max_size=60), place=st.integers(0, 60))
def test_no_bytes_are_a_trouble(octets: bytes, place: int) -> None:
    damaged = deliver(ONE)[:place] + octets + deliver(ONE)[place + len(octets) :]
    found = delivery_at(damaged, 0)
    assert found is None or found.end <= len(damaged)
    assert delivery_at(octets, 0) is None or octets.startswith(b"\x01")


def test_a_frame_ends_where_it_says_once_all_of_it_is_here() -> None:
    sent = frame.Method(CHANNEL, spec.Basic.Ack(3)).marshal()
    assert frame_end(b"!" + sent + sent, 1) == 1 + len(sent)
    assert [frame_end(sent[:length], 0) for length in (0, 6, len(sent) - 1)] == [None, None, None]


class Seen:
    """A channel that notes what comes."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def _on_deliver(self, method: Any, header: Any, body: bytes) -> None:
        self.seen.append((method.method.delivery_tag, header.properties.message_id, body))

    def _handle_content_frame(self, one: frame.Frame) -> None:
        self.seen.append((one.NAME,))


class Failing:
    """A channel whose handler has a bug."""

    def _on_deliver(self, *message: object) -> None:
        raise ValueError(message)


@pytest.fixture
def connection() -> Iterator[StreamConnection]:
    """One that counts as open, and is connected to nothing."""
    loop = asyncio.new_event_loop()
    made = StreamConnection(custom_ioloop=LoopServices(loop), internal_connection_workflow=False)
    made._set_connection_state(StreamConnection.CONNECTION_OPEN)  # type: ignore[attr-defined]
    yield made
    loop.close()


def feed(connection: StreamConnection, sent: bytes, piece: int) -> list[tuple[Any, ...]]:
    """Let so many bytes come at a time; answers what has come to the channel."""
    channel = Seen()
    connection._channels = {CHANNEL: channel}
    for place in range(0, len(sent), piece):
        connection._on_data_available(sent[place : place + piece])
    return channel.seen


def test_messages_and_other_frames_come_in_their_order_and_are_counted(connection: StreamConnection) -> None:
    ack = frame.Method(CHANNEL, spec.Basic.Ack(3)).marshal()
    empty: Message = (b"", spec.BasicProperties(message_id="2"))
    sent = deliver(ONE, 1) + ack + deliver(empty, 2) + frame.Heartbeat().marshal() + deliver(ONE, 3)
    assert feed(connection, sent, len(sent)) == [
        (1, "1", b"body"),
        ("METHOD",),
        (2, "2", b""),
        (3, "1", b"body"),
    ]
    assert (connection.bytes_received, connection.frames_received) == (len(sent), 10)


@pytest.mark.parametrize("piece", [1, 7, 50, 100])
def test_messages_that_come_in_pieces_are_not_lost(connection: StreamConnection, piece: int) -> None:
    sent = b"".join(deliver(ONE, number) for number in range(5))
    whole = [seen for seen in feed(connection, sent, piece) if len(seen) == 3]
    frames = [seen for seen in feed(connection, sent, piece) if len(seen) == 1]
    assert len(whole) + len(frames) // 3 == 5


def test_a_message_for_a_channel_that_is_gone_is_passed_over(connection: StreamConnection) -> None:
    connection._channels = {}
    connection._on_data_available(deliver(ONE))
    assert connection.frames_received == 3


def test_what_a_handler_raises_costs_no_message_after_it(connection: StreamConnection) -> None:
    channel = Seen()
    connection._channels = {CHANNEL: Failing()}
    with pytest.raises(ValueError, match="body"):
        connection._on_data_available(deliver(ONE, 1) + deliver(ONE, 2))
    connection._channels = {CHANNEL: channel}
    connection._on_data_available(b"")
    assert channel.seen == [(2, "1", b"body")]
