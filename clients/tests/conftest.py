"""A scripted door: a service in memory that answers each method as it is told to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from bus.topology import door_queue
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.task import Task, TaskState
from schema.rpc import decode_request, encode_failure, encode_result
from typing_extensions import override
from xenops import Client
from xenops.command import main as command

INSTANCE = "org.xen.xapi.xenops.simulator"

Answer = Callable[..., Any]


class Door:
    """Answers of the service by method: a value, or a function of the parameters; what was asked."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._bus = MemoryBus(broker)
        self._answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._bus.serve(door_queue(InstanceName(INSTANCE)), self._on_request)

    def answer(self, method: str, *answers: Any) -> None:
        """What a method answers, call after call; the last answer stays."""
        self._answers[method] = list(answers)

    def methods(self) -> list[str]:
        """The methods that were called, in order."""
        return [method for method, _ in self.asked]

    def _on_request(self, request: Request) -> None:
        call = decode_request(request.body)
        self.asked.append((call.method, dict(call.params)))
        answers = self._answers[call.method]
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        try:
            if isinstance(answer, XenopsError):
                raise answer
            value = answer(**call.params) if callable(answer) else answer
            body = value if isinstance(value, bytes) else encode_result(call.method, value)
        except XenopsError as error:
            body = encode_failure(error.error)
        assert request.reply_to is not None
        self._bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))

    def close(self) -> None:
        self._bus.close()


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own configuration counts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("XENOPS_CONFIG", "XENOPS_OUTPUT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def door(broker: MemoryBroker) -> Iterator[Door]:
    door = Door(broker)
    yield door
    door.close()


@pytest.fixture
def client(broker: MemoryBroker) -> Iterator[Client]:
    with Client(MemoryBus(broker), INSTANCE, dbg="test", timeout_s=10.0) as client:
        yield client


class Kept(Client):
    """A client that the command does not close."""

    @override
    def close(self) -> None:
        """The fixture does."""


@pytest.fixture
def xenops(client: Client) -> Callable[..., int]:
    """The command, by its words, at the door."""
    client.__class__ = Kept
    return lambda *argv: command.main(argv, lambda _: client)


@pytest.fixture
def task_in() -> Callable[[TaskState], Task]:
    def make(state: TaskState) -> Task:
        return Task(
            id="7",
            dbg="test",
            ctime=1_795_385_700.0,
            state=state,
            subtasks=(),
            debug_info=(),
            backtrace="()",
            cancellable=True,
        )

    return make
