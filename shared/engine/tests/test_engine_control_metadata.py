from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm, start_sample
from engine.control import Control, RequestContext
from engine.hooks import Hooks
from engine.perform.context import Context
from engine.perform.vms import perform_on_vm
from engine.simulator import Simulator, SimulatorSettings
from engine.store import FileStore
from schema import rpc
from schema.atomics.vm import VmImportMetadata, VmRemove
from schema.fault import XenopsError
from schema.ids import DeviceId, InstanceName, VmId
from schema.objects.disk import LocalDisk
from schema.objects.errors import BadPowerState, DeviceIsConnected, DoesNotExist, InternalError
from schema.objects.metadata import Metadata, parse_metadata
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, PowerState, Pv, PvDirectBoot, PvInfo
from schema.operations import VbdCheckState
from schema.wire.codec import encode_text
from traces import ObserverLog, Tracer

VM = VmId("v1")


class Alone:
    """A worker that executes nothing."""

    def has_arrived(self, vm: VmId) -> bool:
        return vm == "arrived"

    def is_rebooting(self, vm: VmId) -> bool:
        return not vm

    def is_leaving(self, vm: VmId) -> bool:
        return vm.startswith("leaving")

    def set_capacity(self, capacity: int) -> None:
        raise AssertionError(capacity)

    def cancel_next(self, dbg: str, point: int) -> None:
        raise AssertionError(dbg, point)

    def check(self, check: VbdCheckState) -> None:
        raise AssertionError(check)


class Host:
    """A simulated host, asked through its control door."""

    def __init__(self, directory: Path) -> None:
        self.backend = Simulator(SimulatorSettings())
        self.context = Context(FileStore(directory), self.backend, Hooks(directory / "hooks"), lambda _: None)
        self.bus = MemoryBus(MemoryBroker())
        self.tracer = Tracer("test", "i")
        observers = ObserverLog(self.bus, InstanceName("i"), self.tracer)
        self.control = Control(RequestContext(self.context, Alone(), observers, "i"))

    def ask(self, method: str, **params: Any) -> Any:
        answered = self.control.answer(rpc.encode_request(method, debug_info="d", **params))
        return rpc.decode_response(method, answered.body)

    def refusal(self, text: str) -> Any:
        with pytest.raises(XenopsError) as caught:
            self.take(parse_metadata(text))
        return caught.value.error

    def take(self, metadata: Metadata) -> VmId:
        """As a worker does it whose turn it is."""
        vm = VmId(metadata.vm.id)
        perform_on_vm(self.context, VmImportMetadata(vm=vm, metadata=metadata), SuiteExecution())
        return vm

    def exported(self) -> Metadata:
        return parse_metadata(self.ask("VM.export_metadata", id=VM))

    def power_state(self) -> PowerState:
        found: PowerState = self.ask("VM.stat", id=VM)[1].power_state
        return found

    def close(self) -> None:
        self.tracer.close()
        self.bus.close()


@pytest.fixture(name="hosts")
def make_hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    hosts = (Host(tmp_path / "one"), Host(tmp_path / "other"))
    yield hosts
    for host in hosts:
        host.close()


@pytest.fixture(name="host")
def first_of(hosts: tuple[Host, Host]) -> Host:
    return hosts[0]


def test_metadata_goes_out_and_comes_in_again(hosts: tuple[Host, Host]) -> None:
    host, other = hosts
    host.take(Metadata(vm=sample_vm(), vbds=(sample_vbd(),), pcis=(sample_pci(),)))
    start_sample(host.backend, host.context.vm(VM))
    exported = host.exported()
    assert exported.domains is not None
    other.take(Metadata(vm=sample_vm(), vbds=(sample_vbd("gone"),)))
    assert other.take(exported) == VM
    assert [vbd.id.device for vbd, _ in other.ask("VBD.list", id=VM)] == ["xvda"]
    assert [pci.id for pci, _ in other.ask("PCI.list", id=VM)] == [sample_pci().id]
    assert other.exported() == exported


def test_importing_again_what_was_exported_changes_nothing(host: Host) -> None:
    host.take(Metadata(vm=sample_vm(), vbds=(sample_vbd(),)))
    start_sample(host.backend, host.context.vm(VM))
    exported = host.exported()
    for _ in range(2):
        host.take(exported)
        assert host.exported() == exported
        assert host.power_state() is PowerState.PAUSED


def test_a_vm_that_has_no_domain_is_exported_without_one(host: Host) -> None:
    host.take(Metadata(vm=sample_vm()))
    assert host.exported().domains is None


