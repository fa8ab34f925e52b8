"""A stack of all services as processes on a private broker, and two clients: a healthy and a foreign one."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pytest
from bus.ports import BusError
from bus.rabbit import RabbitBus
from bus.roles import Role
from container_node import why_no_container
from engine.conformance.samples import sample_vbd, sample_vm
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.methods import METHODS
from schema.rpc import encode_request
from schema.wire.shape import (
    Association,
    Enumeration,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Structure,
    Sum,
    shape_of,
)
from stack.broker.node import PrivateNode
from xenops.client import Client
from xenops.events import wait_for_task

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
SERVICES = ("redirector", "eventhub", "frontend", "worker_sim")
ROLES = {service: Role.WORKER if service == "worker_sim" else Role(service) for service in SERVICES}
PATIENCE_S = 120.0
QUIET_S = 0.1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the tests of the bus had."""
    why = why_no_container()
    words = f"a private node, as {why}" if why else "a container of our image"
    terminalreporter.write_line(f"broker of the tests of the bus: {words}")


class Stack:
    """A broker, and every service as a process of its own; what they say goes into files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.node = PrivateNode(directory / "broker", (INSTANCE,))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.node.start()
        for service in SERVICES:
            self._start(service)

    def kill(self, service: str) -> None:
        """End a service as a crash would, and start it anew."""
        process = self.processes.pop(service)
        process.kill()
        process.wait()
        self._start(service)

    def _start(self, service: str) -> None:
        environment = {
            **os.environ,
            "XENOPS_BROKER": self.node.url_of(ROLES[service]),
            "XENOPS_INSTANCE": INSTANCE,
            "XENOPS_STATE_DIR": str(self.directory / "worker" / "state"),
            "XENOPS_HOOKS_DIR": str(self.directory / "worker" / "hooks"),
        }
        with (self.directory / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", service], env=environment, stderr=log
            )

    def words(self) -> str:
        """All that the services have logged."""
        return "".join((self.directory / f"{service}.log").read_text() for service in SERVICES)

    @property
    def instance(self) -> InstanceName:
        return INSTANCE

    def dead(self) -> list[str]:
        return [service for service, process in self.processes.items() if process.poll() is not None]

    def stop(self) -> list[int]:
        for process in self.processes.values():
            process.terminate()
        codes = [process.wait(PATIENCE_S) for process in self.processes.values()]
        self.node.stop()
        return codes


@pytest.fixture(name="stack", scope="module")
def run_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        bus = RabbitBus(stack.node.url_of(Role.CLIENT), "setup")
        until_served(Client(bus, INSTANCE))
        bus.close()
        yield stack
    finally:
        codes = stack.stop()
    assert set(codes) <= {0, -signal.SIGTERM}


def until_served(client: Client) -> None:
    """Wait until all answer, and the redirector knows a worker: each attempt fails while one is missing."""
    attempts = threading.Event()
    for _ in range(600):
        with suppress(BusError, XenopsError):
            client.vm.list()
            client.updates.last_id()
            if client.worker.list():
                return
        attempts.wait(QUIET_S)
    pytest.fail("the services do not answer")


class Healthy:
    """A client that works while others send rubbish: each of its requests must succeed."""

    def __init__(self, url: str) -> None:
        self._bus = RabbitBus(url, "healthy")
        self._bus.ready(PATIENCE_S)
        self.client = Client(self._bus, INSTANCE, dbg="healthy")
        self.failures: list[Exception] = []
        self.rounds = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._vm = f"healthy-{uuid.uuid4()}"
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set() or not self.rounds:
            try:
                self._round()
            except Exception as error:  # noqa: BLE001  the test tells
                self.failures.append(error)
                return
            self.rounds += 1

    def _round(self) -> None:
        client, vm = self.client, self._vm
        client.vm.add(sample_vm(vm))
        client.vbd.add(sample_vbd(vm=vm))
        for task in (client.vm.start(vm), client.vm.unpause(vm), client.vm.shutdown(vm, None)):
            wait_for_task(client, task, PATIENCE_S)
        client.vm.remove(vm)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._bus.close()


@pytest.fixture(name="client")
def work_beside(stack: Stack) -> Iterator[Client]:
    """The healthy client; after each test it has lost nothing, all services live, and none met a bug."""
    healthy = Healthy(stack.node.url_of(Role.CLIENT))
    yield healthy.client
    healthy.stop()
    assert healthy.failures == []
    assert stack.dead() == []
    assert "Traceback" not in stack.words()


def sample(type_: Any) -> Any:
    """Some value of a type, always the same."""
    match shape_of(type_):
        case Scalar(type=scalar):
            return None if scalar is type(None) else scalar()
        case Integer():
            return 0
        case Opaque():
            return ""
        case Optional(content=content):
            return sample(content)
        case Sequence(content=content):
            return (sample(content),)
        case Association(content=content):
            return (("key", sample(content)),)
        case Product(contents=contents, make=make):
            return make(*map(sample, contents))
        case Structure(type=class_, fields=fields):
            return class_(**{field.name: sample(field.type) for field in fields})
        case Sum(choices=choices):
            return choices[0].type(**{name: sample(content) for name, content in choices[0].fields})
        case Enumeration(type=members):
            return next(iter(members))


class Foreign:
    """A client that is not ours: it writes AMQP as it likes."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.queue = str(self.channel.queue_declare("", exclusive=True).method.queue)

    def send(self, body: bytes, queue: str = INSTANCE, **properties: Any) -> str:
        number = uuid.uuid4().hex
        chosen = {"reply_to": self.queue, "correlation_id": number} | properties
        self.channel.basic_publish("", queue, body, pika.BasicProperties(**chosen))
        return number

    def answers(self, count: int) -> dict[Any, bytes]:
        """So many answers, by correlation id."""
        found: dict[Any, bytes] = {}
        for method, properties, body in self.channel.consume(
            self.queue, auto_ack=True, inactivity_timeout=PATIENCE_S
        ):
            missing = f"{count - len(found)} requests were not answered"
            assert method, missing
            assert properties, missing
            assert body is not None, missing
            found[properties.correlation_id] = body
            if len(found) == count:
                break
        self.channel.cancel()
        return found

    def ask(self, body: bytes, queue: str = INSTANCE, **properties: Any) -> str:
        self.send(body, queue, **properties)
        [answer] = self.answers(1).values()
        return answer.decode("utf-8", "surrogateescape")

    @staticmethod
    def sample(name: str, **params: Any) -> bytes:
        """A request for a method with parameters of the right types; `params` replace some."""
        chosen = {parameter: sample(type_) for parameter, type_ in METHODS[name].parameters}
        return encode_request(name, **(chosen | params))

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(name="foreign")
def connect_foreign(stack: Stack) -> Iterator[Foreign]:
    foreign = Foreign(stack.node.url)
    yield foreign
    foreign.close()
