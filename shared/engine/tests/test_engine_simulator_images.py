import json

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import plug_sample, sample_vbd, sample_vm, start_sample
from engine.conformance.subject import refusal
from engine.simulator import (
    Simulator,
    SimulatorSettings,
)
from engine.simulator.image import DiskImage, read_image, read_vgpu
from engine.simulator.machine import Domain
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import (
    InternalError,
)
from schema.objects.halted import HALTED_VM
from schema.objects.network import LocalNetwork
from schema.objects.vif import Vif
from schema.objects.vm import (
    PowerState,
)
from schema.wire.codec import encode_text

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


def saved_image() -> tuple[Domain, bytes]:
    """A domain, and what it is on a disk."""
    simulator = Simulator(SimulatorSettings(memory_bytes=100))
    machine = start_sample(simulator)
    disk = DiskImage()
    simulator.vm.save(SuiteExecution(), machine, disk, live=False)
    domain = read_image(DiskImage(disk.content()), ID)
    return domain, disk.content()


def test_an_image_is_framed_as_the_original_frames_it() -> None:
    domain, content = saved_image()
    text = encode_text(Domain, domain).encode()
    memory = content[15 + 16 + len(text) + 16 : -16]
    assert len(memory) == 100
    assert content == b"".join(
        (
            b"XenSavedDomv2-\n",
            (0x0F).to_bytes(8, "little") + len(text).to_bytes(8, "little") + text,
            (0xF0).to_bytes(8, "little") + (100).to_bytes(8, "little") + memory,
            (0xFFFF).to_bytes(8, "little") + bytes(8),
        )
    )


def test_an_image_that_is_cut_off_anywhere_is_told() -> None:
    _, content = saved_image()
    for length in range(len(content)):
        error = refusal(read_image, DiskImage(content[:length]), "v1")
        assert isinstance(error, InternalError)
        assert "v1: its suspend image is damaged: it ends too early: End_of_file" in error.message


def test_a_byte_that_has_changed_outside_of_what_it_says_of_the_domain_is_told() -> None:
    domain, content = saved_image()
    text_length = len(encode_text(Domain, domain).encode())
    told = range(15 + 16, 15 + 16 + text_length)
    footer_length = range(len(content) - 8, len(content))
    for place in sorted(set(range(len(content))) - set(told) - set(footer_length)):
        damaged = bytearray(content)
        damaged[place] ^= 0x40
        assert isinstance(refusal(read_image, DiskImage(bytes(damaged)), "v1"), InternalError)


def record(kind: int, content: bytes = b"") -> bytes:
    return kind.to_bytes(8, "little") + len(content).to_bytes(8, "little") + content


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (record(0xFFFF), "Well formed, but useless stream"),
        (record(0x0E, b"x"), "Invalid_header_type"),
        (record(0xF00, b"x"), "QEMU_TRAD where XENOPS should be"),
        (record(0x0F, b"{}"), "damaged"),
        ((0x0F).to_bytes(8, "little") + b"\xff" * 8, "of -1 bytes is not possible"),
    ],
)
def test_records_that_make_no_image_are_told(records: bytes, words: str) -> None:
    assert words in str(refusal(read_image, DiskImage(b"XenSavedDomv2-\n" + records), "v1"))


def test_an_image_without_the_signature_is_told_in_the_original_s_words() -> None:
    error = refusal(read_image, DiskImage(b"QemuSavedDom--\n and more"), "v1")
    assert isinstance(error, InternalError)
    assert 'Not a valid signature: "QemuSavedDom--\n"' in error.message


def test_what_virtual_gpus_were_goes_beside_the_image() -> None:
    source, destination = Simulator(), Simulator()
    image, vgpu = DiskImage(), DiskImage()
    machine = start_sample(source)
    source.vm.save(SuiteExecution(), machine, image, live=True, vgpu=vgpu)
    destination.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
    here, beside = DiskImage(image.content()), DiskImage(vgpu.content())
    destination.vm.restore(SuiteExecution(), machine, Devices(), here, vgpu=beside)
    assert destination.vm.get_state(machine).power_state is PowerState.PAUSED
    damaged = DiskImage(vgpu.content()[:-1])
    assert "virtual GPU of VM v1" in str(refusal(read_vgpu, damaged, "v1"))
    assert "virtual GPU of VM v1" in str(refusal(read_vgpu, DiskImage(record(0x0F)), "v1"))
