from typing import Any

import pytest
from bus.ports import Request
from frontend.core import ACCEPT_TIMEOUT_S, BODY_BYTES_MAX, PENDING_MAX, Append, Effect, Forward, Frontend
from frontend.routes import Control, Events, Queued, route
from schema import rpc
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId
from schema.methods import METHODS
from schema.notices import Accepted, Rejected
from schema.objects.disk import LocalDisk
from schema.objects.errors import Cancelled, DoesNotExist, InternalError
from schema.objects.metadata import Metadata
from schema.objects.network import LocalNetwork
from schema.objects.vif import Dhcp4, Unlocked, Unspecified6
from schema.objects.vm import Hvm, HvmInfo, SchedulerParams, Vm
from schema.operations import VmPoweroff, VmStart
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId

INSTANCE = InstanceName("i")
NOW = 100.0
VALUES: dict[str, Any] = {
    "id": "vm",
    "paused": True,
    "delay": 2.0,
    "suspend_vdi": LocalDisk(path="/x"),
    "disk": LocalDisk(path="/x"),
    "network": LocalNetwork(bridge="br0"),
    "locking_mode": Unlocked(),
    "ipv4_configuration": Dhcp4(),
    "ipv6_configuration": Unspecified6(),
    "proxy": None,
    "trunks": (1, 2),
    "vdi_map": (),
    "vif_map": (),
    "pci_map": (),
    "xsdata": (("a", "b"),),
}
VM = Vm(
    id="vm",
    ssidref=0,
    xsdata=(),
    platformdata=(),
    bios_strings=(),
    ty=Hvm(info=HvmInfo()),
    suppress_spurious_page_faults=False,
    memory_static_max=1,
    memory_dynamic_max=1,
    memory_dynamic_min=1,
    vcpu_max=1,
    vcpus=1,
    scheduler_params=SchedulerParams(affinity=()),
    on_crash=(),
    on_shutdown=(),
    on_reboot=(),
    pci_msitranslate=True,
    pci_power_mgmt=False,
)
DEFAULTS: dict[Any, Any] = {str: "text", bool: False, int: 1, float: 1.5}
QUEUED = [name for name in METHODS if isinstance(route(name), Queued) and name != "VM.import_metadata_async"]


def request(method: str, **params: Any) -> Request:
    return Request(rpc.encode_request(method, debug_info="dbg", **params), "client", "c1")


def answer(effects: list[Effect]) -> Request:
    (effect,) = effects
    assert isinstance(effect, Forward)
    assert effect.queue == "client"
    assert effect.request.correlation_id == "c1"
    return effect.request


def failure(effects: list[Effect], method: str = "VM.start") -> Any:
    with pytest.raises(XenopsError) as caught:
        rpc.decode_response(method, answer(effects).body)
    return caught.value.error


@pytest.fixture(name="frontend")
def make_frontend() -> Frontend:
    return Frontend(INSTANCE, "inbox")


def start(frontend: Frontend, request_id: str = "r", vm: str = "vm") -> list[Effect]:
    return frontend.on_request(request("VM.start", id=vm, paused=False), request_id, NOW)


def test_every_method_has_one_way() -> None:
    ways = [type(route(method)) for method in METHODS]
    assert {way: ways.count(way) for way in (Queued, Control, Events)} == {
        Queued: 38,
        Control: 56,
        Events: 11,
    }


