from typing import Any

import pytest
from bus.ports import Request
from bus.topology import lanes_queue
from frontend import core
from frontend.core import (
    ACCEPT_TIMEOUT_S,
    ASK_S,
    END_TIMEOUT_S,
    NOTICE_S,
    Append,
    Effect,
    Forward,
    Frontend,
)
from frontend.returned import AWAY_S
from frontend.routes import Control, Events, Queued, route
from schema import rpc
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId
from schema.methods import METHODS
from schema.notices import Accepted, Ended, Rejected
from schema.objects.disk import LocalDisk
from schema.objects.errors import Cancelled, DoesNotExist, Error, InternalError
from schema.objects.metadata import Metadata
from schema.objects.network import LocalNetwork
from schema.objects.task import Completed, Completion, Failed, Pending, Task, TaskState
from schema.objects.vif import Dhcp4, Unlocked, Unspecified6
from schema.objects.vm import Hvm, HvmInfo, SchedulerParams, Vm
from schema.operations import VmPoweroff, VmStart
from schema.wire.codec import encode_text, to_rpc
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
QUEUED = [name for name in METHODS if isinstance(route(name), Queued) and "import_metadata" not in name]


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
        Queued: 40,
        Control: 54,
        Events: 11,
    }


@pytest.mark.parametrize("method", ["LANE.stat", "LANE.hold"])
def test_what_is_about_lanes_goes_to_the_redirector_and_says_so_if_there_is_none(
    frontend: Frontend, method: str
) -> None:
    [forward] = frontend.on_request(request(method, id="vm"), "r", NOW)
    assert isinstance(forward, Forward)
    assert forward.queue == lanes_queue(INSTANCE)
    assert frontend.on_undeliverable(forward.queue, forward.request, NOW) == []
    assert frontend.on_time(NOW + 1) == [Forward(forward.queue, forward.request)]
    error = failure(frontend.on_undeliverable(forward.queue, forward.request, NOW + AWAY_S), method)
    assert "no redirector of instance" in error.message


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
    assert effect.record.accept_by == NOW + ACCEPT_TIMEOUT_S - NOTICE_S
    effects = frontend.on_notice(Accepted(request_id="r", task=TaskId(7)))
    assert rpc.decode_response("VM.start", answer(effects).body) == "7"
    assert frontend.on_notice(Accepted(request_id="r", task=TaskId(7))) == []


@pytest.mark.parametrize("no_text", [b"\xff", rb"\udc00", rb"\uDFFF"])
@pytest.mark.parametrize("place", [b"dbg", b"a script"])
def test_bytes_that_no_record_can_hold_are_refused_with_words(
    frontend: Frontend, no_text: bytes, place: bytes
) -> None:
    body = request("VM.run_script", id="vm", script="a script").body.replace(place, no_text)
    (effect,) = frontend.on_request(Request(body, "client", "1"), "r", NOW)
    assert isinstance(effect, Forward)
    with pytest.raises(XenopsError, match="bytes that are not UTF-8"):
        rpc.decode_response("VM.run_script", effect.request.body)


def test_an_escape_that_stands_for_a_letter_is_as_good_as_the_letter(frontend: Frontend) -> None:
    body = request("VM.run_script", id="vm", script="x").body.replace(b'"x"', rb'"\u65e5\ud83d\ude00"')
    (effect,) = frontend.on_request(Request(body, "client", "1"), "r", NOW)
    assert isinstance(effect, Append)
    assert "日😀" in effect.record.model_dump_json()


def test_a_shutdown_without_delay_is_forced(frontend: Frontend) -> None:
    (effect,) = frontend.on_request(request("VM.shutdown", id="vm", delay=None), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.operation == VmPoweroff(vm=effect.record.vm)


def test_a_rejected_task_is_answered_with_the_reason(frontend: Frontend) -> None:
    start(frontend)
    error = Cancelled(task="1")
    assert failure(frontend.on_notice(Rejected(request_id="r", error=error))) == error


def test_what_is_not_accepted_is_repeated_when_it_may_be_and_when_it_may_not_and_then_given_up(
    frontend: Frontend,
) -> None:
    (first,) = start(frontend)
    assert frontend.on_time(NOW + 1.0) == []
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S / 2 + 0.1) == [first]
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S / 2 + 0.2) == []
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S - NOTICE_S + 0.1) == [first]
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S - 0.1) == []
    error = failure(frontend.on_time(NOW + ACCEPT_TIMEOUT_S + 0.1))
    assert "no redirector of instance i" in error.message


