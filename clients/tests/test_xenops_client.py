"""The client and its waiting, against a scripted door."""

from collections.abc import Callable
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import (
    BusError,
    BusUnavailableError,
    RequestTimeoutError,
    UndeliveredError,
    UnknownInstanceError,
)
from schema.ids import InstanceName
from schema.objects.dynamic import TaskObject, VmObject
from schema.objects.errors import Cancelled, DoesNotExist
from schema.objects.host import Query
from schema.objects.task import Completed, Completion, Failed, Pending, Task, TaskState
from schema.records import Elected
from schema.rpc import ResponseError, decode_request, encode_result
from xenops import Client, WaitTimeoutError, XenopsError, event_wait, wait_for_task
from xenops.client import connect
from xenops.events import outcome_of

OURS = TaskObject(id="7")
VM = VmObject(id="vm1")
TaskIn = Callable[[TaskState], Task]
DONE = Completed(completion=Completion(duration=0.5))


def test_a_call_is_sent_with_its_parameters_and_the_clients_name(client: Client, door: Any) -> None:
    door.answer("VM.start", "7")
    assert client.vm.start("vm1", force=True) == "7"
    assert door.asked == [("VM.start", {"debug_info": "test", "id": "vm1", "paused": True})]


def test_calls_without_a_namespace_are_the_clients_own(client: Client, door: Any) -> None:
    who = Query(name="simulator", vendor="v", version="1", features=(), instance_id="i")
    door.answer("query", who)
    door.answer("get_diagnostics", "{}")
    assert client.query() == who
    assert client.get_diagnostics() == "{}"


def test_observers_call_their_debug_parameter_otherwise(client: Client, door: Any) -> None:
    door.answer("Observer.init", None)
    client.observer.init()
    assert door.asked == [("Observer.init", {"dbg": "test"})]


def test_a_refusal_is_raised_as_the_error_it_is(client: Client, door: Any) -> None:
    door.answer("VM.stat", XenopsError(DoesNotExist(klass="VM", id="vm1/config")))
    with pytest.raises(XenopsError) as raised:
        client.vm.stat("vm1")
    assert raised.value.error == DoesNotExist(klass="VM", id="vm1/config")


def test_an_instance_that_never_was_is_told_so_at_once(broker: MemoryBroker) -> None:
    with (
        Client(MemoryBus(broker), "nobody") as client,
        pytest.raises(UnknownInstanceError, match="there is no instance 'nobody', and never was"),
    ):
        client.vm.list()


def test_an_instance_that_nobody_serves_is_waited_for_and_that_is_said_once(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    bus = MemoryBus(broker)
    bus.append(InstanceName("away"), Elected(redirector="r"))
    with (
        Client(bus, "away", timeout_s=0.5) as client,
        pytest.raises(UndeliveredError, match="nobody serves the queue away"),
    ):
        client.vm.list()
    assert caplog.messages == [
        "nobody serves the queue away: is its service running? (trying for 0.5 s)",
    ]


def test_who_asks_for_an_instance_that_never_was_does_not_try_again() -> None:
    door = Returning(UndeliveredError("nobody"), has_instance=False)
    with pytest.raises(UnknownInstanceError, match="is its name right"):
        Client(door, "nobody").vm.list()
    assert len(door.sent) == 1


def test_a_broker_that_is_not_there_is_waited_for_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BusUnavailableError, match="no broker at 127"):
        connect("amqp://a:b@127.0.0.1:1/", "i", timeout_s=2.5)
    (said,) = (record.message for record in caplog.records if record.name == "xenops")
    assert said.startswith("no broker at 127.0.0.1:1 (")
    assert said.endswith("is RabbitMQ running there? (trying for 2.5 s)")


class Returning:
    """A door at which the first requests reach nobody, and the next one is lost with its connection."""

    def __init__(self, *answers: BusUnavailableError | bytes, has_instance: bool = True) -> None:
        self._answers = list(answers)
        self._has_instance = has_instance
        self.sent: list[bytes] = []

    def call(self, _queue: str, body: bytes, _timeout_s: float) -> bytes:
        self.sent.append(body)
        answer = self._answers.pop(0)
        if isinstance(answer, BusUnavailableError):
            raise answer
        return answer

    def knows(self, _instance: InstanceName) -> bool:
        return self._has_instance

    def close(self) -> None:
        """Nothing is kept open."""


def test_a_request_that_has_reached_nobody_is_sent_again_until_it_is_served() -> None:
    door = Returning(UndeliveredError("nobody"), UndeliveredError("nobody"), encode_result("VM.start", "7"))
    assert Client(door, "i").vm.start("vm1") == "7"
    assert door.sent[0] == door.sent[1] == door.sent[2]


def test_words_instead_of_an_answer_are_told(client: Client, door: Any) -> None:
    door.answer("VM.list", b"Idl.UnknownMethod")
    with pytest.raises(ResponseError, match="UnknownMethod"):
        client.vm.list()


def test_event_wait_goes_on_until_the_predicate_holds(client: Client, door: Any) -> None:
    door.answer("UPDATES.get", ((), (VM,), 5), ((), (), 5), ((), (OURS,), 6))
    assert event_wait(client, None, lambda changed: changed == OURS) == 6
    assert [params["last_id"] for _, params in door.asked] == [None, 5, 5]