@pytest.mark.parametrize("method", QUEUED)
def test_every_queued_method_becomes_an_operation_on_its_vm(frontend: Frontend, method: str) -> None:
    params = {}
    for name, type_ in METHODS[method].parameters[1:]:
        value = DeviceId("vm", "0") if type_ is DeviceId else VALUES.get(name, DEFAULTS.get(type_, 1))
        params[name] = value
    (effect,) = frontend.on_request(request(method, **params), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.vm == "vm"
    assert effect.record.dbg == "dbg"


def test_a_task_is_answered_once_it_is_accepted(frontend: Frontend) -> None:
    (effect,) = start(frontend)
    assert isinstance(effect, Append)
    assert effect.record.operation == VmStart(vm=effect.record.vm)
    assert effect.record.accept_by == NOW + ACCEPT_TIMEOUT_S
    effects = frontend.on_notice(Accepted(request_id="r", task=TaskId(7)))
    assert rpc.decode_response("VM.start", answer(effects).body) == "7"
    assert frontend.on_notice(Accepted(request_id="r", task=TaskId(7))) == []


def test_a_shutdown_without_delay_is_forced(frontend: Frontend) -> None:
    (effect,) = frontend.on_request(request("VM.shutdown", id="vm", delay=None), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.operation == VmPoweroff(vm=effect.record.vm)


def test_a_rejected_task_is_answered_with_the_reason(frontend: Frontend) -> None:
    start(frontend)
    error = Cancelled(task="1")
    assert failure(frontend.on_notice(Rejected(request_id="r", error=error))) == error


def test_what_is_not_accepted_is_repeated_once_and_then_given_up(frontend: Frontend) -> None:
    (first,) = start(frontend)
    assert frontend.on_time(NOW + 1.0) == []
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S / 2 + 0.1) == [first]
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S / 2 + 0.2) == []
    error = failure(frontend.on_time(NOW + ACCEPT_TIMEOUT_S + 0.1))
    assert "no redirector of instance i" in error.message


def test_a_submission_that_the_broker_refuses_is_answered(frontend: Frontend) -> None:
    (effect,) = start(frontend)
    assert isinstance(effect, Append)
    assert failure(frontend.on_append_failed(effect.record, "full")) == InternalError(message="full")
    assert frontend.on_append_failed(effect.record, "full") == []


def test_an_unsafe_vm_id_cannot_exist(frontend: Frontend) -> None:
    assert failure(start(frontend, vm="../x")) == DoesNotExist(klass="VM", id="../x/config")


def test_reads_go_to_a_worker_and_tasks_to_the_event_hub(frontend: Frontend) -> None:
    read, task = request("VM.exists", id="vm"), request("Task.stat", id="1")
    assert frontend.on_request(read, "r", NOW) == [Forward("xenops.control.i", read)]
    assert frontend.on_request(task, "r", NOW) == [Forward("xenops.events.i", task)]


@pytest.mark.parametrize(
    ("queue", "words"), [("xenops.control.i", "no worker of"), ("xenops.events.i", "no event hub of")]
)
def test_a_service_that_is_not_there_is_named(frontend: Frontend, queue: str, words: str) -> None:
    error = failure(frontend.on_undeliverable(queue, request("VM.exists", id="vm")), "VM.exists")
    assert words in error.message


def test_an_answer_that_nobody_waits_for_is_dropped(frontend: Frontend) -> None:
    assert frontend.on_undeliverable("amq.gen-gone", Request(b"")) == []
    body = rpc.encode_request("VM.start", debug_info="d", id="../x", paused=False)
    assert frontend.on_request(Request(body), "r", NOW) == []


def test_garbage_is_answered_as_the_original_does(frontend: Frontend) -> None:
    effects = frontend.on_request(Request(b"[]", "client", "c1"), "r", NOW)
    assert b"Malformed_method_request" in answer(effects).body


def test_a_body_too_large_is_refused(frontend: Frontend) -> None:
    effects = frontend.on_request(Request(b" " * (BODY_BYTES_MAX + 1), "client", "c1"), "r", NOW)
    assert "at most" in failure(effects).message


@pytest.mark.parametrize("metadata", ["{", "{}", "[1]"])
def test_metadata_that_cannot_be_read_is_refused(frontend: Frontend, metadata: str) -> None:
    effects = frontend.on_request(request("VM.import_metadata_async", metadata=metadata), "r", NOW)
    assert failure(effects).message.startswith("VM.import_metadata_async: ")


def test_good_metadata_is_imported_into_its_own_vm(frontend: Frontend) -> None:
    metadata = encode_text(Metadata, Metadata(vm=VM))
    (effect,) = frontend.on_request(request("VM.import_metadata_async", metadata=metadata), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.operation.kind == "Atomic"


def test_too_many_waiting_requests_are_refused(frontend: Frontend) -> None:
    for number in range(PENDING_MAX):
        start(frontend, f"r{number}")
    assert "wait for the redirector already" in failure(start(frontend, "one more")).message
