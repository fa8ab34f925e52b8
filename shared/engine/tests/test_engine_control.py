import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import sample_vbd, sample_vm, start_sample
from engine.control import Control, RequestContext
from engine.control.answer import ANSWERS
from engine.hooks import Hooks
from engine.mac import POSITION_MAX, derived_mac, local_mac
from engine.perform.context import Context
from engine.simulator import Simulator, SimulatorSettings
from engine.store import FileStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema import rpc
from schema.fault import XenopsError
from schema.ids import InstanceName, VmId
from schema.methods import METHODS
from schema.objects.errors import (
    DeviceIsConnected,
    DoesNotExist,
    ObserverInternalError,
    Unimplemented,
)
from schema.objects.network import LocalNetwork
from schema.objects.vbd import IdleQos, Ionice
from schema.objects.vif import Vif
from schema.objects.vm import PowerState
from schema.operations import VbdCheckState
from schema.records import Changed, Record
from schema.wire.types import DeviceId
from traces import ObserverLog, Tracer

OTHERS = ("Task.", "UPDATES.", "get_diagnostics")


class WorkerHandle:
    def __init__(self) -> None:
        self.rebooting: set[str] = set()
        self.capacity = 0
        self.triggers: dict[str, int] = {}
        self.checks: list[VbdCheckState] = []

    def has_arrived(self, vm: VmId) -> bool:
        return vm == "arrived"

    def is_rebooting(self, vm: VmId) -> bool:
        return vm in self.rebooting

    def is_leaving(self, vm: VmId) -> bool:
        return vm.startswith("leaving")

    def set_capacity(self, capacity: int) -> None:
        self.capacity = capacity

    def cancel_next(self, dbg: str, point: int) -> None:
        self.triggers[dbg] = point

    def check(self, check: VbdCheckState) -> None:
        self.checks.append(check)


class Office:
    """A control door with a simulator and a store behind it."""

    def __init__(self, directory: Path) -> None:
        self.store = FileStore(directory)
        self.backend = Simulator(SimulatorSettings())
        self.worker = WorkerHandle()
        self.bus = MemoryBus(MemoryBroker())
        self.tracer = Tracer("test", "i")
        self.observers = ObserverLog(self.bus, InstanceName("i"), self.tracer)
        self.observers.start()
        context = Context(self.store, self.backend, Hooks(directory / "hooks"), lambda _: None)
        self.control = Control(RequestContext(context, self.worker, self.observers, "i"))
        self.records: tuple[Record, ...] = ()

    def close(self) -> None:
        self.tracer.close()
        self.bus.close()

    def ask(self, method: str, **params: Any) -> Any:
        name = "dbg" if method.startswith("Observer.") else "debug_info"
        params[name] = "d"
        answered = self.control.answer(rpc.encode_request(method, **params))
        self.records = answered.records
        return rpc.decode_response(method, answered.body)

    def error(self, method: str, **params: Any) -> Any:
        with pytest.raises(XenopsError) as caught:
            self.ask(method, **params)
        return caught.value.error


@pytest.fixture(name="office")
def open_office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.close()


def test_what_leaves_is_shown_to_who_asks_for_it_and_not_listed(office: Office) -> None:
    for vm in ("v1", "leaving"):
        office.ask("VM.add", vm=sample_vm(vm))
    assert [vm.id for vm, _ in office.ask("VM.list", unit=None)] == ["v1"]
    assert office.ask("VM.stat", id="leaving")[0].id == "leaving"
    assert office.ask("VM.exists", id="leaving") is True


def test_a_vm_is_added_and_shown(office: Office) -> None:
    vm = sample_vm()
    assert office.ask("VM.add", vm=vm) == "v1"
    assert isinstance(office.records[0], Changed)
    assert office.ask("VM.exists", id="v1") is True
    assert office.ask("VM.exists", id="arrived") is True
    found, state = office.ask("VM.stat", id="v1")
    assert (found, state.power_state) == (vm, PowerState.HALTED)
    assert office.ask("VM.list", unit=None) == ((found, state),)
    assert office.error("VM.stat", id="v2") == DoesNotExist(klass="VM", id="v2/config")


def test_a_rebooting_vm_runs(office: Office) -> None:
    office.ask("VM.add", vm=sample_vm())
    office.worker.rebooting.add("v1")
    assert office.ask("VM.stat", id="v1")[1].power_state is PowerState.RUNNING


def test_a_vm_with_an_unfit_id_is_refused_with_the_rule(office: Office) -> None:
    assert "ids become file names" in office.error("VM.add", vm=sample_vm("../x")).message


