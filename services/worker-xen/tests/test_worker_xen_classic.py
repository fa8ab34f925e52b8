"""What is noted of a VM on classic, and what a client is told of it."""

from pathlib import Path
from uuid import UUID

import pytest
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk, Vdi
from schema.objects.errors import (
    AlreadyExists,
    DoesNotExist,
    DomainNotBuilt,
    InternalError,
    NoBootableDevice,
    Unimplemented,
)
from schema.objects.halted import HALTED_VM
from schema.objects.vif import Vif
from schema.objects.vm import (
    ConsoleProtocol,
    DirectBoot,
    IndirectBoot,
    PowerState,
    Pv,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
    PvInfo,
    PvInPvh,
    Vm,
)
from worker_xen.classic.boot.bootloader import Booted, Bootloaders
from worker_xen.classic.content import Dom0Content
from worker_xen.classic.dom0 import LinuxDom0
from worker_xen.classic.features import combined, is_subset, words_of
from worker_xen.classic.kernel import kernel_of, refuse_unbootable
from worker_xen.classic.machine import Disk as NotedDisk
from worker_xen.classic.machine import (
    HeldPci,
    Machine,
    attached,
    created,
    destroyed,
    disk_path,
    nic_path,
    pci_path,
    plugged,
    resumed,
    saved,
    uuid_of,
    with_pci,
)
from worker_xen.classic.states import Said, action_request, vm_state
from worker_xen.libxc.values import DomainInfo, Kernel
from worker_xen.libxc.versions import complaint_about

VM = sample_vm(ty=Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot()))))
NOTHING = Machine(id="v1")
EMPTY = created(NOTHING, VM, 7.0)
BUILT = EMPTY.with_domain(domid=3, built=True)
INFO = DomainInfo(3, uuid_of("v1"), 100, 200, 0, is_paused=True)
NIC = Vif(id=DeviceId("v1", "0"), position=0)


def test_a_domain_that_is_renamed_goes_by_either_id() -> None:
    domain = EMPTY.living()
    assert domain.uuids == {domain.uuid}
    assert EMPTY.with_domain(renaming="another").living().uuids == {domain.uuid, "another"}


def test_a_domain_has_its_vms_id_where_that_is_one() -> None:
    text = "01234567-89ab-cdef-0123-456789abcdef"
    assert uuid_of(text) == UUID(text)
    assert uuid_of("v1") == uuid_of("v1") != uuid_of("v2")


def test_a_built_domain_is_not_made_again_and_an_empty_one_stays() -> None:
    assert created(EMPTY, VM, 8.0) is EMPTY
    assert refusal(lambda: created(BUILT, VM, 8.0)) == AlreadyExists(klass="domain", id="v1")


def test_what_needs_a_domain_says_that_there_is_none() -> None:
    assert refusal(NOTHING.living) == DoesNotExist(klass="domain", id="v1")
    assert refusal(EMPTY.built) == DomainNotBuilt()


def test_a_suspended_vm_stays_so_until_it_goes_on() -> None:
    suspended = saved(BUILT)
    assert vm_state(suspended, INFO, Said()).power_state is PowerState.SUSPENDED
    gone = destroyed(suspended)
    state = vm_state(gone, None, Said())
    assert (state.power_state, state.domids, state.vcpu_target) == (PowerState.SUSPENDED, (3,), 2)
    assert vm_state(resumed(suspended), INFO, Said()).power_state is PowerState.PAUSED


def test_a_vm_whose_domain_is_gone_is_halted() -> None:
    assert vm_state(BUILT, None, Said()) == HALTED_VM
    assert vm_state(NOTHING, None, Said()) == HALTED_VM


def test_a_vm_is_shown_as_xen_and_its_guest_tell() -> None:
    said = Said(
        "/dev/pts/0", (("attr/PVAddons/Installed", "1"),), (("vm-data/a", "b"),), is_uncooperative=True
    )
    state = vm_state(BUILT, INFO, said)
    assert (state.memory_actual, state.memory_limit, state.last_start_time) == (100, 200, 7.0)
    assert state.consoles[0].path == "/dev/pts/0"
    assert state.pv_drivers_detected
    assert state.uncooperative_balloon_driver


def test_a_screen_is_shown_before_the_text_console() -> None:
    consoles = vm_state(BUILT, INFO, Said("/dev/pts/0", screen="/run/vnc")).consoles
    assert [(console.protocol, console.path) for console in consoles] == [
        (ConsoleProtocol.RFB, "/run/vnc"),
        (ConsoleProtocol.VT100, "/dev/pts/0"),
    ]


@pytest.mark.parametrize(
    ("stopped", "action"),
    [
        (None, DomainAction.POWEROFF),
        (0, DomainAction.POWEROFF),
        (1, DomainAction.REBOOT),
        (2, DomainAction.SUSPEND),
        (3, DomainAction.CRASHDUMP),
        (4, DomainAction.CRASHDUMP),
        (5, DomainAction.SOFTRESET),
        (99, DomainAction.POWEROFF),
    ],
)
def test_a_domain_asks_by_how_it_stopped(stopped: int | None, action: DomainAction) -> None:
    info = DomainInfo(3, uuid_of("v1"), 0, 0, 0, stopped=stopped)
    assert action_request(BUILT.domain, info) is action


def test_a_disk_that_an_older_worker_noted_has_its_path() -> None:
    vbd = sample_vbd(backend=LocalDisk(path="/d"), extra_backend_keys=(("script", "block-x"),))
    old = NotedDisk(vbd=vbd, number=51712)
    assert (old.path, old.script) == ("/d", "block-x")
    assert old.holding(None).path is None
    now = old.holding(Vdi(name="sr/a"), source=Source(path="/dev/a", format="raw"))
    assert now.path == "/dev/a"


