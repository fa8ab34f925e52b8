"""VMs migrate between two instances of the simulator, each with services of its own, on one broker."""

import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bus.crash import VARIABLE, CrashKind
from bus.rabbit import RabbitBus
from certificates import issue
from engine.conformance.samples import sample_vbd, sample_vm
from eventually import eventually
from miniature_xapi import MiniatureXapi
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.migration import arriving_id, departing_id
from schema.objects.task import Pending
from schema.objects.vm import PowerState
from stack.broker.node import PrivateNode
from tls_terminator import terminating
from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.events import wait_for_task

PATIENCE_S = 90.0
CALL_TIMEOUT_S = 5.0
"""A frontend that dies takes requests along: they are made again."""
BEFORE_IT_TAKES_OVER = 7
"""The crash point of a destination's journal: four are of the import of metadata, two of the arrival."""

LIVE = (PowerState.RUNNING, PowerState.PAUSED)


class Host:
    """One instance: worker and frontend are its own."""

    def __init__(
        self, name: str, directory: Path, broker: str, worker: str = "worker_sim", **told: str
    ) -> None:
        self.instance = InstanceName(f"org.xen.xapi.xenops.{name}")
        self.directory = directory / name
        self.directory.mkdir()
        self._environment = {
            **os.environ,
            "XENOPS_BROKER": broker,
            "XENOPS_INSTANCE": self.instance,
            "XENOPS_STATE_DIR": str(self.directory / "state"),
            "XENOPS_HOOKS_DIR": str(self.directory / "hooks"),
            "XENOPS_DOOR": str(self.directory / "door"),
            "XENOPS_SOCKETS": f"{self.instance}={self.directory}",
            **told,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for service in ("redirector", "eventhub", worker, "frontend"):
            self.start(service)

    @property
    def url(self) -> str:
        return f"unix://{self.directory}/door"

    def start(self, service: str, **more: str) -> None:
        environment = self._environment | more
        if service != "frontend":
            del environment["XENOPS_DOOR"], environment["XENOPS_SOCKETS"]
        with (self.directory / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", service], env=environment, stderr=log
            )

    def restart(self, service: str, **more: str) -> None:
        process = self.processes.pop(service)
        process.kill()
        process.wait()
        self.start(service, **more)

    def words(self) -> str:
        return "".join(path.read_text() for path in self.directory.glob("*.log"))

    def port(self) -> str:
        """Where its frontend has a door for other hosts."""
        found = re.search(r"door is open at (127[.\d]+:\d+)", self.words())
        assert found, "not yet"
        return found[1]

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            assert process.wait(PATIENCE_S) in {0, -signal.SIGTERM}


class Pair:
    """Two hosts, and a client of each."""

    def __init__(self, directory: Path) -> None:
        self.node = PrivateNode(directory / "broker")
        self.node.start()
        self.here = self.open_host("here", directory)
        self.there = self.open_host("there", directory)
        self.bus = RabbitBus(self.node.url, "client")
        self.source = Client(self.bus, self.here.instance, dbg="migration", timeout_s=CALL_TIMEOUT_S)
        self.destination = Client(self.bus, self.there.instance, dbg="migration", timeout_s=CALL_TIMEOUT_S)
        self.await_both()

    def await_both(self) -> None:
        for client in (self.source, self.destination):
            eventually(client.vm.list)
            eventually(client.updates.last_id)

    def open_host(self, name: str, directory: Path) -> Host:
        return Host(name, directory, self.node.url)

    def running_vm(self) -> str:
        vm = str(uuid.uuid4())
        self.source.vm.add(sample_vm(vm))
        self.source.vbd.add(sample_vbd(vm=vm))
        self.done(self.source.vm.start(vm))
        self.done(self.source.vm.unpause(vm))
        self.done(self.source.vm.set_vcpus(vm, 3))
        return vm

    def done(self, task: str) -> None:
        wait_for_task(self.source, task, PATIENCE_S)

    def migrate(self, vm: str, url: str | None = None, **more: Any) -> str:
        return self.source.vm.migrate(vm, Destination(url or self.there.url, **more))

    def where(self, vm: str) -> list[Client]:
        """Where it lives; raises while its way is not at an end."""
        temporary = {arriving_id(VmId(vm)), departing_id(VmId(vm))}
        clients = (self.source, self.destination)
        for client in clients:
            assert not any(client.vm.exists(name) for name in temporary)
            assert not any(isinstance(task.state, Pending) for task in client.task.list())
        return [
            client for client in clients if client.vm.exists(vm) and client.vm.stat(vm)[1].power_state in LIVE
        ]

    def stop(self) -> None:
        self.bus.close()
        self.here.stop()
        self.there.stop()
        self.node.stop()


@pytest.fixture(name="pair", scope="module")
def run_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("m"))
    yield pair
    pair.stop()


