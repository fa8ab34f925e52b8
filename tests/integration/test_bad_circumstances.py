"""Services whose settings make no sense, or whose broker is absent, no broker, in trouble, or killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from bus.ports import BusError
from bus.rabbit import RabbitBus
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.objects.task import Pending
from xenops.client import Client
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from conftest import Stack

SERVICES = ("redirector", "eventhub", "frontend", "worker_sim")
PATIENCE_S = 120.0
NOBODY = "amqp://guest:guest@127.0.0.1:1/"


def settings(directory: Path, **chosen: str) -> dict[str, str]:
    usual = {"XENOPS_BROKER": NOBODY, "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": str(directory / "state")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XENOPS_")}
    return {name: value for name, value in (kept | usual | chosen).items() if value}


def run(service: str, environment: dict[str, str]) -> tuple[int, str]:
    """A service that is expected to end by itself: its exit code and words.

    That the broker is away it may say or not: it looks for one while it makes ready.
    """
    done = subprocess.run(
        [sys.executable, "-m", service],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    said = done.stderr.splitlines(keepends=True)
    return done.returncode, "".join(line for line in said if "no connection to the broker" not in line)


class Running:
    """A service that is expected to go on; what it says can be waited for."""

    def __init__(self, service: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", service], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self._said: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._listen, args=(self.process.stderr,))
        self._thread.start()

    def _listen(self, words: IO[str]) -> None:
        with words:
            for line in words:
                with self._more:
                    self._said.append(line)
                    self._more.notify_all()

    def says(self, words: str) -> bool:
        with self._more:
            return self._more.wait_for(lambda: any(words in line for line in self._said), PATIENCE_S)

    def end(self) -> int:
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        self._thread.join()
        assert "Traceback" not in "".join(self._said)
        return code


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"XENOPS_BROKER": ""}, "XENOPS_BROKER is not set: give the broker's URL"),
        ({"XENOPS_BROKER": "nonsense"}, "the broker's URL makes no sense: it must look like amqp://"),
        ({"XENOPS_BROKER": "http://127.0.0.1/"}, "the broker's URL makes no sense"),
        ({"XENOPS_BROKER": "amqp://h:port/"}, "the broker's URL makes no sense"),
        (
            {"XENOPS_BROKER": "amqp://u:p@a/,amqp://x:p@b/"},
            "the broker's URLs differ in user, password or virtual host",
        ),
        ({"XENOPS_INSTANCE": ""}, "XENOPS_INSTANCE is not set: name the instances"),
        ({"XENOPS_INSTANCE": "#"}, "XENOPS_INSTANCE names '#': use up to 64 letters"),
        ({"XENOPS_INSTANCE": "../etc"}, "XENOPS_INSTANCE names '../etc'"),
    ],
)
def test_a_setting_that_makes_no_sense_ends_the_service_with_its_name(
    tmp_path: Path, service: str, chosen: dict[str, str], words: str
) -> None:
    code, said = run(service, settings(tmp_path, **chosen))
    assert code == 2
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("XENOPS_LOG_BYTES_MAX", "1GB"), ("XENOPS_LOG_AGE_MAX", "5"), ("XENOPS_LOG_REPLICAS", "0")],
)
def test_a_log_that_cannot_be_kept_so_ends_the_redirector_with_the_settings_name(
    tmp_path: Path, name: str, value: str
) -> None:
    code, said = run("redirector", settings(tmp_path, **{name: value}))
    assert code == 2
    assert f"{name} is '{value}': give " in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("chosen", "code", "words"),
    [
        ({"XENOPS_STATE_DIR": ""}, 2, "XENOPS_STATE_DIR is not set: name a directory"),
        ({"XENOPS_STATE_DIR": "/dev/null"}, 1, "cannot start: [Errno 17] File exists: '/dev/null'"),
        (
            {"XENOPS_METADATA_DIR": "/dev/null/x"},
            1,
            "worker: cannot start: Cannot make the metadata directory /dev/null/x",
        ),
        ({"XENOPS_CAPACITY": "many"}, 2, "XENOPS_CAPACITY is 'many': give a number of VMs"),
        ({"XENOPS_CAPACITY": "0"}, 2, "XENOPS_CAPACITY is '0'"),
        ({"XENOPS_INSTANCE": "a,b"}, 2, "XENOPS_INSTANCE names several instances: a worker serves one"),
        ({"XENOPS_SIM_TRANSFER_S": "soon"}, 2, "XENOPS_SIM_TRANSFER_S: could not convert"),
    ],
)
def test_a_worker_that_cannot_work_says_why(
    tmp_path: Path, chosen: dict[str, str], code: int, words: str
) -> None:
    found, said = run("worker_sim", settings(tmp_path, **chosen))
    assert found == code
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.skipif(Path("/proc/xen/capabilities").exists(), reason="this is a host with Xen")
def test_a_worker_on_a_host_without_its_hypervisor_says_so_in_a_sentence(tmp_path: Path) -> None:
    code, said = run("worker_xen", settings(tmp_path))
    assert code == 1
    assert "worker: cannot start: this host runs without Xen" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("service", SERVICES)
def test_an_absent_broker_is_named_and_waited_for(tmp_path: Path, service: str) -> None:
    running = Running(service, settings(tmp_path))
    assert running.says("no connection to the broker at 127.0.0.1:1 (connection refused); again in")
    assert running.end() == 0


def test_what_is_no_broker_is_named_and_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_as_a_web_server, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        running = Running(
            "frontend", settings(tmp_path, XENOPS_BROKER=f"amqp://guest:guest@127.0.0.1:{port}/")
        )
        assert running.says(f"no connection to the broker at 127.0.0.1:{port} (")
        assert running.end() == 0


def answer_as_a_web_server(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_wrong_credentials_are_named(stack: Stack, tmp_path: Path) -> None:
    url = f"amqp://xenops-frontend:wrong-secret@127.0.0.1:{stack.node.port}/"
    running = Running("frontend", settings(tmp_path, XENOPS_BROKER=url))
    assert running.says("it refuses this user and password")
    assert not any("wrong-secret" in line for line in running._said)
    assert running.end() == 0


@pytest.fixture(name="working")
def connect(stack: Stack) -> Iterator[Client]:
    bus = RabbitBus(stack.node.url, "client")
    bus.ready(PATIENCE_S)
    yield Client(bus, stack.instance, dbg="load", timeout_s=15.0)
    bus.close()


def insist(call: Callable[[], str]) -> str:
    """As a client must while its broker is away: ask until it is answered."""
    attempts = threading.Event()
    for _ in range(600):
        try:
            return call()
        except (BusError, XenopsError):
            attempts.wait(0.1)
    pytest.fail("the services do not answer")


def add_vms(client: Client, count: int) -> list[str]:
    vms = [f"vm-{uuid.uuid4()}" for _ in range(count)]
    for vm in vms:
        client.vm.add(sample_vm(vm))
    return vms


def all_end(client: Client, tasks: list[str]) -> bool:
    """Whether each of these tasks ends, well."""
    for task in tasks:
        insist(lambda task=task: str(wait_for_task(client, task, PATIENCE_S, destroy=False)))  # type: ignore[misc]
    return all(not isinstance(client.task.stat(task).state, Pending) for task in tasks)


def test_a_broker_that_is_killed_under_load_loses_no_task_that_was_accepted(
    stack: Stack, working: Client
) -> None:
    stack.node.stop()  # RabbitMQ forgets a stream that was made in the very last moments before a crash
    stack.node.start()
    insist(lambda: str(working.vm.list()))
    vms = add_vms(working, 20)
    tasks = [working.vm.start(vm) for vm in vms]
    stack.node.kill()
    stack.node.start()
    tasks += [insist(lambda vm=vm: working.vm.unpause(vm)) for vm in vms]  # type: ignore[misc]
    assert all_end(working, tasks)
    assert stack.dead() == []
    assert "Traceback" not in stack.words()


def test_a_broker_that_takes_nothing_for_a_while_costs_no_task(stack: Stack, working: Client) -> None:
    vms = add_vms(working, 5)
    tasks = [working.vm.delay(vm, 1.0) for vm in vms]
    stack.node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        stack_is_blocked(stack)
    finally:
        stack.node.ctl("set_vm_memory_high_watermark", "0.4")
    assert all_end(working, tasks)
    assert all_end(working, [working.vm.start(vm) for vm in vms])


def stack_is_blocked(stack: Stack) -> None:
    """Wait until the worker was told to send nothing, and has something to send."""
    attempts = threading.Event()
    for _ in range(100):
        if "takes no messages" in (stack.directory / "worker_sim.log").read_text():
            attempts.wait(2.0)
            return
        attempts.wait(0.1)
    pytest.fail("the worker was not told that the broker takes nothing")


def test_a_service_that_is_told_to_end_ends_though_its_broker_has_gone(stack: Stack) -> None:
    stack.node.kill()
    for process in stack.processes.values():
        process.send_signal(signal.SIGINT)
    assert [process.wait(PATIENCE_S) for process in stack.processes.values()] == [0, 0, 0, 0]
