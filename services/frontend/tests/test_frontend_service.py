import json
from dataclasses import replace
from queue import Queue

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import LostError, OnAnswer, Request
from bus.process import Settings
from bus.topology import control_queue
from frontend.service import build as build_frontend
from frontend.settings import Settings as FrontendSettings
from redirector.service import build as build_redirector
from schema import rpc
from schema.ids import InstanceName
from typing_extensions import override

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


class LosingBus(MemoryBus):
    """The first question is lost with the way that it went by: nobody knows whether it was served."""

    is_lost = False

    @override
    def ask(self, queue: str, question: Request, timeout_s: float, on_answer: OnAnswer) -> None:
        if self.is_lost:
            super().ask(queue, question, timeout_s, on_answer)
            return
        self.is_lost = True
        self.call_soon(lambda: on_answer(LostError("the connection was lost")))


@pytest.mark.parametrize("is_look", [True, False])
def test_at_a_door_a_look_that_was_lost_is_made_again_and_nothing_else(*, is_look: bool) -> None:
    broker = MemoryBroker()
    bus, worker, answers = LosingBus(broker, "frontend"), MemoryBus(broker, "worker"), Queue[bytes]()
    served = Request(rpc.encode_result("VM.exists", value=True) if is_look else b"served")
    worker.serve(
        control_queue(INSTANCE),
        lambda request: worker.send(
            request.reply_to or "", replace(served, correlation_id=request.correlation_id)
        ),
    )
    service = build_frontend(bus, FrontendSettings(Settings((INSTANCE,))))
    service.start()
    method, params = ("VM.exists", {"id": "vm"}) if is_look else ("HOST.send_debug_keys", {"debug_keys": "q"})
    question = Request(rpc.encode_request(method, debug_info="d", **params))
    bus.call_soon(lambda: service.ask(INSTANCE, question, answers.put))
    answer = answers.get(timeout=PATIENCE_S)
    assert (answer == served.body) == is_look
    assert is_look or b"the connection was lost" in answer
    for each in (bus, worker):
        each.close()


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
