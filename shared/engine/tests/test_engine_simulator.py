import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm, start_sample
from engine.conformance.subject import refusal
from engine.simulator import (
    Guest,
    Simulator,
    SimulatorSettings,
)
from schema.atomics.vm import DomainAction, ShutdownRequest
from schema.ids import VmId
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import (
    DoesNotExist,
    DomainNotBuilt,
    Unimplemented,
)
from schema.objects.vm import (
    ConsoleProtocol,
    DirectBoot,
    DomainType,
    PowerState,
    Pv,
    PvDirectBoot,
    Pvh,
    PvInfo,
    PvInPvh,
    VmState,
)
from schema.wire.codec import encode_text

ID = VmId("v1")
PV_INFO = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/boot/guest")))


def test_a_halted_vm_is_shown_as_by_the_original() -> None:
    text = encode_text(VmState, Simulator().vm.get_state(sample_vm()))
    assert text == (
        '{"numa_node_memory":[],"numa_nodes":0,"numa_optimised":false,"featureset":"",'
        '"domain_type":"Domain_undefined","nested_virt":false,"nomigrate":false,"hvm":false,'
        '"last_start_time":0.0,"pv_drivers_detected":false,"xsdata_state":{},"guest_agent":{},'
        '"uncooperative_balloon_driver":false,"rtc_timeoffset":"","shadow_multiplier_target":1.0,'
        '"vcpu_target":0,"memory_limit":0,"memory_actual":0,"memory_target":0,"consoles":[],"domids":[],'
        '"power_state":"Halted"}'
    )


def test_a_running_vm_shows_what_a_client_needs() -> None:
    simulator = Simulator()
    state = simulator.vm.get_state(start_sample(simulator))
    assert (state.hvm, state.domain_type) == (True, DomainType.DOMAIN_HVM)
    assert [console.protocol for console in state.consoles] == [ConsoleProtocol.RFB, ConsoleProtocol.VT100]
    assert (state.memory_target, state.memory_limit) == (1 << 28, 1 << 28)
    assert state.rtc_timeoffset == "7"
    assert state.xsdata_state == (("vm-data/foo", "bar"),)
    assert state.shadow_multiplier_target == 1.0


@pytest.mark.parametrize(
    ("ty", "shown"),
    [
        (Pv(info=PV_INFO), DomainType.DOMAIN_PV),
        (PvInPvh(info=PV_INFO), DomainType.DOMAIN_PVIN_PVH),
        (Pvh(info=PV_INFO), DomainType.DOMAIN_PVH),
    ],
)
def test_a_paravirtual_vm_runs_without_a_device_model(ty: Pv | PvInPvh | Pvh, shown: DomainType) -> None:
    simulator, machine = Simulator(), sample_vm(ty=ty)
    simulator.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
    assert refusal(simulator.vm.unpause, SuiteExecution(), machine) == DomainNotBuilt()
    simulator.vm.build(SuiteExecution(), machine, Devices(), force=False)
    simulator.vm.unpause(SuiteExecution(), machine)
    state = simulator.vm.get_state(machine)
    assert (state.power_state, state.domain_type, state.hvm) == (PowerState.RUNNING, shown, False)
    assert [console.protocol for console in state.consoles] == [ConsoleProtocol.VT100]
    assert state.rtc_timeoffset == ""


def test_what_is_set_on_a_running_vm_is_seen() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    task = SuiteExecution()
    simulator.vm.set_xsdata(task, machine, [("vm-data/a", "b")])
    simulator.vm.set_shadow_multiplier(task, machine, 1.5)
    simulator.vm.set_memory_dynamic_range(task, machine, 1 << 26, 1 << 27)
    simulator.vm.set_vcpus(task, machine, 3)
    state = simulator.vm.get_state(machine)
    assert state.xsdata_state == (("vm-data/a", "b"),)
    assert (state.shadow_multiplier_target, state.memory_target, state.vcpu_target) == (1.5, 1 << 27, 3)


