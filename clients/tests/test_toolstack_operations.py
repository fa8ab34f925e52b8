"""XenAPI's operations: what xenops is asked for, in which order, and what is in the database afterwards."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake_hypervisor import HALTED, PAUSED, RUNS, UUID, Hypervisor
from fake_instance import FakeInstance
from schema.objects.dynamic import PciObject, VbdObject, VgpuObject, VmObject, VusbObject
from schema.objects.metadata import Metadata
from schema.objects.task import Failed
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId
from typing_extensions import override
from xenops import Client
from xenops.calls.vm import Destination
from xenops.toolstack import MemoryDatabase, Residency, Site, Toolstack, XenApiFailure, start_vm
from xenops.toolstack.records import NULL
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, suspend_ref, vbd_ref, vm_ref
from xenops.toolstack.tasks import Silent

VM = vm_ref(1)


class Ended(Silent):
    """A caller's task that notes its end."""

    def __init__(self) -> None:
        self.end: list[Any] = []

    @override
    def completed(self, result: Any) -> None:
        self.end.append("completed")

    @override
    def failed(self, error: Exception) -> None:
        self.end.append(error)


@pytest.fixture
def instance() -> FakeInstance:
    return FakeInstance()


@pytest.fixture
def hypervisor(instance: FakeInstance) -> Hypervisor:
    return Hypervisor(instance)


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1))
    return database


@pytest.fixture
def toolstack(
    instance: FakeInstance, hypervisor: Hypervisor, database: MemoryDatabase
) -> Iterator[Toolstack]:
    assert hypervisor.metadata is None
    with Toolstack(Client(instance, "i", dbg="test"), database, Site(host=HOST)) as toolstack:
        yield toolstack
    instance.tell(VmObject(id="end"))


def test_a_vm_starts_by_its_records(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance
) -> None:
    task = Ended()
    toolstack.start(VM, task=task)
    assert hypervisor.asked == ["VM.import_metadata", "VM.start  False", "VM.unpause "]
    vm = database.fields("VM", VM)
    assert (vm["power_state"], vm["domid"], vm["resident_on"]) == ("Running", "7", HOST)
    assert (vm["current_operations"], task.end) == ({}, ["completed"])
    assert database.fields("VBD", vbd_ref(1))["device"] == "xvda"
    assert hypervisor.known().vbds[1].backend is None
    assert instance.tasks == {}