def test_a_submission_that_the_broker_refuses_is_answered(frontend: Frontend) -> None:
    (effect,) = start(frontend)
    assert isinstance(effect, Append)
    assert failure(frontend.on_append_failed(effect.record, "full")) == InternalError(message="full")
    assert frontend.on_append_failed(effect.record, "full") == []


def test_a_repeat_that_the_broker_refuses_says_nothing_of_what_it_took_before(frontend: Frontend) -> None:
    start(frontend)
    (repeat,) = frontend.on_time(NOW + ACCEPT_TIMEOUT_S / 2 + 0.1)
    assert isinstance(repeat, Append)
    assert frontend.on_append_failed(repeat.record, "full") == []
    frontend.on_time(NOW + ACCEPT_TIMEOUT_S - 0.1)
    (given_up,) = frontend.on_time(NOW + ACCEPT_TIMEOUT_S + 0.1)
    assert "look at the tasks before" in str(failure([given_up]))


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
    asked = request("VM.exists", id="vm")
    assert frontend.on_undeliverable(queue, asked, NOW) == []
    assert frontend.on_time(NOW + 1) == [Forward(queue, asked)]
    error = failure(frontend.on_undeliverable(queue, asked, NOW + AWAY_S), "VM.exists")
    assert words in error.message


def test_an_answer_that_nobody_waits_for_is_dropped(frontend: Frontend) -> None:
    assert frontend.on_undeliverable("amq.gen-gone", Request(b""), NOW) == []
    body = rpc.encode_request("VM.start", debug_info="d", id="../x", paused=False)
    assert frontend.on_request(Request(body), "r", NOW) == []


def test_garbage_is_answered_as_the_original_does(frontend: Frontend) -> None:
    effects = frontend.on_request(Request(b"[]", "client", "c1"), "r", NOW)
    assert b"Malformed_method_request" in answer(effects).body


def test_a_body_too_large_is_refused(frontend: Frontend) -> None:
    effects = frontend.on_request(Request(b" " * (rpc.REQUEST_BYTES_MAX + 1), "client", "c1"), "r", NOW)
    assert "at most" in failure(effects).message


@pytest.mark.parametrize("method", ["VM.import_metadata", "VM.import_metadata_async"])
@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("junk", "Yojson.Json_error(\"Line 1, bytes 0-4:\\nInvalid token 'junk'\")"),
        ("{}", "Unable to unmarshal metadata: "),
        ("[1]", "Unable to unmarshal metadata: "),
    ],
)
def test_metadata_that_cannot_be_read_is_refused_in_the_originals_words(
    frontend: Frontend, method: str, metadata: str, words: str
) -> None:
    effects = frontend.on_request(request(method, metadata=metadata), "r", NOW)
    assert failure(effects).message.startswith(words)


