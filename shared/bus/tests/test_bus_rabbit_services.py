import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bus.rabbit import services
from bus.rabbit.connection import trouble_of


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def looked_up(loop: asyncio.AbstractEventLoop, host: str) -> Any:
    """What pika is told of a host."""
    found: asyncio.Future[Any] = loop.create_future()
    services.LoopServices(loop).getaddrinfo(host, 5672, found.set_result)
    return loop.run_until_complete(found)


def test_a_host_is_looked_up(loop: asyncio.AbstractEventLoop) -> None:
    assert ("127.0.0.1", 5672) in {address for *_, address in looked_up(loop, "127.0.0.1")}


def test_a_name_service_that_refuses_is_told(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert trouble_of(looked_up(loop, "node-1")) == "no such name"


def test_a_name_that_nobody_resolves_holds_up_nobody_for_longer_than_a_node_may_take(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answered.wait())
    monkeypatch.setattr(services, "CONNECT_TIMEOUT_S", 0.01)
    told = looked_up(loop, "node-1")
    assert isinstance(told, socket.gaierror)
    assert trouble_of(told) == "nobody says within 0.01 s which address 'node-1' has"
    [resolving] = [thread for thread in threading.enumerate() if thread.name == "resolve"]
    loop.close()
    answered.set()  # too late: neither loop nor thread minds
    resolving.join()
