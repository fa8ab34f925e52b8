"""The event hub on a bus: requests in, answers out, records appended and read back."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusBlockedError
from bus.process import Settings
from bus.topology import events_queue
from eventhub.service import build
from schema import records
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.objects.dynamic import VmObject
from schema.records import Record
from schema.rpc import decode_response, encode_request
from typing_extensions import override

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
VM = VmId("vm1")
PATIENCE_S = 10.0


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
def test_a_wish_is_appended_and_seen_by_who_wished_it(broker: MemoryBroker, client: MemoryBus) -> None:
    ask(client, "UPDATES.inject_barrier", vm_id=VM, id=7)
    assert records.Barrier(vm=VM, barrier=7) in [envelope.record for envelope in broker.log(INSTANCE)]
    barriers, _, _ = ask(client, "UPDATES.get", last_id=None, timeout=0)
    assert barriers == ((7, ()),)


def test_a_wish_on_a_full_broker_is_refused_with_its_words(broker: MemoryBroker, client: MemoryBus) -> None:
    with serving(Blocked(broker)), pytest.raises(XenopsError, match="the disk is full"):
        ask(client, "UPDATES.remove_barrier", id=7)