def test_good_metadata_is_imported_into_its_own_vm(frontend: Frontend) -> None:
    metadata = encode_text(Metadata, Metadata(vm=VM))
    (effect,) = frontend.on_request(request("VM.import_metadata_async", metadata=metadata), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.operation.kind == "Atomic"


def test_too_many_waiting_requests_are_refused(frontend: Frontend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "PENDING_MAX", 5)
    for number in range(5):
        start(frontend, f"r{number}")
    assert "wait for the redirector already" in failure(start(frontend, "one more")).message


def test_too_many_bytes_of_waiting_requests_are_refused_until_one_is_answered(
    frontend: Frontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(frontend, "r0")
    monkeypatch.setattr(core, "PENDING_BYTES_MAX", 2 * len(request("VM.start", id="vm", paused=False).body))
    start(frontend, "r1")
    assert "bytes of requests wait for the redirector already" in failure(start(frontend, "r2")).message
    frontend.on_notice(Accepted(request_id="r0", task=TaskId(7)))
    (effect,) = start(frontend, "r3")
    assert isinstance(effect, Append)


def remove(frontend: Frontend) -> Append:
    (effect,) = frontend.on_request(request("VM.remove", id="vm"), "r", NOW)
    assert isinstance(effect, Append)
    assert effect.record.reply_to == "inbox"
    return effect


def test_a_request_that_answers_no_task_is_answered_at_its_tasks_end_once(frontend: Frontend) -> None:
    remove(frontend)
    assert frontend.on_notice(Accepted(request_id="r", task=TaskId(7))) == []
    effects = frontend.on_notice(Ended(request_id="r", error=None))
    assert rpc.decode_response("VM.remove", answer(effects).body) is None
    assert frontend.on_notice(Ended(request_id="r", error=None)) == []


def test_an_end_may_be_told_before_the_acceptance_and_may_be_a_failure(frontend: Frontend) -> None:
    remove(frontend)
    error = DoesNotExist(klass="VM", id="vm/config")
    assert failure(frontend.on_notice(Ended(request_id="r", error=error)), "VM.remove") == error
    assert frontend.on_notice(Accepted(request_id="r", task=TaskId(7))) == []


def test_imported_metadata_is_answered_with_its_vm(frontend: Frontend) -> None:
    metadata = encode_text(Metadata, Metadata(vm=VM))
    frontend.on_request(request("VM.import_metadata", metadata=metadata), "r", NOW)
    effects = frontend.on_notice(Ended(request_id="r", error=None))
    assert rpc.decode_response("VM.import_metadata", answer(effects).body) == VM.id


def test_an_end_is_not_waited_for_without_limit(frontend: Frontend) -> None:
    remove(frontend)
    frontend.on_notice(Accepted(request_id="r", task=TaskId(7)))
    assert frontend.on_time(NOW + ACCEPT_TIMEOUT_S + 1) == []
    late = frontend.on_time(NOW + ACCEPT_TIMEOUT_S + END_TIMEOUT_S + 1)
    assert "it is task 7" in failure(late, "VM.remove").message
    assert frontend.on_notice(Ended(request_id="r", error=None)) == []


def stat(state: TaskState, dbg: str = "dbg") -> bytes:
    task = Task(
        id="7", dbg=dbg, ctime=0.0, state=state, subtasks=(), debug_info=(), backtrace="()", cancellable=True
    )
    return rpc.encode_result("Task.stat", task)


def test_whether_an_awaited_task_has_ended_is_asked_for_now_and_then(frontend: Frontend) -> None:
    remove(frontend)
    frontend.on_notice(Accepted(request_id="r", task=TaskId(7)))
    assert frontend.on_time(NOW + 0.5) == []
    assert frontend.on_time(NOW + 1.0) == []
    (asked,) = frontend.on_time(NOW + 0.5 + ASK_S)
    assert isinstance(asked, Forward)
    assert asked.queue == "xenops.events.i"
    assert (asked.request.reply_to, asked.request.correlation_id) == ("inbox", "r")
    assert rpc.decode_request(asked.request.body).params["id"] == "7"
    assert frontend.on_time(NOW + 1.0 + ASK_S) == []
    unknown = rpc.encode_failure(DoesNotExist(klass="task", id="7"))
    assert frontend.on_answer("r", unknown) == []
    assert frontend.on_answer("r", stat(Pending(progress=0.5))) == []
    ended = frontend.on_answer("r", stat(Completed(completion=Completion(duration=0.5))))
    assert rpc.decode_response("VM.remove", answer(ended).body) is None
    assert frontend.on_answer("r", stat(Pending(progress=0.5))) == []


def test_an_awaited_task_that_went_with_a_lost_log_is_not_waited_for(frontend: Frontend) -> None:
    remove(frontend)
    frontend.on_notice(Accepted(request_id="r", task=TaskId(7)))
    unknown = rpc.encode_failure(DoesNotExist(klass="task", id="7"))
    anothers = stat(Completed(completion=Completion(duration=0.5)), dbg="another")
    away = rpc.encode_failure(InternalError(message="ask later"))
    assert [frontend.on_answer("r", said) for said in (unknown, anothers, away)] == [[], [], []]
    lost = failure(frontend.on_answer("r", unknown), "VM.remove")
    assert isinstance(lost, InternalError)
    assert "its task 7 is gone" in lost.message


def test_an_awaited_task_that_is_found_to_have_failed_tells_why(frontend: Frontend) -> None:
    remove(frontend)
    error = DoesNotExist(klass="VM", id="vm/config")
    failed = stat(Failed(error=to_rpc(Error, error)))
    assert failure(frontend.on_answer("r", failed), "VM.remove") == error


def test_metadata_of_a_vm_that_cannot_be_a_file_is_refused_with_the_rule(frontend: Frontend) -> None:
    metadata = encode_text(Metadata, Metadata(vm=VM.model_copy(update={"id": "../x"})))
    effects = frontend.on_request(request("VM.import_metadata", metadata=metadata), "r", NOW)
    assert "use up to 64 letters" in failure(effects).message
