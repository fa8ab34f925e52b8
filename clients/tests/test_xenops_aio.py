"""The awaitable client: as the plain one, call by call; its doors against a scripted other side."""

import asyncio
import inspect
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, get_type_hints

import async_client
import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusUnavailableError, Request, RequestTimeoutError, UnknownInstanceError
from schema.objects.dynamic import VmObject
from schema.objects.host import Query
from schema.rpc import decode_request, encode_result
from xenops.aio import AsyncClient, connect
from xenops.aio.doors import AsyncBusDoor, AsyncUnixDoor
from xenops.calls.vm import Destination
from xenops.client import Client

PLAIN = Client(MemoryBus(MemoryBroker()), "i")
AWAITABLE = AsyncClient.on_bus(MemoryBus(MemoryBroker()), "i")
PLAIN.close()
AWAITABLE.door.close()
NAMESPACES = [name for name, value in vars(PLAIN).items() if type(value).__name__.endswith("Calls")]
WHO = Query(name="simulator", vendor="v", version="1", features=(), instance_id="i")


def methods_of(calls: object) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(type(calls)).items()
        if inspect.isfunction(value) and name[0] != "_"
    }


METHODS = [(namespace, name) for namespace in NAMESPACES for name in methods_of(getattr(PLAIN, namespace))]


