"""The event hub on a bus: requests in, answers out, records appended and read back."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusBlockedError, BusError, Request
from bus.process import Settings
from bus.topology import control_queue, events_queue
from eventhub.service import build
from schema import records
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.objects.dynamic import VmObject
from schema.records import Record
from schema.rpc import decode_response, encode_request, encode_result
from typing_extensions import override

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
VM = VmId("vm1")
PATIENCE_S = 120.0


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def client(broker: MemoryBroker) -> Iterator[MemoryBus]:
    bus = MemoryBus(broker)
    yield bus
    bus.close()


class Blocked(MemoryBus):
    """A bus whose broker takes no records."""

    @override
    def append(self, instance: InstanceName, *records: Record) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(BusBlockedError(f"{len(records)} records for {instance}: the disk is full"))
        return future


class Doubtful(MemoryBus):
    """A bus that may have lost its log."""

    sure = False

    @override
    def is_sure_of(self, instance: InstanceName) -> bool:
        return self.sure


@contextmanager
def serving(bus: MemoryBus) -> Iterator[MemoryBus]:
    service = build(bus, Settings((INSTANCE,)))
    service.start()
    yield bus
    service.stop()
    bus.close()


@pytest.fixture
def hub(broker: MemoryBroker) -> Iterator[MemoryBus]:
    with serving(MemoryBus(broker)) as bus:
        yield bus


def ask(bus: MemoryBus, method: str, **params: Any) -> Any:
    body = encode_request(method, debug_info="test", **params)
    return decode_response(method, bus.call(events_queue(INSTANCE), body, PATIENCE_S))


def test_what_was_in_the_log_before_the_hub_is_answered(broker: MemoryBroker, client: MemoryBus) -> None:
    client.append(INSTANCE, records.Changed(vm=VM, changed=(VmObject(id=VM),)))
    with serving(MemoryBus(broker)):
        _, objects, _ = ask(client, "UPDATES.get", last_id=None, timeout=5)
    assert objects == (VmObject(id=VM),)


@pytest.mark.usefixtures("hub")
def test_who_waits_is_told_of_what_comes(broker: MemoryBroker, client: MemoryBus) -> None:
    waiting = MemoryBus(broker)
    token = ask(client, "UPDATES.last_id")
    answer: Future[Any] = Future()
    thread = threading.Thread(
        target=lambda: answer.set_result(ask(waiting, "UPDATES.get", last_id=token, timeout=30))
    )
    thread.start()
    client.append(INSTANCE, records.Changed(vm=VM, changed=(VmObject(id=VM),)))
    thread.join()
    waiting.close()
    _, objects, _ = answer.result()
    assert objects == (VmObject(id=VM),)


@pytest.mark.usefixtures("hub")
def test_many_who_wait_are_told_of_everything_that_comes(client: MemoryBus) -> None:
    """Each goes on from what it was told, through the pauses between."""
    clients, changes = 100, 5
    news: Queue[tuple[int, int]] = Queue()

    def wait(who: int, token: int) -> None:
        def told(outcome: bytes | BusError) -> None:
            if isinstance(outcome, BusError):
                return  # the client has gone
            _, objects, newest = decode_response("UPDATES.get", outcome)
            news.put((who, len(objects)))
            wait(who, newest)

        body = encode_request("UPDATES.get", debug_info="test", last_id=token, timeout=30)
        client.ask(events_queue(INSTANCE), Request(body), 2 * PATIENCE_S, told)

    token = ask(client, "UPDATES.last_id")
    for who in range(clients):
        wait(who, token)
    seen = dict.fromkeys(range(clients), 0)
    for change in range(1, changes + 1):
        vm = VmId(f"vm{change}")
        client.append(INSTANCE, records.Changed(vm=vm, changed=(VmObject(id=vm),)))
        while min(seen.values()) < change:
            who, count = news.get(timeout=PATIENCE_S)
            seen[who] += count
    assert set(seen.values()) == {changes}


@pytest.mark.usefixtures("hub")
def test_diagnostics_ask_a_worker_and_do_without_one_if_none_is_there(
    broker: MemoryBroker, client: MemoryBus
) -> None:
    assert json.loads(ask(client, "get_diagnostics", unit=None))["vm_actions"] == {}
    worker = MemoryBus(broker)
    part = encode_result("get_diagnostics", '{"vm_actions":{"vm1":["Needs_reboot"]}}')
    worker.serve(
        control_queue(INSTANCE),
        lambda request: worker.send(
            request.reply_to or "", Request(part, correlation_id=request.correlation_id)
        ),
    )
    assert json.loads(ask(client, "get_diagnostics", unit=None))["vm_actions"] == {"vm1": ["Needs_reboot"]}
    worker.close()


@pytest.mark.usefixtures("hub")
def test_a_wish_is_appended_and_seen_by_who_wished_it(broker: MemoryBroker, client: MemoryBus) -> None:
    ask(client, "UPDATES.inject_barrier", vm_id=VM, id=7)
    assert records.Barrier(vm=VM, barrier=7) in [envelope.record for envelope in broker.log(INSTANCE)]
    barriers, _, _ = ask(client, "UPDATES.get", last_id=None, timeout=0)
    assert barriers == ((7, ()),)


def test_a_wish_on_a_full_broker_is_refused_with_its_words(broker: MemoryBroker, client: MemoryBus) -> None:
    with serving(Blocked(broker)), pytest.raises(XenopsError, match="the disk is full"):
        ask(client, "UPDATES.remove_barrier", id=7)


def test_of_a_log_that_may_be_lost_nothing_is_told_before_it_is_found_again(
    broker: MemoryBroker, client: MemoryBus
) -> None:
    client.append(INSTANCE, *[records.Changed(vm=VM, changed=(VmObject(id=VM),))] * 8)
    bus, answers = Doubtful(broker), Queue[bytes | BusError]()
    with serving(bus):
        question = Request(encode_request("Task.stat", debug_info="test", id="3"))
        client.ask(events_queue(INSTANCE), question, PATIENCE_S, answers.put)
        ask(client, "UPDATES.last_id")
        assert answers.empty()
        bus.sure = True
        answer = answers.get(timeout=PATIENCE_S)
    assert isinstance(answer, bytes)
    assert b"Does_not_exist" in answer