def test_a_vm_may_be_left_paused_and_an_empty_drive_behind(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    pv = {"domain_type": "pv", "PV_kernel": "/var/lib/xcp/guest/k", "generation_id": "0:0"}
    database.update("VM", VM, pv)
    toolstack.start(VM, paused=True, force=True)
    assert hypervisor.asked[1:] == ["VM.start  True"]
    assert database.fields("VM", VM)["power_state"] == "Paused"
    assert not database.fields("VBD", cd_ref(1))["currently_attached"]
    assert database.fields("VM", VM)["generation_id"] != "0:0"
    assert hypervisor.known().vm.generation_id == database.fields("VM", VM)["generation_id"]


def test_a_start_that_fails_says_why_and_leaves_the_vm_halted(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance
) -> None:
    hypervisor.failure = Failed(error=["Not_enough_memory", 5])
    task = Ended()
    with pytest.raises(XenApiFailure, match="INTERNAL_ERROR: 5 bytes of memory") as raised:
        toolstack.start(VM, task=task)
    assert task.end == [raised.value]
    vm = database.fields("VM", VM)
    assert (vm["power_state"], vm["resident_on"], vm["current_operations"]) == ("Halted", NULL, {})
    assert "start" in vm["allowed_operations"]
    assert (hypervisor.metadata, instance.tasks) == (None, {})


def test_a_record_that_makes_no_sense_is_refused_before_anything_is_asked(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    database.update("VM", VM, {"domain_type": "unspecified"})
    with pytest.raises(XenApiFailure, match="unspecified domain type"):
        toolstack.start(VM)
    assert hypervisor.asked == []
    assert database.fields("VM", VM)["resident_on"] == NULL
    assert not database.fields("VBD", vbd_ref(1))["currently_attached"]


def test_a_life_with_a_sleep(toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase) -> None:
    toolstack.start(VM)
    hypervisor.asked.clear()
    toolstack.pause(VM)
    toolstack.unpause(VM)
    toolstack.reboot(VM, 5.0)
    toolstack.suspend(VM, suspend_ref(1))
    suspended = database.fields("VM", VM)
    assert (suspended["power_state"], suspended["suspend_VDI"]) == ("Suspended", suspend_ref(1))
    toolstack.resume(VM)
    assert database.fields("VM", VM)["suspend_VDI"] == NULL
    toolstack.shutdown(VM, 9.0)
    disk = f"{database.fields('SR', 'OpaqueRef:sr')['uuid']}/suspend1"
    assert [one for one in hypervisor.asked if one != "VBD.remove"] == [
        "VM.pause ",
        "VM.unpause ",
        "VM.import_metadata",
        "VM.reboot  5.0",
        f"VM.suspend  {disk}",
        "VM.remove",
        "VM.import_metadata",
        f"VM.resume  {disk}",
        "VM.unpause ",
        "VM.shutdown  9.0",
        "VM.remove",
    ]
    assert (database.fields("VM", VM)["power_state"], hypervisor.metadata) == ("Halted", None)
    assert toolstack.suspend_space(VM) > 256 << 20


def test_what_xenops_alone_knows_of_a_suspended_vm_comes_back_with_it(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    hypervisor.metadata = hypervisor.known().model_copy(update={"domains": "(state)"})
    toolstack.suspend(VM, suspend_ref(1))
    assert database.fields("VM", VM)["last_booted_record"] == "(state)"
    toolstack.resume(VM, paused=True)
    assert (hypervisor.known().domains, hypervisor.state) == ("(state)", PAUSED)


def test_a_suspend_that_fails_leaves_the_vm_as_it_was(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    hypervisor.failure = Failed(error="IO_error")
    with pytest.raises(XenApiFailure, match="VDI_IO_ERROR"):
        toolstack.suspend(VM, suspend_ref(1))
    vm = database.fields("VM", VM)
    assert (vm["power_state"], vm["suspend_VDI"]) == ("Running", NULL)


def test_a_resume_that_fails_leaves_the_vm_suspended(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    toolstack.suspend(VM, suspend_ref(1))
    hypervisor.failure = Failed(error="IO_error")
    with pytest.raises(XenApiFailure):
        toolstack.resume(VM)
    vm = database.fields("VM", VM)
    assert (vm["power_state"], vm["suspend_VDI"]) == ("Suspended", suspend_ref(1))
    assert hypervisor.metadata is None


def test_what_cannot_be_is_refused(toolstack: Toolstack, database: MemoryDatabase) -> None:
    with pytest.raises(XenApiFailure, match="VM_HAS_NO_SUSPEND_VDI"):
        toolstack.resume(VM)
    database.update("VDI", suspend_ref(1), {"SR": NULL})
    with pytest.raises(XenApiFailure, match="HANDLE_INVALID: SR"):
        toolstack.suspend(VM, suspend_ref(1))


def test_an_operation_that_does_not_do_what_it_says_is_noticed(
    toolstack: Toolstack, hypervisor: Hypervisor, instance: FakeInstance
) -> None:
    toolstack.start(VM)
    instance.answers["VM.pause"] = lambda **_: hypervisor.task(lambda: None)
    with pytest.raises(XenApiFailure, match="Paused, Running"):
        toolstack.pause(VM)


def test_a_vm_that_migrates_is_resident_where_it_went(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    toolstack.migrate(VM, Destination("https://there/"), "OpaqueRef:there")
    assert database.fields("VM", VM)["resident_on"] == "OpaqueRef:there"
    hypervisor.become(PAUSED)
    toolstack.watcher.seen(UUID).result(60)
    assert database.fields("VM", VM)["power_state"] == "Running"
    toolstack.take_up(VM)
    assert database.fields("VM", VM)["power_state"] == "Paused"
    hypervisor.metadata = None
    toolstack.migrate(VM, Destination("https://there/"), "OpaqueRef:there")


def test_changes_of_records_reach_a_vm_that_xenops_knows(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance
) -> None:
    toolstack.push_changes(VM)
    assert hypervisor.asked == []
    toolstack.start(VM)
    database.update("VM", VM, {"name_label": "renamed"})
    toolstack.push_changes(VM)
    assert hypervisor.known().vm.name == "renamed"
    assert instance.tasks == {}


def test_a_vm_that_is_elsewhere_or_unknown_is_none_of_ours(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance
) -> None:
    hypervisor.take(encode_text(Metadata, toolstack.metadata(VM)))
    hypervisor.become(RUNS)
    instance.tell(VmObject(id="nobody"), VbdObject(id=DeviceId("nobody", "xvda")))
    toolstack.watcher.seen(UUID).result(60)
    assert database.fields("VM", VM)["power_state"] == "Halted"


def test_devices_that_xenops_does_not_know_any_more_change_nothing(
    toolstack: Toolstack, database: MemoryDatabase, instance: FakeInstance
) -> None:
    toolstack.start(VM)
    kinds = (PciObject, VgpuObject, VusbObject)
    instance.tell(*(kind(id=DeviceId(UUID, "0")) for kind in kinds))
    before = database.fields("VM", VM)
    toolstack.watcher.seen(UUID).result(60)
    assert database.fields("VM", VM) == before


def test_a_device_that_is_unplugged_is_forgotten(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    hypervisor.attached = False
    hypervisor.tell()
    toolstack.watcher.seen(UUID).result(60)
    assert not database.fields("VBD", vbd_ref(1))["currently_attached"]
    assert "VBD.remove" in hypervisor.asked


def test_a_vm_that_vanishes_is_halted(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase
) -> None:
    toolstack.start(VM)
    hypervisor.metadata = None
    hypervisor.tell()
    toolstack.watcher.seen(UUID).result(60)
    vm = database.fields("VM", VM)
    assert (vm["power_state"], vm["resident_on"]) == ("Halted", NULL)


def test_orphans_of_an_earlier_life_are_cleaned_up(toolstack: Toolstack, instance: FakeInstance) -> None:
    instance.task("97")
    instance.task("98")
    waiting = toolstack.watcher.task_ended("98")
    assert toolstack.clean_up_orphans("test") == ("97",)
    assert not waiting.done()


@pytest.mark.usefixtures("hypervisor")
def test_one_call_starts_one_vm(instance: FakeInstance) -> None:
    records = {**sample_pool(), **sample_vm(1)}
    started = start_vm(Client(instance, "i"), VM, records)
    assert started["VM"][VM]["power_state"] == "Running"
    assert set(started) == set(records)
    instance.tell(VmObject(id="end"))


def test_after_a_restart_records_and_xenops_agree_on_which_vms_are_here(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance
) -> None:
    hypervisor.take(encode_text(Metadata, toolstack.metadata(VM)))
    hypervisor.become(RUNS)
    database.add(sample_vm(2, resident_on=HOST, power_state="Running"))
    ours = hypervisor.stat(UUID)
    stranger = (ours[0].model_copy(update={"id": "stranger"}), ours[1])
    instance.answers["VM.list"] = lambda: (ours, stranger)
    lost = str(database.fields("VM", vm_ref(2))["uuid"])
    assert toolstack.agree() == Residency(("stranger",), (UUID,), (lost,))
    assert database.fields("VM", VM)["power_state"] == "Running"
    assert database.fields("VM", VM)["resident_on"] == HOST
    assert database.fields("VM", vm_ref(2))["power_state"] == "Halted"
    assert "VM.remove" not in hypervisor.asked


@pytest.mark.parametrize("state", [RUNS, HALTED])
def test_strangers_are_ended_on_demand(
    toolstack: Toolstack, hypervisor: Hypervisor, database: MemoryDatabase, instance: FakeInstance, state: Any
) -> None:
    hypervisor.take(encode_text(Metadata, toolstack.metadata(VM)))
    hypervisor.become(state)
    database.update("VM", VM, {"resident_on": "OpaqueRef:elsewhere", "power_state": "Running"})
    instance.answers["VM.list"] = lambda: (hypervisor.stat(UUID),)
    assert toolstack.agree(terminate=True) == Residency((UUID,), (), ())
    assert ("VM.shutdown  None" in hypervisor.asked) == (state is RUNS)
    assert hypervisor.asked[-1] == "VM.remove"
    assert database.fields("VM", VM)["power_state"] == "Running"