@pytest.mark.parametrize(
    ("path", "text"), list(async_client.generated()), ids=lambda value: Path(value).name[:20]
)
def test_what_is_made_of_the_plain_client_is_current(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make async-client`"


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_an_awaitable_namespace_has_the_methods_of_the_plain_one(namespace: str) -> None:
    assert list(methods_of(getattr(AWAITABLE, namespace))) == list(methods_of(getattr(PLAIN, namespace)))


@pytest.mark.parametrize(("namespace", "name"), METHODS)
def test_an_awaited_call_sends_what_the_plain_one_sends(namespace: str, name: str) -> None:
    plain, awaitable = (methods_of(getattr(client, namespace))[name] for client in (PLAIN, AWAITABLE))
    assert inspect.signature(plain) == inspect.signature(awaitable)
    hints = get_type_hints(plain)
    given = {
        key: Destination("u") if hints[key] is Destination else (key,) for key in hints if key != "return"
    }
    sent: list[tuple[str, dict[str, Any]]] = []

    async def awaited(method: str, /, **params: Any) -> str:
        sent.append((method, params))
        return "answer"

    def called(method: str, /, **params: Any) -> str:
        sent.append((method, params))
        return "answer"

    expected = type(getattr(PLAIN, namespace))(called)
    made = type(getattr(AWAITABLE, namespace))(awaited)
    assert getattr(expected, name)(**given) == asyncio.run(getattr(made, name)(**given))
    assert sent[0] == sent[1]


def test_an_instance_that_never_was_is_told_so_at_once() -> None:
    async def ask() -> None:
        async with AsyncClient.on_bus(MemoryBus(MemoryBroker()), "nobody") as client:
            with pytest.raises(UnknownInstanceError, match="there is no instance 'nobody', and never was"):
                await client.query()

    asyncio.run(ask())


def test_an_answer_of_the_bus_is_awaited_and_a_closed_one_refuses() -> None:
    broker = MemoryBroker()
    server = MemoryBus(broker, "server")
    server.serve("i", lambda request: server.send(request.reply_to or "", answer_to(request)))

    async def ask() -> None:
        client = AsyncClient.on_bus(MemoryBus(broker), "i")
        async with client:
            assert await client.query() == WHO
            assert await client.get_diagnostics() == "{}"
        with pytest.raises(BusUnavailableError, match="closed"):
            await client.query()

    asyncio.run(ask())
    server.close()


def answer_to(request: Request) -> Request:
    method = decode_request(request.body).method
    result = {"query": WHO, "get_diagnostics": "{}"}[method]
    return Request(encode_result(method, result), correlation_id=request.correlation_id)


def test_a_question_that_nobody_answers_is_given_up_in_time() -> None:
    broker = MemoryBroker()
    server = MemoryBus(broker, "server")
    server.serve("i", lambda _: None)
    door = AsyncBusDoor(MemoryBus(broker))

    async def ask() -> None:
        with pytest.raises(RequestTimeoutError):
            await door.call("i", b"{}", 0.01)

    asyncio.run(ask())
    door.close()
    server.close()


def test_an_answer_that_comes_when_nobody_waits_any_more_harms_nobody() -> None:
    broker = MemoryBroker()
    server = MemoryBus(broker, "server")
    asked: Future[Request] = Future()
    server.serve("i", asked.set_result)
    door = AsyncBusDoor(MemoryBus(broker))

    async def give_up() -> None:
        call = asyncio.create_task(door.call("i", b"{}", 60.0))
        question = await asyncio.wrap_future(asked)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.send(question.reply_to or "", Request(b"late", correlation_id=question.correlation_id))

    asyncio.run(give_up())
    server.ready(10)
    door.close()
    server.close()


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xs-") as directory:
        yield Path(directory) / "socket"


async def served(path: Path, status: str, body: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(answer, path)


def test_an_instance_is_reached_by_its_socket(path: Path) -> None:
    async def ask() -> None:
        server = await served(path, "200 OK", encode_result("query", WHO))
        async with server, await connect(f"unix://{path}", "i") as client:
            assert await client.query() == WHO

    asyncio.run(ask())


def test_an_instance_whose_frontend_is_being_started_anew_is_waited_for(path: Path) -> None:
    async def ask() -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        async with await connect(f"unix://{path}", "i") as client:
            asked = asyncio.create_task(client.query())
            for _ in range(3):
                await asyncio.sleep(0)
            assert not asked.done()
            async with await served(path, "200 OK", encode_result("query", WHO)):
                assert await asked == WHO

    asyncio.run(ask())


def test_a_refusal_of_the_socket_is_told_in_its_words(path: Path) -> None:
    async def ask() -> None:
        async with await served(path, "404 Not Found", b"no such instance"):
            with pytest.raises(BusUnavailableError, match="no such instance"):
                await AsyncUnixDoor(f"unix://{path}").call("i", b"{}", 60.0)

    asyncio.run(ask())


def test_a_socket_that_speaks_no_http_or_is_not_there_is_not_reached(path: Path) -> None:
    async def ask() -> None:
        door = AsyncUnixDoor(f"unix://{path}")
        with pytest.raises(BusUnavailableError, match="there is no socket"):
            await door.call("i", b"{}", 60.0)
        async with await asyncio.start_unix_server(lambda _, writer: writer.close(), path):
            with pytest.raises(BusUnavailableError, match="nobody answers at the socket"):
                await door.call("i", b"{}", 60.0)
        door.close()

    asyncio.run(ask())


def test_a_socket_that_says_nothing_is_given_up_in_time(path: Path) -> None:
    async def ask() -> None:
        gate = asyncio.Event()

        async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            writer.close()

        async with await asyncio.start_unix_server(say_nothing, path):
            with pytest.raises(RequestTimeoutError):
                await AsyncUnixDoor(f"unix://{path}").call("i", b"{}", 0.01)
            gate.set()

    asyncio.run(ask())


def test_a_broker_that_is_not_there_is_not_reached() -> None:
    async def ask() -> None:
        with pytest.raises(BusUnavailableError):
            await connect("amqp://127.0.0.1:1/", "i", timeout_s=0.2)

    asyncio.run(ask())


def test_updates_are_waited_for_as_long_as_was_asked() -> None:
    waited: list[float] = []

    class Door:
        async def call(self, _queue: str, _body: bytes, timeout_s: float) -> bytes:
            waited.append(timeout_s)
            return encode_result("UPDATES.get", ((), (VmObject(id="vm"),), 3))

        def close(self) -> None:
            pass

    async def ask() -> None:
        client = AsyncClient(Door(), "i", timeout_s=1.0)
        for timeout_s in (5, None, -1):
            assert await client.updates.get(2, timeout_s) == ((), (VmObject(id="vm"),), 3)

    asyncio.run(ask())
    assert waited == [6.0, 301.0, 1.0]
