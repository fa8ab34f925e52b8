import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.ports import BusError
from bus.rabbit import RabbitBus
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.errors import DoesNotExist
from schema.objects.task import Pending
from stack.broker.node import PrivateNode
from xenops.client import Client
from xenops.events import wait_for_task

INSTANCE = InstanceName("org.xen.xapi.xenops.test")
PATIENCE_S = 120.0
SERVICES = ("redirector", "eventhub", "frontend")


class Processes:
    """The services as processes of their own, on a broker of their own."""

    def __init__(self, directory: Path) -> None:
        self.node = PrivateNode(directory)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.node.start()
        for service in SERVICES:
            self.start(service)

    def start(self, service: str) -> None:
        environment = {**os.environ, "XENOPS_BROKER": self.node.url, "XENOPS_INSTANCE": INSTANCE}
        self._processes[service] = subprocess.Popen([sys.executable, "-m", service], env=environment)

    def kill(self, service: str) -> None:
        process = self._processes.pop(service)
        process.kill()
        process.wait()

    def stop(self) -> list[int]:
        for process in self._processes.values():
            process.terminate()
        codes = [process.wait(PATIENCE_S) for process in self._processes.values()]
        self.node.stop()
        return codes


@pytest.fixture(name="processes")
def run_processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    assert set(processes.stop()) <= {0, -signal.SIGTERM}  # one that was just starting ends by the signal


@pytest.fixture(name="client")
def connect(processes: Processes) -> Iterator[Client]:
    bus = RabbitBus(processes.node.url, "client")
    client = Client(bus, INSTANCE)
    until_served(client)
    yield client
    bus.close()


def until_served(client: Client) -> None:
    """Wait until frontend and event hub answer: each attempt fails at once while one is missing."""
    attempts = threading.Event()
    for _ in range(600):
        try:
            client.updates.last_id()
        except (BusError, XenopsError):
            attempts.wait(0.1)
        else:
            return
    pytest.fail("the services do not answer")


def test_a_queued_task_survives_the_death_of_every_service_and_of_the_broker(
    processes: Processes, client: Client
) -> None:
    task = client.vm.start("vm-1")
    assert client.task.stat(task).state == Pending(progress=0.0)
    for service in SERVICES:
        processes.kill(service)
        processes.start(service)
        until_served(client)
        assert client.task.stat(task).state == Pending(progress=0.0)
    processes.node.stop()
    processes.node.start()
    until_served(client)
    assert client.task.stat(task).state == Pending(progress=0.0)
    client.task.cancel(task)
    with pytest.raises(XenopsError) as caught:
        wait_for_task(client, task, timeout_s=PATIENCE_S)
    assert caught.value.error.kind == "Cancelled"


def test_tasks_have_ids_of_their_own_and_unknown_ones_do_not_exist(client: Client) -> None:
    tasks = [client.vm.start(f"vm-{number}") for number in range(20)]
    assert len(set(tasks)) == 20
    assert {task.id for task in client.task.list()} == set(tasks)
    with pytest.raises(XenopsError) as caught:
        client.vm.start("../etc")
    assert caught.value.error == DoesNotExist(klass="VM", id="../etc/config")


def test_a_read_without_a_worker_says_who_is_missing(client: Client) -> None:
    with pytest.raises(XenopsError, match="no worker of instance"):
        client.vm.exists("vm-1")


def test_the_command_shows_what_waits(processes: Processes, client: Client) -> None:
    environment = {**os.environ, "XENOPS_BROKER": processes.node.url, "XENOPS_INSTANCE": INSTANCE}
    command = [str(Path(sys.executable).with_name("xenops"))]
    task = client.vm.start("vm-1")
    shown = subprocess.run([*command, "tasks"], env=environment, capture_output=True, text=True, check=True)
    assert task in shown.stdout
    subprocess.run([*command, "cancel", task], env=environment, capture_output=True, check=True)