def test_a_suspended_vm_is_suspended_on_the_host_that_imports_it(
    hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    host, other = hosts
    host.take(Metadata(vm=sample_vm()))
    vm = start_sample(host.backend, host.context.vm(VM))
    task = SuiteExecution()
    host.backend.vm.save(task, vm, LocalDisk(path=str(tmp_path / "image")), live=False)
    host.backend.vm.destroy(task, vm)
    assert host.power_state() is PowerState.SUSPENDED
    other.take(host.exported())
    assert other.power_state() is PowerState.SUSPENDED


def test_what_a_host_knows_of_a_vm_comes_in_too(hosts: tuple[Host, Host]) -> None:
    host, other = hosts
    host.take(Metadata(vm=sample_vm()))
    start_sample(host.backend, host.context.vm(VM))
    host.backend.vm.set_vcpus(SuiteExecution(), host.context.vm(VM), 3)
    other.take(host.exported())
    start_sample(other.backend, other.context.vm(VM))
    assert other.ask("VM.stat", id=VM)[1].vcpu_target == 3


def test_interfaces_that_come_without_an_address_get_one(host: Host) -> None:
    host.take(Metadata(vm=sample_vm(), vifs=(Vif(id=DeviceId("x", "0"), mac=""),)))
    assert len(host.context.store.devices(VM).vifs[0].mac) == 17


def test_a_running_vm_is_not_removed_and_an_unknown_one_is_told(host: Host) -> None:
    remove = VmRemove(vm=VM)
    with pytest.raises(XenopsError) as unknown:
        perform_on_vm(host.context, remove, SuiteExecution())
    assert unknown.value.error == DoesNotExist(klass="VM", id="v1/config")
    host.take(Metadata(vm=sample_vm()))
    start_sample(host.backend, host.context.vm(VM))
    with pytest.raises(XenopsError) as refused:
        perform_on_vm(host.context, remove, SuiteExecution())
    assert refused.value.error == BadPowerState(found=PowerState.PAUSED, expected=PowerState.HALTED)
    host.backend.vm.destroy(SuiteExecution(), host.context.vm(VM))
    perform_on_vm(host.context, remove, SuiteExecution())
    assert not host.context.store.exists(VM)


@pytest.mark.parametrize(
    ("given", "kept"), [("hda", "xvda"), ("hdc1", "xvdc1"), ("xvdb", "xvdb"), ("sda", "sda"), ("0", "0")]
)
def test_disks_of_guests_from_long_ago_get_the_names_of_today(host: Host, given: str, kept: str) -> None:
    host.take(Metadata(vm=sample_vm(), vbds=(sample_vbd(given),)))
    assert host.context.store.vbds.ids(VM) == (DeviceId(VM, kept),)


def test_devices_are_the_vms_that_they_come_with(host: Host) -> None:
    host.take(
        Metadata(vm=sample_vm(), vbds=(sample_vbd(vm="elsewhere"),), vifs=(Vif(id=DeviceId("x", "0")),))
    )
    devices = host.context.store.devices(VM)
    assert (devices.vbds[0].id, devices.vifs[0].id) == (DeviceId(VM, "xvda"), DeviceId(VM, "0"))


def test_a_plugged_device_that_is_left_out_is_named_and_nothing_changes(host: Host) -> None:
    host.take(Metadata(vm=sample_vm(), vbds=(sample_vbd(), sample_vbd("xvdb"))))
    vm = start_sample(host.backend, host.context.vm(VM))
    host.backend.vbd.attach(SuiteExecution(), VM, sample_vbd())
    host.backend.vbd.activate(SuiteExecution(), VM, sample_vbd())
    less = Metadata(vm=vm.model_copy(update={"name": "new"}))
    assert host.refusal(encode_text(Metadata, less)) == DeviceIsConnected()
    assert host.context.vm(VM).name == vm.name
    assert len(host.context.store.vbds.list(VM)) == 2
    host.take(Metadata(vm=vm, vbds=(sample_vbd(),)))
    assert len(host.context.store.vbds.list(VM)) == 1


def test_a_vm_that_names_its_cpu_features_keeps_them_and_another_gets_the_hosts(host: Host) -> None:
    host.take(Metadata(vm=sample_vm(platformdata=(("featureset", "mine"),))))
    assert host.context.vm(VM).platformdata == (("featureset", "mine"),)
    boot = DirectBoot(boot=PvDirectBoot(kernel="k"))
    for ty in (sample_vm().ty, Pv(info=PvInfo(boot=boot))):
        host.take(Metadata(vm=sample_vm(ty=ty, platformdata=(("acpi", "1"),))))
        assert [key for key, _ in host.context.vm(VM).platformdata] == ["featureset", "acpi"]


def test_metadata_that_is_none_is_refused_in_the_originals_words(host: Host) -> None:
    error = host.refusal("junk")
    assert error.message == "Yojson.Json_error(\"Line 1, bytes 0-4:\\nInvalid token 'junk'\")"
    error = host.refusal('{"vm":{}}')
    assert error.message.startswith("Unable to unmarshal metadata: ")
    damaged = Metadata(vm=sample_vm(), domains="{}")
    error = host.refusal(encode_text(Metadata, damaged))
    assert isinstance(error, InternalError)
    assert error.message.startswith("Failed to unmarshal Domain.t: ")
