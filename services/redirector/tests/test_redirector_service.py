import threading
import time
from importlib.metadata import version
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry, Request
from bus.process import Settings
from bus.topology import lanes_queue
from redirector.limits import Limits
from redirector.service import build
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId, WorkerName
from schema.operations import VmStart
from schema.records import Elected, Leased, Submitted, WorkerUp
from schema.rpc import decode_response, encode_request

INSTANCE = InstanceName("i")
PATIENCE_S = 120.0


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


def test_all_who_have_waited_for_a_leader_are_told_that_they_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redirector.core.TOLD_AT_ONCE", 2)
    broker = MemoryBroker()
    bus, client = MemoryBus(broker, "redirector"), MemoryBus(broker, "client")
    told, all_told = set[str | None](), threading.Event()

    def on_notice(notice: Request) -> None:
        told.add(notice.correlation_id)
        if len(told) == 5:
            all_told.set()

    inbox = client.inbox(on_notice)
    for number in range(5):
        vm = VmId(f"v{number}")
        submitted = Submitted(
            vm=vm,
            operation=VmStart(vm=vm),
            request_id=f"r{number}",
            dbg="d",
            accept_by=float("inf"),
            reply_to=inbox,
        )
        client.append(INSTANCE, submitted).result(PATIENCE_S)
    service = build(bus, Settings((INSTANCE,)))
    service.start()
    assert all_told.wait(PATIENCE_S)
    service.stop()
    bus.close()
    client.close()


def test_operators_are_answered_by_who_leads_whichever_redirector_they_reach() -> None:
    broker = MemoryBroker()
    buses = [MemoryBus(broker, f"redirector{number}") for number in range(2)]
    client = MemoryBus(broker, "client")
    led = threading.Event()
    versions = set()

    def on_entry(entry: Entry) -> None:
        if isinstance(entry.record, Elected):
            versions.add(entry.record.version)
            led.set()

    client.tail(INSTANCE, BEGINNING, on_entry, lambda: None)
    services = [build(bus, Settings((INSTANCE,)), Limits()) for bus in buses]
    for service in services:
        service.start()
    assert led.wait(PATIENCE_S)
    assert versions == {version("xenops-redirector")}
    for held in (True, False) * 4:  # the two serve in turn
        change = "LANE.hold" if held else "LANE.release"
        assert until_led(client, change, id="vm") is None
        assert until_led(client, "LANE.stat", id="vm").lane.held == held
    for service in services:
        service.stop()
    for bus in (*buses, client):
        bus.close()


def until_led(client: MemoryBus, method: str, **params: Any) -> Any:
    """The answer, as soon as both know who leads."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        body = client.call(lanes_queue(INSTANCE), encode_request(method, debug_info="", **params), PATIENCE_S)
        try:
            return decode_response(method, body)
        except XenopsError as error:
            if "no redirector leads" not in str(error) or time.monotonic() > deadline:
                raise
