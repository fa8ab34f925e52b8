import threading

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry, Request
from bus.process import Settings
from redirector.service import build
from schema.ids import InstanceName, VmId, WorkerName
from schema.operations import VmStart
from schema.records import Leased, Submitted, WorkerUp

INSTANCE = InstanceName("i")
PATIENCE_S = 10.0


def test_a_submitted_task_is_accepted_and_leased_over_a_bus() -> None:
    broker = MemoryBroker()
    bus, client = MemoryBus(broker, "redirector"), MemoryBus(broker, "client")
    notices: list[Request] = []
    noticed, leased = threading.Event(), threading.Event()

    def on_notice(request: Request) -> None:
        notices.append(request)
        noticed.set()

    def on_entry(entry: Entry) -> None:
        if isinstance(entry.record, Leased):
            leased.set()

    service = build(bus, Settings((INSTANCE,)))
    service.start()
    client.tail(INSTANCE, BEGINNING, on_entry, lambda: None)
    client.append(INSTANCE, WorkerUp(worker=WorkerName("w"), epoch="1", capacity=1))
    submitted = Submitted(
        vm=VmId("vm"),
        operation=VmStart(vm=VmId("vm")),
        request_id="r",
        dbg="d",
        accept_by=float("inf"),
        reply_to=client.inbox(on_notice),
    )
    client.append(INSTANCE, submitted)
    assert noticed.wait(PATIENCE_S)
    assert leased.wait(PATIENCE_S)
    assert b'"Accepted"' in notices[0].body
    service.stop()
    bus.close()
    client.close()
