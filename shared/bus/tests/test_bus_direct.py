"""Requests between services of one host, without a broker."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import pytest
from bus.direct import DirectClient, DirectServer, address
from bus.direct import client as client_module
from bus.direct.frames import BODY_BYTES_MAX, Frame, FrameError, FrameReader, Kind, encode
from bus.loop import Loop
from bus.ports import BusError, BusUnavailableError, Request
from hypothesis import given
from hypothesis import strategies as st

PATIENCE_S = 120.0
QUEUE = "xenops.control.test"
T = TypeVar("T")


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop("test")
    loop.start()
    yield loop
    loop.stop()
    assert loop.join(PATIENCE_S)


@pytest.fixture
def broker() -> str:
    """A name that no other test has."""
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def server(loop: Loop, broker: str) -> Iterator[DirectServer]:
    server = DirectServer(loop, broker)
    yield server
    here(loop, server.close)


@pytest.fixture
def client(loop: Loop, broker: str) -> Iterator[DirectClient]:
    client = DirectClient(loop, broker)
    yield client
    here(loop, client.close)


def here(loop: Loop, act: Callable[[], T]) -> T:
    """Do something on the loop's thread; answers what it does."""
    done: Future[T] = Future()
    loop.soon(lambda: done.set_result(act()))
    return done.result(PATIENCE_S)


def ask(loop: Loop, client: DirectClient, body: bytes) -> bytes | BusError:
    """A question's outcome; it must go directly."""
    outcome: Future[bytes | BusError] = Future()
    assert here(loop, lambda: client.ask(QUEUE, Request(body), PATIENCE_S, outcome.set_result))
    return outcome.result(PATIENCE_S)


def by_hand(connection: socket.socket | None) -> socket.socket:
    """A socket for a test to read and write itself."""
    assert connection is not None
    connection.settimeout(PATIENCE_S)
    return connection


def frames_of(connection: socket.socket) -> Iterator[Frame]:
    """What comes over a connection, frame by frame."""
    reader = FrameReader()
    while data := connection.recv(1_000):
        yield from reader.feed(data)


def echo(server: DirectServer) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        assert server.answer(
            request.reply_to or "", Request(request.body * 2, correlation_id=request.correlation_id)
        )

    return answer


def test_a_question_finds_its_server_and_the_answer_its_way_back(
    loop: Loop, server: DirectServer, client: DirectClient
) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    assert ask(loop, client, b"x") == b"xx"
    large = os.urandom(20_000_000)  # more than a socket takes at once, each way
    assert ask(loop, client, large) == large * 2


def test_a_message_keeps_its_senders_reply_address(
    loop: Loop, server: DirectServer, client: DirectClient
) -> None:
    came: Future[Request] = Future()
    here(loop, lambda: server.serve(QUEUE, came.set_result))
    sent = Request(b"\x00body", "amq.rabbitmq.reply-to.x\udcff", "17", "00-1-2-01")
    assert here(loop, lambda: client.send(QUEUE, sent))
    assert came.result(PATIENCE_S) == sent
    assert not server.answer("amq.rabbitmq.reply-to.x", sent)


def test_what_nobody_serves_here_goes_by_the_broker(loop: Loop, client: DirectClient) -> None:
    assert not here(loop, lambda: client.send(QUEUE, Request(b"")))
    assert not here(loop, lambda: client.ask(QUEUE, Request(b""), PATIENCE_S, lambda _: None))


def test_queues_of_clients_and_messages_that_are_too_long_go_by_the_broker(
    loop: Loop, server: DirectServer, client: DirectClient
) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    here(loop, lambda: server.serve("org.xen.xapi.xenops.classic", echo(server)))
    assert not here(loop, lambda: client.send("org.xen.xapi.xenops.classic", Request(b"")))
    assert not here(loop, lambda: client.send(QUEUE, Request(b"", "r" * 5_000)))
    assert not here(loop, lambda: client.ask(QUEUE, Request(bytes(BODY_BYTES_MAX + 1)), 1.0, lambda _: None))


def test_another_brokers_queues_are_others(loop: Loop, server: DirectServer) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    strange = DirectClient(loop, "another")
    assert not here(loop, lambda: strange.send(QUEUE, Request(b"")))


def test_a_question_whose_server_is_gone_is_told_so(
    loop: Loop, server: DirectServer, client: DirectClient
) -> None:
    here(loop, lambda: server.serve(QUEUE, lambda _: server.close()))
    outcome = ask(loop, client, b"x")
    assert isinstance(outcome, BusUnavailableError)
    assert "gone; call again" in str(outcome)


def test_the_next_server_is_found_where_the_last_one_was(
    loop: Loop, broker: str, server: DirectServer, client: DirectClient
) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    assert ask(loop, client, b"x") == b"xx"
    second = DirectServer(loop, broker)
    here(loop, lambda: second.serve(QUEUE, echo(second)))
    here(loop, server.close)
    while not here(loop, lambda: client.send(QUEUE, Request(b""))):
        pass  # until the loss is noticed
    assert ask(loop, client, b"y") == b"yy"
    here(loop, second.close)