@pytest.mark.parametrize("fields", [{}, {"compress": True}], ids=str)
def test_a_vm_that_runs_goes_to_another_instance(pair: Pair, fields: dict[str, Any]) -> None:
    vm = pair.running_vm()
    pair.done(pair.migrate(vm, **fields))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    state = pair.destination.vm.stat(vm)[1]
    assert (state.power_state, state.vcpu_target) == (PowerState.RUNNING, 3)
    assert pair.destination.vbd.stat(sample_vbd(vm=vm).id)[1].plugged
    assert not pair.source.vm.exists(vm)


def test_xapi_hands_over_what_comes_in_at_its_own_port(pair: Pair) -> None:
    xapi = MiniatureXapi(pair.there.directory)
    vm = pair.running_vm()
    pair.done(pair.migrate(vm, xapi.url))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    xapi.close()
    arriving = arriving_id(VmId(vm))
    assert xapi.handed_over == [f"/services/xenops/migrate/{name}/{arriving}" for name in ("vm", "mem")]
    assert b"<methodName>VM.import_metadata</methodName>" in xapi.called[0]


@contextmanager
def tls_to_nobody_known(pair: Pair, directory: Path, vm: str) -> Iterator[str]:
    """The destination by TLS, whose certificate nobody vouches for, so a VM stays; answers the URL."""
    with terminating(issue(directory / "tls", "127.0.0.1"), pair.there.directory / "door") as port:
        url = f"https://127.0.0.1:{port}/{pair.there.instance}"
        with pytest.raises(XenopsError, match="certificate"):
            pair.done(pair.migrate(vm, url))
        assert eventually(lambda: pair.where(vm)) == [pair.source]
        yield url


def test_a_vm_goes_through_tls_to_a_host_that_is_trusted_or_need_not_be(pair: Pair, tmp_path: Path) -> None:
    vm = pair.running_vm()
    with tls_to_nobody_known(pair, tmp_path, vm) as url:
        for fields in ({}, {"compress": True}):
            pair.done(pair.migrate(vm, url, verify=False, **fields))
            assert eventually(lambda: pair.where(vm)) == [pair.destination]
            wait_for_task(
                pair.destination, pair.destination.vm.migrate(vm, Destination(pair.here.url)), PATIENCE_S
            )
            assert eventually(lambda: pair.where(vm)) == [pair.source]


def test_a_host_that_asks_who_comes_takes_vms_of_whom_it_trusts(pair: Pair, tmp_path: Path) -> None:
    """Mutual TLS: the frontend's own door asks for the source's certificate, the source for the door's."""
    files = issue(tmp_path / "tls", "127.0.0.1")
    pair.there.restart(
        "frontend",
        XENOPS_MIGRATION="tls:127.0.0.1:0",
        XENOPS_TLS_CERTIFICATE=str(files.certificate),
        XENOPS_TLS_KEY=str(files.key),
        XENOPS_TLS_CLIENT_CA=str(files.authority),
    )
    address = eventually(pair.there.port)
    url = f"https://{address}/{pair.there.instance}"
    vm = pair.running_vm()
    trusting = {"XENOPS_TLS_CA": str(files.authority)}
    known = {"XENOPS_TLS_CERTIFICATE": str(files.certificate), "XENOPS_TLS_KEY": str(files.key)}
    for told, refusal in (
        ({}, "certificate verify failed"),
        (trusting, "show a certificate that it trusts"),
        (trusting | known, None),
    ):
        pair.here.restart("worker_sim", **told)
        pair.await_both()
        task = pair.migrate(vm, url)
        if refusal is not None:
            with pytest.raises(XenopsError, match=refusal):
                pair.done(task)
        else:
            pair.done(task)
        assert eventually(lambda: pair.where(vm)) == [pair.source if refusal else pair.destination]


