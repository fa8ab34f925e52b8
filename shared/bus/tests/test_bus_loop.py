"""The loop that every bus runs on, and the questions that wait on it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest
from bus.calls import Calls, wait_for
from bus.loop import Loop
from bus.ports import BusError, BusUnavailableError, OnAnswer, RequestTimeoutError
from typing_extensions import override

PATIENCE_S = 120.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop("test")
    loop.start()
    yield loop
    loop.stop()
    assert loop.join(PATIENCE_S)


def void(_: object) -> None:
    """For a result that is of no interest."""


def settle(loop: Loop) -> None:
    """Wait until all that was handed over has run."""
    done = threading.Event()
    loop.soon(done.set)
    assert done.wait(PATIENCE_S)


def test_actions_run_in_order_on_the_loops_own_thread(loop: Loop) -> None:
    seen: list[tuple[int, bool]] = []
    for number in range(100):
        loop.soon(lambda number=number: seen.append((number, loop.is_here())))  # type: ignore[misc]
    settle(loop)
    assert seen == [(number, True) for number in range(100)]


def test_a_bug_in_an_action_costs_no_other(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    loop.soon(lambda: seen.append(1 // 0))
    loop.soon(lambda: seen.append(1))
    settle(loop)
    assert seen == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_bug_in_a_clients_protocol_costs_no_other(
    loop: Loop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Careless(asyncio.Protocol):
        @override
        def data_received(self, data: bytes) -> None:
            raise ValueError(data)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        loop.listen(listener.dup(), Careless)
        settle(loop)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            while client.connect_ex(str(tmp_path / "s")):
                settle(loop)  # until the listener is taken up
            client.sendall(b"x")
            assert client.recv(1) == b""
    settle(loop)
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_a_loop_serves_sockets_until_it_ends(family: socket.AddressFamily, tmp_path: Path) -> None:
    class Echo(asyncio.Protocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)

        @override
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    loop = Loop("test")
    loop.start()
    listener = socket.socket(family)
    listener.bind(str(tmp_path / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
    listener.listen()
    address = listener.getsockname()
    loop.listen(listener, Echo)
    with socket.socket(family) as client:
        client.settimeout(PATIENCE_S)
        client.connect(address)
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        loop.stop()
        assert loop.join(PATIENCE_S)
        assert client.recv(1) == b""
    with socket.socket(family) as late:
        assert late.connect_ex(address) != 0


def test_what_comes_after_the_end_is_not_run(loop: Loop) -> None:
    ended = Loop("ended")
    ended.start()
    ended.stop()
    assert ended.join(PATIENCE_S)
    seen: list[int] = []
    ended.soon(lambda: seen.append(1))
    settle(loop)
    assert seen == []


def test_each_question_is_answered_once(loop: Loop) -> None:
    calls = Calls(loop)
    outcomes: list[bytes | BusError] = []
    numbers: Future[list[str]] = Future()
    loop.soon(lambda: numbers.set_result([calls.begin("q", PATIENCE_S, outcomes.append) for _ in range(3)]))
    first, second, third = numbers.result(PATIENCE_S)
    told: list[bool] = []
    loop.soon(lambda: told.append(calls.end(second, b"2")))
    loop.soon(lambda: told.append(calls.end(second, b"again")))
    loop.soon(lambda: told.append(calls.end(None, b"nobody")))
    lost = BusUnavailableError("lost")
    loop.soon(lambda: calls.fail_all(lost))
    settle(loop)
    assert told == [True, False, False]
    assert outcomes == [b"2", lost, lost]
    assert len({first, second, third}) == 3


def test_a_question_that_nobody_answers_ends_with_its_time(loop: Loop) -> None:
    calls = Calls(loop)

    def ask(on_answer: OnAnswer) -> None:
        loop.soon(lambda: void(calls.begin("q", 0.01, on_answer)))

    with pytest.raises(RequestTimeoutError, match=r"no answer from the queue q within 0\.01 s"):
        wait_for(ask, "q", PATIENCE_S)


def test_a_question_to_a_bus_that_has_ended_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.calls.GRACE_S", 0.0)
    with pytest.raises(RequestTimeoutError, match="was the bus closed"):
        wait_for(lambda _: None, "q", 0.01)