def test_only_so_many_servers_of_a_queue_are_found_on_one_host(broker: str) -> None:
    listeners = [address.listen(broker, QUEUE) for _ in range(address.SERVERS_MAX + 1)]
    assert listeners.pop() is None
    for listener in listeners:
        assert listener is not None
        listener.close()


def test_an_answer_to_a_client_that_has_left_is_dropped(
    loop: Loop, server: DirectServer, client: DirectClient
) -> None:
    asked: Future[Request] = Future()
    here(loop, lambda: server.serve(QUEUE, asked.set_result))
    here(loop, lambda: client.ask(QUEUE, Request(b""), PATIENCE_S, lambda _: None))
    request = asked.result(PATIENCE_S)
    here(loop, client.close)
    assert server.answer(request.reply_to or "", Request(b"", correlation_id=request.correlation_id))


_STOPPED_SERVER = """
import os, signal, sys
from bus.direct import address
listener = address.listen(sys.argv[1], sys.argv[2])
print(flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_server_that_stands_still_is_left_alone(
    loop: Loop, broker: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.05)
    client = DirectClient(loop, broker)
    with subprocess.Popen(
        [sys.executable, "-c", _STOPPED_SERVER, broker, QUEUE], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        outcome = ask(loop, client, b"x")
        assert isinstance(outcome, BusUnavailableError)
        assert "does not answer" in caplog.text
        assert not here(loop, lambda: client.send(QUEUE, Request(b"")))
        server.send_signal(signal.SIGKILL)


def test_a_server_answers_signs_of_life(loop: Loop, broker: str, server: DirectServer) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    with by_hand(address.connect(broker, QUEUE)) as peer:
        peer.sendall(encode(Kind.PING, Request(b"")))
        assert next(frames_of(peer)).kind is Kind.PONG


def test_a_server_that_shows_that_it_lives_is_kept(loop: Loop, broker: str, client: DirectClient) -> None:
    listener = address.listen(broker, QUEUE)
    assert here(loop, lambda: client.send(QUEUE, Request(b"hello")))
    with by_hand(listener) as waiting, by_hand(waiting.accept()[0]) as peer:
        frames = frames_of(peer)
        assert next(frames).kind is Kind.REQUEST
        for _ in range(3):
            here(loop, client._ping)
            assert next(frames).kind is Kind.PING
            peer.sendall(encode(Kind.PONG, Request(b"")))
            assert answered_by_hand(loop, client, peer, frames) == b"xx"  # so the sign of life has come, too


def answered_by_hand(
    loop: Loop, client: DirectClient, peer: socket.socket, frames: Iterator[Frame]
) -> bytes | BusError:
    """A question's outcome when the peer answers it."""
    outcome: Future[bytes | BusError] = Future()
    assert here(loop, lambda: client.ask(QUEUE, Request(b"x"), PATIENCE_S, outcome.set_result))
    question = next(frames)
    assert question.kind is Kind.QUESTION
    peer.sendall(encode(Kind.ANSWER, Request(b"xx", correlation_id=question.request.correlation_id)))
    return outcome.result(PATIENCE_S)


def test_a_message_that_is_too_long_has_no_frame() -> None:
    with pytest.raises(FrameError, match="too long"):
        encode(Kind.REQUEST, Request(b"", "r" * 5_000))


def test_names_that_are_longer_than_their_frame_are_refused() -> None:
    frame = bytearray(encode(Kind.REQUEST, Request(b"body", "name")))
    frame[6] = 200
    with pytest.raises(FrameError, match="longer than the frame"):
        list(FrameReader().feed(bytes(frame)))


def test_garbage_ends_only_its_own_connection(
    loop: Loop, broker: str, server: DirectServer, client: DirectClient
) -> None:
    here(loop, lambda: server.serve(QUEUE, echo(server)))
    with by_hand(address.connect(broker, QUEUE)) as stranger:
        stranger.sendall(b"\xff" * 100)
        assert stranger.recv(1) == b""
    assert ask(loop, client, b"x") == b"xx"


def test_another_user_is_no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert address.is_trusted(ours)
        monkeypatch.setattr(address, "_ROOT", -1)
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
        assert not address.is_trusted(ours)


names = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
frames = st.builds(
    Frame, st.sampled_from(Kind), st.builds(Request, st.binary(max_size=300), names, names, names)
)


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 50), max_size=20))
def test_frames_are_put_together_however_they_come(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(frame.kind, frame.request) for frame in sent)
    reader, came, begin = FrameReader(), [], 0
    for cut in (*cuts, len(stream)):
        came += list(reader.feed(stream[begin : begin + cut]))
        begin += cut
    assert came == sent


@given(st.binary(min_size=11, max_size=60))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    try:
        for frame in FrameReader().feed(data):
            assert encode(frame.kind, frame.request)
    except FrameError:
        return
