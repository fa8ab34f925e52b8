import json

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from bus.process import Settings
from frontend.service import build as build_frontend
from frontend.settings import Settings as FrontendSettings
from redirector.service import build as build_redirector
from schema import rpc
from schema.ids import InstanceName

INSTANCE = InstanceName("i")
PATIENCE_S = 120.0


def test_a_request_through_frontend_and_redirector_gets_a_task() -> None:
    broker = MemoryBroker()
    buses = [MemoryBus(broker, name) for name in ("frontend", "redirector", "client")]
    frontend, redirector, client = buses
    build_redirector(redirector, Settings((INSTANCE,))).start()
    service = build_frontend(frontend, FrontendSettings(Settings((INSTANCE,))))
    service.start()
    body = rpc.encode_request("VM.start", debug_info="d", id="vm", paused=False)
    answer = client.call(INSTANCE, body, PATIENCE_S)
    assert int(rpc.decode_response("VM.start", answer)) >= 0
    read = rpc.encode_request("VM.exists", debug_info="d", id="vm")
    assert "no worker of instance i" in json.loads(client.call(INSTANCE, read, PATIENCE_S))["error"][1]
    service.stop()
    for bus in buses:
        bus.close()


def test_a_message_to_the_inbox_that_is_no_notice_costs_nothing() -> None:
    broker = MemoryBroker()
    bus = MemoryBus(broker, "frontend")
    service = build_frontend(bus, FrontendSettings(Settings((INSTANCE,))))
    service.start()
    (inbox,) = [name for name in broker.queues() if name.startswith("xenops.inbox.")]
    bus.send(inbox, Request(b"garbage"))
    body = rpc.encode_request("query", debug_info="d", unit=None)
    assert b"no worker of instance i" in bus.call(INSTANCE, body, PATIENCE_S)
    bus.close()
