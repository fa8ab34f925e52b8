import json

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import plug_sample, sample_vbd, sample_vm, start_sample
from engine.conformance.subject import refusal
from engine.halted import HALTED_VM
from engine.simulator import (
    Simulator,
    SimulatorSettings,
)
from engine.simulator.image import read_image
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import (
    InternalError,
)
from schema.objects.network import LocalNetwork
from schema.objects.vif import Vif
from schema.objects.vm import (
    PowerState,
)

ID = VmId("v1")
IMAGE = Vdi(name="sr/image")


def test_an_exported_domain_is_the_original_s_json() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    plug_sample(simulator, sample_vbd("xvda", backend=Vdi(name="here")))
    plug_sample(simulator, sample_vbd("xvdb", backend=LocalDisk(path="/dev/null")))
    simulator.vif.plug(SuiteExecution(), ID, Vif(id=DeviceId(ID, "0")))
    simulator.vif.plug(SuiteExecution(), ID, Vif(id=DeviceId(ID, "1"), position=1))
    text = simulator.vm.get_internal_state(
        [("here", "there")], [("0", LocalNetwork(bridge="elsewhere"))], machine
    )
    assert text.startswith('{"last_create_time":')
    exported = json.loads(text)
    assert list(exported)[-1] == "domid"
    assert [disk["backend"] for disk in exported["vbds"]] == [["Local", "/dev/null"], ["VDI", "there"]]
    assert [vif["backend"][1] for vif in exported["vifs"]] == ["xenbr0", "elsewhere"]


def test_what_another_host_exported_shapes_the_next_domain() -> None:
    source, destination = Simulator(), Simulator()
    machine = start_sample(source)
    source.vm.set_vcpus(SuiteExecution(), machine, 4)
    exported = source.vm.get_internal_state([], [], machine)
    destination.vm.set_internal_state(machine, exported)
    assert destination.vm.get_state(machine) == HALTED_VM
    start_sample(destination, machine)
    assert destination.vm.get_state(machine).vcpu_target == 4


def test_a_domain_that_runs_knows_better_than_what_is_imported() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    exported = simulator.vm.get_internal_state([], [], machine)
    simulator.vm.set_vcpus(SuiteExecution(), machine, 1)
    simulator.vm.set_internal_state(machine, exported)
    assert simulator.vm.get_state(machine).vcpu_target == 1


@pytest.mark.parametrize("text", ["", "{", "{}", '{"domid":1}'])
def test_a_damaged_export_is_refused(text: str) -> None:
    error = refusal(Simulator().vm.set_internal_state, sample_vm(), text)
    assert isinstance(error, InternalError)
    assert error.message.startswith("Failed to unmarshal Domain.t: ")


def test_a_vm_suspended_here_resumes_with_what_it_was() -> None:
    simulator = Simulator(SimulatorSettings(transfer_s=0.01))
    machine = start_sample(simulator)
    simulator.vm.set_vcpus(SuiteExecution(), machine, 3)
    task = SuiteExecution()
    simulator.vm.save(task, machine, IMAGE, live=True)
    simulator.vm.save(SuiteExecution(), machine, IMAGE, live=True)
    assert task.fractions[-1] == 1.0
    simulator.vm.destroy(SuiteExecution(), machine)
    suspended = simulator.vm.get_state(machine)
    assert (suspended.power_state, suspended.domids, suspended.vcpu_target) == (PowerState.SUSPENDED, (1,), 3)
    simulator.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
    assert simulator.vm.get_state(machine).power_state is PowerState.SUSPENDED
    simulator.vm.restore(SuiteExecution(), machine, Devices(), IMAGE)
    state = simulator.vm.get_state(machine)
    assert (state.power_state, state.domids, state.vcpu_target) == (PowerState.PAUSED, (2,), 3)


def test_a_vm_that_was_removed_resumes_from_its_image_alone() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    simulator.vm.save(SuiteExecution(), machine, IMAGE, live=False)
    simulator.vm.destroy(SuiteExecution(), machine)
    simulator.vm.remove(machine)
    assert simulator.vm.get_state(machine) == HALTED_VM
    simulator.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
    simulator.vm.restore(SuiteExecution(), machine, Devices(), IMAGE)
    assert simulator.vm.get_state(machine).power_state is PowerState.PAUSED


def test_a_fresh_start_ends_a_suspended_life() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    simulator.vm.save(SuiteExecution(), machine, IMAGE, live=False)
    simulator.vm.destroy(SuiteExecution(), machine)
    start_sample(simulator, machine)
    assert simulator.vm.get_state(machine).power_state is PowerState.PAUSED


@pytest.mark.parametrize("record", [b"", bytes(16), b"\x0f" + bytes(15)], ids=["cut off", "foreign", "empty"])
def test_a_damaged_image_is_told(record: bytes) -> None:
    error = refusal(read_image, b"XenSavedDomv2-\n" + record, "v1")
    assert isinstance(error, InternalError)
    assert "v1: its suspend image is damaged" in error.message


def test_an_image_without_the_signature_is_none() -> None:
    assert "signature" in str(refusal(read_image, b"anything", "v1"))