def test_what_storage_knows_a_domain_by_is_its_number() -> None:
    assert BUILT.living().owner == str(BUILT.living().domid)
    assert EMPTY.living().model_copy(update={"domid": None}).owner == EMPTY.id


def test_no_domain_asks_for_its_poweroff() -> None:
    assert action_request(None, INFO) is DomainAction.POWEROFF
    assert action_request(BUILT.domain, None) is DomainAction.POWEROFF


def test_a_disk_has_a_place_of_its_own() -> None:
    vbd = sample_vbd(position=(BusType.XEN, 0, 0), backend=LocalDisk(path="/d"))
    machine = attached(BUILT, vbd, None)
    assert attached(machine, vbd, None) is machine
    other = sample_vbd("xvdb", position=(BusType.XEN, 0, 0))
    assert refusal(lambda: attached(machine, other, None)) == AlreadyExists(klass="vbd", id="Xen(0, 0)")
    free = attached(machine, sample_vbd("xvdc"), None)
    found = free.disk(DeviceId("v1", "xvdc"))
    assert found is not None
    assert found.vbd.position == (BusType.XEN, 1, 0)
    assert disk_path(3, found).frontend == "/local/domain/3/device/vbd/51728"
    wrong = sample_vbd("xvdd", position=(BusType.IDE, 9, 0))
    assert isinstance(refusal(lambda: attached(machine, wrong, None)), InternalError)


def test_an_interface_has_a_place_of_its_own() -> None:
    machine = plugged(BUILT, NIC)
    assert plugged(machine, NIC) is machine
    other = Vif(id=DeviceId("v1", "1"), position=0)
    assert refusal(lambda: plugged(machine, other)) == AlreadyExists(klass="vif", id="0")
    far = Vif(id=DeviceId("v1", "2"), position=256)
    assert isinstance(refusal(lambda: plugged(machine, far)), InternalError)
    found = machine.nic(NIC.id)
    assert found is not None
    assert nic_path(3, found).bus_name == "vif-3-0"


def test_two_cpu_policies_have_in_common_what_both_can() -> None:
    assert words_of((0x17CBFBFF, 1)) == "17cbfbff-00000001"
    assert combined("ff-0f", "0f") == "0000000f-00000000"
    assert is_subset("0f", "ff-01")
    assert not is_subset("ff", "0f")
    assert is_subset("", "0f")
    with pytest.raises(ValueError, match="more than 32 bits"):
        combined("1ffffffff", "1")


def test_xen_of_another_time_is_refused_in_words() -> None:
    assert complaint_about((4, 14)) is complaint_about((4, 19)) is None
    for version in ((4, 13), (4, 20), (5, 0)):
        assert "knows 4.14 to 4.19" in (complaint_about(version) or "")


def test_pci_devices_are_numbered_in_the_order_in_which_they_come() -> None:
    first = HeldPci(pci=sample_pci("v1"), slot=EMPTY.living().next_slot())
    held = with_pci(EMPTY, first, there=True)
    assert held.pci(first.id) == first
    assert held.living().next_slot() == 1
    assert with_pci(held, first, there=False).living().pcis == ()
    assert with_pci(NOTHING, first, there=True) is NOTHING
    assert NOTHING.pci(first.id) is None
    assert pci_path(7).backend == "/local/domain/0/backend/pci/7/0"


def vm_with(ty: object) -> Vm:
    return sample_vm(ty=ty)


def booted(vm: Vm) -> Booted:
    with kernel_of(vm, 7, Bootloaders(LinuxDom0(), Dom0Content(LinuxDom0())), SuiteExecution()) as found:
        return found


def test_a_kernel_is_named_with_all_that_it_boots_with(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("")
    (tmp_path / "r").write_text("")
    boot = PvDirectBoot(kernel=str(tmp_path / "k"), ramdisk=str(tmp_path / "r"), cmdline="quiet")
    info = PvInfo(boot=DirectBoot(boot=boot))
    for ty in (Pv(info=info), Pvh(info=info)):
        assert booted(vm_with(ty)) == Booted(Kernel(boot.kernel, boot.ramdisk, "quiet"))


@pytest.mark.parametrize(
    ("ty", "what"),
    [
        (PvInPvh(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot()))), "of a PV guest in PVH"),
        (PvInPvh(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot()))), "of a PV guest in PVH"),
    ],
)
def test_a_guest_that_classic_cannot_boot_is_named(ty: object, what: str) -> None:
    error = refusal(lambda: refuse_unbootable(vm_with(ty)))
    assert error == Unimplemented(what=f"VM.start {what} on classic")
    assert refusal(lambda: booted(vm_with(ty))) == error


@pytest.mark.parametrize("ty", [Pv, Pvh])
def test_who_boots_by_a_bootloader_has_a_disk_for_it(ty: type[Pv] | type[Pvh]) -> None:
    def vm_from(*disks: Disk) -> Vm:
        return vm_with(ty(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot(devices=disks)))))

    refuse_unbootable(vm_from(LocalDisk(path="/nonesuch"), Vdi(name="sr/vdi")))
    assert refusal(lambda: refuse_unbootable(vm_from())) == NoBootableDevice()
    refuse_unbootable(vm_from(Vdi(name="sr/vdi")))


@pytest.mark.parametrize(("path", "reason"), [("/nonesuch", "it is no file"), ("\0", "it is no file")])
def test_a_kernel_that_is_missing_is_named(path: str, reason: str) -> None:
    info = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel=path)))
    error = refusal(lambda: refuse_unbootable(vm_with(Pv(info=info))))
    assert isinstance(error, InternalError)
    assert reason in error.message