def test_a_vm_migrates_within_its_instance(pair: Pair) -> None:
    vm = pair.running_vm()
    pair.done(pair.migrate(vm, pair.here.url, localhost=True))
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.source.vm.stat(vm)[1].vcpu_target == 3


def test_many_vms_migrate_within_their_instance_at_once(pair: Pair) -> None:
    """More than a worker has places: who receives takes none, or all would wait for each other."""
    vms = [pair.running_vm() for _ in range(30)]
    for task in [pair.migrate(vm, pair.here.url, localhost=True) for vm in vms]:
        pair.done(task)
    assert eventually(lambda: [pair.where(vm) for vm in vms]) == [[pair.source]] * len(vms)


def test_a_source_hears_at_once_that_its_vms_arrival_was_cancelled_while_it_waited(pair: Pair) -> None:
    """Its connection waits at a frontend; no worker comes, for the task has none."""
    arriving = arriving_id(VmId(str(uuid.uuid4())))
    pair.destination.lane.hold(arriving)
    with socket.socket(socket.AF_UNIX) as source:
        source.settimeout(PATIENCE_S)
        source.connect(str(pair.there.directory / "door"))
        cookies = f"cookie: final_id={uuid.uuid4()}; memory_limit=1; dbg={arriving}"
        source.sendall(f"PUT /services/xenops/migrate/vm/{arriving} HTTP/1.1\r\n{cookies}\r\n\r\n".encode())

        def accepted() -> str:
            found = [task.id for task in pair.destination.task.list() if task.dbg == arriving]
            assert found, "not accepted yet"
            return found[0]

        task = eventually(accepted)
        pair.destination.task.cancel(task)
        said = source.makefile("rb").read()
    pair.destination.lane.release(arriving)
    assert said[2:].decode() == f'["Cancelled","{task}"]'


def test_a_vm_that_cannot_go_there_runs_on_here(pair: Pair) -> None:
    vm = pair.running_vm()
    with pytest.raises(XenopsError, match="Cannot connect to"):
        pair.done(pair.migrate(vm, "unix:///nowhere/door"))
    assert eventually(lambda: pair.where(vm)) == [pair.source]


KILLED = [("here", "worker_sim"), ("there", "worker_sim"), ("here", "frontend"), ("there", "frontend")]


@pytest.mark.parametrize(("side", "service"), KILLED)
@pytest.mark.parametrize("progress", [0.0, 0.3, 0.9])
def test_whoever_dies_in_a_migration_one_vm_lives(
    pair: Pair, side: str, service: str, progress: float
) -> None:
    vm = pair.running_vm()
    for host in (pair.here, pair.there):
        host.restart("worker_sim", XENOPS_SIM_TRANSFER_S="0.5")
    for client in (pair.source, pair.destination):
        eventually(client.vm.list)
    task = pair.migrate(vm)
    until_progress(pair.source, task, progress)
    getattr(pair, side).restart(service)
    assert len(eventually(lambda: pair.where(vm))) == 1
    assert "Traceback" not in pair.here.words() + pair.there.words()


def test_xapi_that_is_started_anew_leaves_a_vm_alone_that_may_be_elsewhere(pair: Pair) -> None:
    """It shuts down and removes whatever is listed that it does not know."""
    vm = pair.running_vm()
    departing = departing_id(VmId(vm))
    pair.there.restart("worker_sim", **{VARIABLE: f"migration:{CrashKind.JOURNAL}:{BEFORE_IT_TAKES_OVER}"})
    eventually(pair.destination.vm.list)
    pair.migrate(vm)
    assert pair.there.processes["worker_sim"].wait(PATIENCE_S)
    assert eventually(lambda: pair.source.vm.stat(departing))[1].power_state is not PowerState.HALTED
    assert not {vm, departing} & {listed.id for listed, _ in pair.source.vm.list()}
    pair.there.restart("worker_sim")
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert vm in {listed.id for listed, _ in pair.source.vm.list()}


def until_progress(client: Client, task: str, progress: float) -> None:
    """Wait until a task has come so far, or has ended."""

    def has_come() -> None:
        state = client.task.stat(task).state
        assert not isinstance(state, Pending) or state.progress >= progress

    eventually(has_come)
