"""The typed client, the command and the event hub together; a door, a redirector and a worker in miniature.

On a bus in memory: what is proven is that the parts speak the same protocol.
"""

import json
from collections.abc import Iterator

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Bus, Entry, Request
from bus.process import Settings
from bus.topology import control_queue, door_queue, events_queue
from eventhub.service import build
from schema import records
from schema.ids import InstanceName, LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.dynamic import TaskObject, VbdObject, VmObject
from schema.objects.errors import Cancelled, DoesNotExist
from schema.objects.task import Pending, Task
from schema.operations import VmStart
from schema.rpc import decode_request, encode_result
from schema.wire.types import DeviceId
from xenops import Client, XenopsError, event_wait, wait_for_task
from xenops.command.main import main

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
WORKER = WorkerName("w")
XVDA = VbdObject(id=DeviceId("vm1", "xvda"))


class Miniature:
    """Door, redirector and worker in one: VM.start becomes a task that runs in three steps."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._term = Term(0)
        self._asked: dict[str, Request] = {}
        bus.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)
        bus.serve(door_queue(INSTANCE), self._on_request)
        bus.append(
            INSTANCE, records.Elected(redirector="r"), records.WorkerUp(worker=WORKER, epoch="e", capacity=2)
        )

    def _on_request(self, request: Request) -> None:
        call = decode_request(request.body)
        if call.method == "VM.start":
            request_id = str(request.correlation_id)
            self._asked[request_id] = request
            vm = VmId(call.params["id"])
            operation = VmStart(vm=vm, force=call.params["paused"])
            self._bus.append(
                INSTANCE,
                records.Submitted(
                    vm=vm,
                    operation=operation,
                    request_id=request_id,
                    dbg=call.debug_info,
                    accept_by=2e9,
                    reply_to="door",
                ),
            )
        else:
            events = call.method.startswith(("Task.", "UPDATES.", "get_diagnostics"))
            self._bus.send(events_queue(INSTANCE) if events else control_queue(INSTANCE), request)

    def _on_entry(self, entry: Entry) -> None:
        match entry.record:
            case records.Elected():
                self._term = Term(entry.offset)
            case records.Submitted(vm=vm, request_id=request_id):
                task = TaskId(entry.offset)
                if not vm.startswith("stuck"):
                    self._bus.append(
                        INSTANCE, records.Leased(vm=vm, task=task, worker=WORKER, term=self._term)
                    )
                asked = self._asked.pop(request_id)
                body = encode_result("VM.start", str(task))
                self._bus.send(str(asked.reply_to), Request(body, correlation_id=asked.correlation_id))
            case records.Leased(vm=vm, task=task):
                self._run(vm, task, LeaseToken(entry.offset))
            case records.CancelRequested(vm=vm, task=task):
                failure = records.Failed(error=Cancelled(task=str(task)))
                self._bus.append(INSTANCE, records.Finished(vm=vm, task=task, outcome=failure))
            case _:
                pass

    def _run(self, vm: VmId, task: TaskId, token: LeaseToken) -> None:
        self._bus.append(
            INSTANCE,
            records.Started(vm=vm, task=task, token=token, worker=WORKER),
            records.Progress(vm=vm, task=task, token=token, fraction=0.5, changed=(XVDA,)),
            records.Finished(
                vm=vm, task=task, token=token, outcome=records.Succeeded(), changed=(VmObject(id=vm),)
            ),
        )


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    broker = MemoryBroker()
    hub, miniature = MemoryBus(broker), MemoryBus(broker)
    build(hub, Settings((INSTANCE,))).start()
    Miniature(miniature)
    yield broker
    miniature.close()
    hub.close()


@pytest.fixture
def client(broker: MemoryBroker) -> Iterator[Client]:
    with Client(MemoryBus(broker), INSTANCE, dbg="test", timeout_s=20.0) as client:
        yield client


def test_a_task_is_started_followed_and_forgotten(client: Client) -> None:
    seen: list[Task] = []
    task = client.vm.start("vm1")
    wait_for_task(client, task, 20.0, seen.append)
    assert seen[0].dbg == "test"
    assert not isinstance(seen[-1].state, Pending)
    with pytest.raises(XenopsError) as raised:
        client.task.stat(task)
    assert raised.value.error == DoesNotExist(klass="task", id=task)


def test_many_starts_are_all_told(client: Client) -> None:
    token = client.updates.last_id()
    tasks = [client.vm.start(f"vm{number}") for number in range(50)]
    missing = {TaskObject(id=task) for task in tasks}
    while missing:
        _, objects, token = client.updates.get(token, 20)
        assert objects
        missing -= set(objects)
    assert {task.id for task in client.task.list()} == set(tasks)


def test_a_change_is_waited_for_in_the_order_of_the_log(client: Client) -> None:
    token = client.updates.last_id()
    task = client.vm.start("vm1")
    event_wait(client, token, lambda changed: changed == TaskObject(id=task), timeout_s=20.0)
    _, objects, _ = client.updates.get(token, 0)
    assert objects == (XVDA, VmObject(id="vm1"), TaskObject(id=task))


def test_a_queued_task_is_shown_cancelled_and_ends(client: Client) -> None:
    task = client.vm.start("stuck1")
    assert json.loads(client.get_diagnostics())["queues"][0]["tag"] == "stuck1"
    client.task.cancel(task)
    with pytest.raises(XenopsError) as raised:
        wait_for_task(client, task, 20.0)
    assert raised.value.error == Cancelled(task=task)


def test_a_barrier_stands_between_what_was_and_what_comes(client: Client) -> None:
    wait_for_task(client, client.vm.start("vm1"), 20.0)
    client.updates.inject_barrier("vm1", 77)
    barriers, _, token = client.updates.get(None, 0)
    assert barriers == ((77, (XVDA, VmObject(id="vm1"))),)
    client.updates.remove_barrier(77)
    client.updates.refresh_vm("vm1")
    assert client.updates.get(token, 20)[:2] == ((), (VmObject(id="vm1"), XVDA))


def test_a_second_event_hub_answers_as_the_first(broker: MemoryBroker, client: Client) -> None:
    task = client.vm.start("vm1")
    wait_for_task(client, task, 20.0, destroy=False)
    _, _, token = client.updates.get(None, 0)
    second = MemoryBus(broker)
    build(second, Settings((INSTANCE,))).start()
    answers = {client.updates.get(token, 0) for _ in range(4)} | {client.updates.get(token, 0)}
    assert answers == {((), (), token)}
    assert client.task.stat(task).id == client.task.stat(task).id == task
    second.close()


def test_the_command_starts_a_vm_and_lists_tasks(
    broker: MemoryBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(_: object) -> Client:
        return Client(MemoryBus(broker), INSTANCE, dbg="xenops", timeout_s=20.0)

    assert main(["start", "vm1", "--json"], connect) == 0
    assert "duration" in json.loads(capsys.readouterr().out)
    assert main(["start", "stuck1", "--no-wait"], connect) == 0
    task = capsys.readouterr().out.strip()
    assert main(["tasks"], connect) == 0
    assert task in capsys.readouterr().out
    assert main(["start", "stuck2", "--wait", "0"], connect) == 4


def test_offsets_are_task_ids(client: Client, broker: MemoryBroker) -> None:
    task = client.vm.start("vm1")
    record = broker.log(INSTANCE)[Offset(int(task))].record
    assert isinstance(record, records.Submitted)