def test_a_vm_may_run_before_its_device_model() -> None:
    """As the original's black-box suite does it: create, build, unpause, create_device_model."""
    simulator, machine = Simulator(), sample_vm()
    simulator.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
    simulator.vm.build(SuiteExecution(), machine, Devices(), force=False)
    simulator.vm.unpause(SuiteExecution(), machine)
    simulator.vm.create_device_model(SuiteExecution(), machine, Devices(), save_state=False)
    assert simulator.vm.get_state(machine).power_state is PowerState.RUNNING


def test_a_vm_may_run_from_its_start_on() -> None:
    simulator = Simulator(SimulatorSettings(starts_paused=False))
    machine = start_sample(simulator)
    assert simulator.vm.get_state(machine).power_state is PowerState.RUNNING
    simulator.vm.pause(SuiteExecution(), machine)
    assert simulator.vm.get_state(machine).power_state is PowerState.PAUSED


def test_what_needs_a_device_model_waits_for_it() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    simulator.vm.destroy_device_model(SuiteExecution(), machine)
    assert refusal(simulator.vm.set_vcpus, SuiteExecution(), machine, 1) == DomainNotBuilt()


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("reboot", DomainAction.REBOOT),
        ("halt", DomainAction.POWEROFF),
        ("crash", DomainAction.CRASHDUMP),
        ("suspend", DomainAction.SUSPEND),
        ("softreset", DomainAction.SOFTRESET),
    ],
)
def test_a_trigger_makes_the_domain_ask_and_tells_of_it(command: str, action: DomainAction) -> None:
    simulator, told = Simulator(), list[ObjectId]()
    simulator.start(told.append)
    machine = start_sample(simulator)
    simulator.trigger(command, [ID])
    assert simulator.vm.get_domain_action_request(machine) is action
    assert told == [VmObject(id=ID)]
    simulator.vm.soft_reset(SuiteExecution(), machine)
    assert simulator.vm.get_domain_action_request(machine) is None


@pytest.mark.parametrize("command", ["reboot", "check-vbd-plug-ordering"])
def test_a_trigger_needs_a_domain(command: str) -> None:
    assert refusal(Simulator().trigger, command, ["v1"]) == DoesNotExist(klass="domain", id="v1")
    assert refusal(Simulator().trigger, "unplug", ["v1", "vbd.xvda"]) == DoesNotExist(klass="domain", id="v1")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("nonesuch", []),
        ("reboot", []),
        ("halt", ["a", "b"]),
        ("unplug", ["v1"]),
        ("unplug", ["v1", "disk.0"]),
    ],
)
def test_an_unknown_trigger_is_told(command: str, arguments: list[str]) -> None:
    assert refusal(Simulator().trigger, command, arguments) == Unimplemented(what=command)


def test_a_deaf_guest_does_not_acknowledge() -> None:
    simulator = Simulator(SimulatorSettings(guest=Guest(acknowledges=False)))
    machine = start_sample(simulator)
    halt = ShutdownRequest.HALT
    assert not simulator.vm.request_shutdown(SuiteExecution(), machine, halt, 0.01)
    assert simulator.vm.get_domain_action_request(machine) is None


def test_a_slow_guest_takes_its_time() -> None:
    simulator = Simulator(SimulatorSettings(guest=Guest(shutdown_s=0.02)))
    machine = start_sample(simulator)
    reboot = ShutdownRequest.REBOOT
    assert simulator.vm.request_shutdown(SuiteExecution(), machine, reboot, 1.0)
    assert not simulator.vm.wait_shutdown(SuiteExecution(), machine, reboot, 0.01)
    assert simulator.vm.get_domain_action_request(machine) is None
    assert simulator.vm.wait_shutdown(SuiteExecution(), machine, reboot, 1.0)
    assert simulator.vm.get_domain_action_request(machine) is DomainAction.REBOOT


def test_cpu_policies_are_combined_bit_by_bit() -> None:
    host = Simulator().host
    assert host.combine_cpu_policies("ff-0f", "0f-ff") == "0000000f-0000000f"
    assert host.combine_cpu_policies("", "ff") == ""
    assert host.is_compatible("01", "03")
    assert not host.is_compatible("04", "03")
    assert not host.is_compatible("01-01", "01")
    assert host.is_compatible("words", "")