def test_event_wait_gives_up_in_time(client: Client, door: Any) -> None:
    door.answer("UPDATES.get", ((), (), 5))
    with pytest.raises(WaitTimeoutError):
        event_wait(client, None, lambda _: False, timeout_s=0)
    assert door.asked == []


def test_a_waiter_asks_again_only_when_its_task_changed(client: Client, door: Any, task_in: TaskIn) -> None:
    half = Pending(progress=0.5)
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Pending(progress=0.0)), task_in(half), task_in(DONE))
    door.answer("UPDATES.get", ((), (VM,), 5), ((), (OURS,), 6), ((), (VM, OURS), 7))
    door.answer("Task.destroy", None)
    seen: list[TaskState] = []
    done = wait_for_task(client, "7", on_progress=lambda task: seen.append(task.state))
    assert done.duration == 0.5
    assert seen == [Pending(progress=0.0), half, DONE]
    assert door.methods() == [
        "UPDATES.last_id",
        "Task.stat",
        "UPDATES.get",
        "UPDATES.get",
        "Task.stat",
        "UPDATES.get",
        "Task.stat",
        "Task.destroy",
    ]


def test_a_waiter_looks_again_after_a_while_though_others_change_all_the_time(
    client: Client, door: Any, task_in: TaskIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.events.GET_TIMEOUT_S", 0)
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Pending(progress=0.0)), task_in(DONE))
    door.answer("UPDATES.get", ((), (VM,), 5))
    door.answer("Task.destroy", None)
    assert wait_for_task(client, "7").duration == 0.5


def test_a_task_that_somebody_destroyed_is_noticed(client: Client, door: Any, task_in: TaskIn) -> None:
    gone = XenopsError(DoesNotExist(klass="task", id="7"))
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Pending(progress=0.0)), gone)
    door.answer("UPDATES.get", ((), (), 4))
    with pytest.raises(XenopsError):
        wait_for_task(client, "7")


def test_a_failed_task_raises_its_error_and_is_destroyed(client: Client, door: Any, task_in: TaskIn) -> None:
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Failed(error=["Cancelled", "7"])))
    door.answer("Task.destroy", None)
    with pytest.raises(XenopsError) as raised:
        wait_for_task(client, "7")
    assert raised.value.error == Cancelled(task="7")
    assert door.methods()[-1] == "Task.destroy"


def test_a_task_is_kept_when_told_so(client: Client, door: Any, task_in: TaskIn) -> None:
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(DONE))
    wait_for_task(client, "7", destroy=False)
    assert "Task.destroy" not in door.methods()


class ByMethod:
    """A door that answers each method in turn; an error is that of the bus."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self._answers = answers

    def call(self, _queue: str, body: bytes, _timeout_s: float) -> bytes:
        method = decode_request(body).method
        answer = self._answers[method].pop(0)
        if isinstance(answer, BusError):
            raise answer
        return encode_result(method, answer)

    def close(self) -> None:
        """Nothing is kept open."""


def test_a_waiter_outlives_whom_it_has_asked_but_not_all_of_them(task_in: TaskIn) -> None:
    gone = RequestTimeoutError("no answer")
    answers: dict[str, list[Any]] = {
        "UPDATES.last_id": [1],
        "Task.stat": [task_in(Pending(progress=0.5)), task_in(DONE)],
        "UPDATES.get": [gone, gone],
        "Task.destroy": [None],
    }
    assert wait_for_task(Client(ByMethod(answers), "i"), "7") == DONE.completion
    assert not any(answers.values())
    answers |= {
        "UPDATES.last_id": [1],
        "Task.stat": [task_in(Pending(progress=0.5)), gone, gone],
        "UPDATES.get": [gone, gone],
    }
    with pytest.raises(RequestTimeoutError):
        wait_for_task(Client(ByMethod(answers), "i"), "7")


def test_a_waiter_gives_up_in_time_and_leaves_the_task(client: Client, door: Any, task_in: TaskIn) -> None:
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Pending(progress=0.0)))
    with pytest.raises(WaitTimeoutError, match="task 7"):
        wait_for_task(client, "7", timeout_s=0)
    assert "Task.destroy" not in door.methods()


def test_a_wait_is_cut_to_the_time_that_is_left(client: Client, door: Any, task_in: TaskIn) -> None:
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Pending(progress=0.0)), task_in(DONE))
    door.answer("UPDATES.get", ((), (OURS,), 5))
    door.answer("Task.destroy", None)
    wait_for_task(client, "7", timeout_s=5)
    assert [params["timeout"] for method, params in door.asked if method == "UPDATES.get"] == [5]


def test_an_error_of_a_newer_service_is_an_unknown_error(task_in: TaskIn) -> None:
    with pytest.raises(XenopsError, match="Unknown_error"):
        outcome_of(task_in(Failed(error=["From_the_future", "x"])))


@pytest.mark.parametrize("state", [Failed(error=7), Pending(progress=0.5)])
def test_what_is_no_end_is_said_so(task_in: TaskIn, state: TaskState) -> None:
    with pytest.raises(XenopsError, match="task 7"):
        outcome_of(task_in(state))