def test_a_device_is_added_shown_and_removed(office: Office) -> None:
    office.ask("VM.add", vm=sample_vm())
    vbd = sample_vbd()
    assert office.ask("VBD.add", vbd=vbd) == vbd.id
    assert office.ask("VBD.stat", id=vbd.id)[0] == vbd
    assert len(office.ask("VBD.list", id="v1")) == 1
    office.ask("VBD.remove", id=vbd.id)
    assert isinstance(office.records[0], Changed)
    assert office.ask("VBD.list", id="v1") == ()
    assert office.error("VBD.remove", id=vbd.id).klass == "VM"


def test_a_device_of_an_unknown_vm_is_refused(office: Office) -> None:
    error = office.error("VBD.add", vbd=sample_vbd(vm="nosuchvm"))
    assert error == DoesNotExist(klass="VM", id="nosuchvm")


def test_a_plugged_device_is_not_removed(office: Office) -> None:
    vm, vbd = sample_vm(), sample_vbd()
    office.ask("VM.add", vm=vm)
    office.ask("VBD.add", vbd=vbd)
    start_sample(office.backend, vm)
    office.backend.vbd.attach(SuiteExecution(), VmId("v1"), vbd)
    office.backend.vbd.activate(SuiteExecution(), VmId("v1"), vbd)
    assert office.error("VBD.remove", id=vbd.id) == DeviceIsConnected()


def test_a_plugged_disk_that_is_given_other_limits_is_looked_at(office: Office) -> None:
    vm, vbd = sample_vm(), sample_vbd()
    office.ask("VM.add", vm=vm)
    limited = vbd.model_copy(update={"qos": Ionice(scheduler=IdleQos())})
    office.ask("VBD.add", vbd=limited)
    assert office.worker.checks == []
    start_sample(office.backend, vm)
    office.backend.vbd.attach(SuiteExecution(), VmId("v1"), vbd)
    office.backend.vbd.activate(SuiteExecution(), VmId("v1"), vbd)
    office.ask("VBD.add", vbd=vbd)
    assert office.worker.checks == []
    office.ask("VBD.add", vbd=limited)
    assert office.worker.checks == [VbdCheckState(id=vbd.id)]


@pytest.mark.parametrize(("mac", "stays"), [("", False), ("random", False), ("00:16:3e:00:00:01", True)])
def test_an_interface_without_an_address_gets_one(office: Office, mac: str, *, stays: bool) -> None:
    office.ask("VM.add", vm=sample_vm())
    vif = Vif(id=DeviceId("v1", "0"), mac=mac, backend=LocalNetwork(bridge="br0"))
    office.ask("VIF.add", vif=vif)
    found = office.ask("VIF.stat", id=vif.id)[0].mac
    assert (found == mac) is stays
    assert len(found) == 17


def test_derived_addresses_are_local_and_differ_by_position() -> None:
    found = {derived_mac(position, "v1") for position in range(20)}
    assert len(found) == 20
    assert all(int(mac[:2], 16) & 3 == 2 for mac in found)
    assert local_mac(b"\xfe\x00\x00\x00\x00\x00").startswith("fd:")


@pytest.mark.parametrize("position", [-1, POSITION_MAX + 1, 2**62 - 1])
def test_no_address_is_derived_from_a_position_that_no_interface_has(office: Office, position: int) -> None:
    office.ask("VM.add", vm=sample_vm())
    vif = Vif(id=DeviceId("v1", "0"), position=position, mac="")
    with pytest.raises(XenopsError, match=f"from its position, {position}: give it an address"):
        office.ask("VIF.add", vif=vif)
    office.ask("VIF.add", vif=vif.model_copy(update={"mac": "00:16:3e:00:00:01"}))
    assert office.ask("VIF.stat", id=vif.id)[0].position == position


def test_an_address_is_derived_from_the_last_position_that_counts(office: Office) -> None:
    office.ask("VM.add", vm=sample_vm())
    vif = Vif(id=DeviceId("v1", "0"), position=POSITION_MAX, mac="")
    office.ask("VIF.add", vif=vif)
    assert office.ask("VIF.stat", id=vif.id)[0].mac == derived_mac(POSITION_MAX, "v1")


def test_the_host_answers(office: Office) -> None:
    who = office.ask("query", unit=None)
    assert (who.name, who.vendor, who.version, who.features) == ("xenops", "XCP", "0.1", ())
    assert str(uuid.UUID(who.instance_id)) == who.instance_id == office.ask("query", unit=None).instance_id
    assert office.ask("HOST.stat").cpu_info.cpu_count >= 0
    assert office.ask("HOST.get_total_memory_mib") > 0
    assert isinstance(office.ask("HOST.get_console_data"), str)
    office.ask("HOST.send_debug_keys", debug_keys="q")
    office.ask("HOST.update_guest_agent_features", features=())
    office.ask("HOST.set_numa_affinity_policy", numa_affinity_policy=None)
    assert office.ask("HOST.is_compatible", vm_policy="", host_policy="") is True
    assert office.ask("HOST.combine_cpu_policies", policy1="", policy2="") == ""
    assert office.ask("VM.generate_state_string", vm=sample_vm()) == ""


def test_a_worker_knows_what_each_domain_asks_for(office: Office) -> None:
    office.ask("VM.add", vm=sample_vm())
    office.ask("VM.add", vm=sample_vm("v2"))
    start_sample(office.backend, sample_vm("v2"))
    told = json.loads(office.ask("get_diagnostics", unit=None))
    assert told == {"vm_actions": {"v1": ["Needs_poweroff"], "v2": []}}


def test_the_pool_has_limits(office: Office) -> None:
    office.ask("HOST.set_worker_pool_size", pool_size=16)
    assert office.worker.capacity == 16
    assert "from 1 to" in office.error("HOST.set_worker_pool_size", pool_size=0).message


def test_faults_are_triggered(office: Office) -> None:
    office.ask("DEBUG.trigger", cmd="set-cancel-trigger", args=("dbg", "3"))
    office.ask("DEBUG.trigger", cmd="set-cancel-trigger", args=(f"traced\n00-{'a' * 32}-{'b' * 16}-01", "1"))
    assert office.worker.triggers == {"dbg": 3, "traced": 1}
    assert office.error("DEBUG.trigger", cmd="nonesuch", args=()) == Unimplemented(what="nonesuch")
    for nowhere in ("x", "\u0663", "9" * 5_000):
        unknown = office.error("DEBUG.trigger", cmd="set-cancel-trigger", args=("dbg", nowhere))
        assert unknown == Unimplemented(what="set-cancel-trigger")
    assert "end the worker" in office.error("DEBUG.shutdown", unit=None).message


def test_an_observer_is_followed_as_soon_as_the_request_is_answered(office: Office, tmp_path: Path) -> None:
    office.ask("Observer.set_trace_log_dir", string=str(tmp_path / "traces"))
    office.ask(
        "Observer.create", uuid="u", name_label="n", dict=(("a", "b"),), endpoints=("bugtool",), bool=False
    )
    assert not office.tracer.on
    office.ask("Observer.set_enabled", uuid="u", bool=True)
    assert office.tracer.on
    office.ask("Observer.set_attributes", uuid="u", dict=())
    office.ask("Observer.set_endpoints", uuid="u", endpoints=())
    assert not office.tracer.on
    office.ask("Observer.set_max_spans", int=10)
    office.ask("Observer.init")
    office.ask("Observer.destroy", uuid="u")


def test_an_observer_that_is_not_there_is_refused_in_the_originals_words(office: Office) -> None:
    error = office.error("Observer.set_enabled", uuid="u", bool=True)
    assert error == ObserverInternalError(message='Failure("The TracerProvider : u does not exist")')
    office.ask("Observer.destroy", uuid="u")


def test_an_observer_that_no_record_can_hold_is_refused(office: Office) -> None:
    error = office.error("Observer.set_host_id", string="\udc80")
    assert "not UTF-8" in error.message


def test_every_method_that_is_neither_queued_nor_about_events_is_answered() -> None:
    queued = {name for name, method in METHODS.items() if method.result is str} - {
        "VM.add",
        "VM.generate_state_string",
        "VM.export_metadata",
        "HOST.get_console_data",
        "get_diagnostics",
    }
    policies = {"HOST.combine_cpu_policies"}
    expected = {name for name in METHODS if not name.startswith(OTHERS)} - (queued - policies) - {"VM.remove"}
    assert expected | policies | {"get_diagnostics"} == set(ANSWERS)


def test_a_bug_is_answered_and_logged(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.store.list = None  # type: ignore[assignment, method-assign]
    assert "TypeError" in office.error("VM.list", unit=None).message
    assert "VM.list: a bug" in caplog.text


def test_what_others_answer_is_not_answered_here(office: Office) -> None:
    assert "ask the frontend" in office.error("Task.stat", id="1").message


def without_arguments(method: str) -> bytes:
    return json.dumps({"method": method, "params": [{}], "id": 1}).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.binary() | st.sampled_from(sorted(METHODS)).map(without_arguments))
def test_every_request_gets_an_answer(office: Office, body: bytes) -> None:
    assert isinstance(office.control.answer(body).body, bytes)
