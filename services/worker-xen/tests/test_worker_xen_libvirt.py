"""Xen by libvirt, with a libvirt in hand: all that every backend must, and what libvirt makes special."""

import itertools
import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject, SuiteExecution
from engine.conformance.samples import sample_vm
from engine.conformance.subject import Life, make_life, refusal
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk, Vdi
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import (
    AlreadyExists,
    FailedToAcknowledgeSuspendRequest,
    InternalError,
    NotEnoughMemory,
    Unimplemented,
)
from schema.objects.network import LocalNetwork
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    PowerState,
    Pv,
    PvDirectBoot,
    PvInfo,
    SchedulerParams,
    Vm,
)
from typing_extensions import override
from virt.values import DomainStatus, How, Paused, VirtGoneError
from virt_in_hand import STREAM, NodesInHand, Room, VirtInHand
from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings
from worker_xen.libvirt.stream import head
from worker_xen.xenlight import bridging

UUID = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"
UNSUPPORTED = frozenset(
    {
        *("HOST.combine_cpu_policies", "HOST.console_data", "HOST.is_compatible", "HOST.send_debug_keys"),
        *("HOST.update_guest_agent_features", "PCI.plug", "VGPU.set_active", "VGPU.start"),
        *("VIF.set_ipv4_configuration", "VIF.set_locking_mode", "VIF.set_trunks", "VM.get_internal_state"),
        *("VM.request_rdp", "VM.run_script", "VM.s3resume", "VM.s3suspend", "VM.set_internal_state"),
        *("VM.set_shadow_multiplier", "VM.soft_reset", "VUSB.plug"),
    }
)


class InHand(Subject):
    """A host with one bridge, and a kernel."""

    unsupported = UNSUPPORTED
    keeps_domid = False

    def __init__(self, directory: Path) -> None:
        self.room = Room()
        self.nodes = NodesInHand(self.room)
        self.directory = directory
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        self._numbers = itertools.count()
        (directory / "kernel").touch()
        for bridge in ("xenbr0", "xenbr1"):
            (directory / "net" / bridge / "bridge").mkdir(parents=True)
        self.open()

    def open(self) -> None:
        settings = LibvirtSettings(self.directory / "run", "xen:///", "i")
        self.hypervisor = Hypervisor(settings, self.room.connect, self.nodes)
        self.backend = Libvirt(self.hypervisor)
        self.backend.start(self.changes.put)

    def close(self) -> None:
        """As the worker's end does; what happens meanwhile, nobody hears."""
        if self.room.listener is not None:
            self.backend.stop()

    @override
    def reopen(self) -> None:
        self.close()
        self.open()

    @override
    def make_vm(self) -> Vm:
        boot = DirectBoot(boot=PvDirectBoot(kernel=str(self.directory / "kernel")))
        ty = Pv(info=PvInfo(boot=boot, framebuffer=False))
        return sample_vm(f"vm-{next(self._numbers)}", ty=ty, vcpus=1, vcpu_max=2)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, position=(BusType.XEN, number, 0), backend=self._disk())

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, ty=VbdType.CDROM, mode=VbdMode.READ_ONLY, backend=self._disk())

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        mac, network = f"00:16:3e:00:00:0{number}", LocalNetwork(bridge="xenbr0")
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=mac, backend=network)

    @override
    def make_image(self) -> Disk:
        return LocalDisk(path=str(self.directory / f"image-{next(self._numbers)}"))

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)

    def _disk(self) -> LocalDisk:
        path = self.directory / f"disk-{next(self._numbers)}"
        path.touch()
        return LocalDisk(path=str(path))

    def told(self) -> ObjectId:
        return self.changes.get(timeout=30.0)

    def virt(self) -> VirtInHand:
        assert isinstance(self.hypervisor.virt, VirtInHand)
        return self.hypervisor.virt


@pytest.fixture(name="subject")
def make_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InHand]:
    monkeypatch.setattr(bridging, "_INTERFACES", tmp_path / "net")
    subject = InHand(tmp_path)
    yield subject
    subject.close()


class TestLibvirt(BackendConformance):
    """The suite."""


@pytest.fixture(name="life")
def start_life(subject: InHand) -> Life:
    """A VM that runs."""
    life = make_life(subject)
    life.start()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    return life


@pytest.mark.parametrize(
    ("how", "said", "asked"),
    [
        (How.SHUT_DOWN, "on_reboot", DomainAction.REBOOT),
        (How.SHUT_DOWN, "on_poweroff", DomainAction.POWEROFF),
        (How.CRASHED, "on_crash", DomainAction.CRASHDUMP),
    ],
)
@pytest.mark.parametrize("heard", [True, False])
def test_what_a_guest_that_ends_wants_is_known(
    subject: InHand, life: Life, how: How, said: str, asked: DomainAction, *, heard: bool
) -> None:
    if not heard:
        subject.close()
    subject.room.end(subject.room.only().uuid, how, said)
    if heard:
        assert subject.told() == VmObject(id=life.vm.id)
    else:
        subject.reopen()
    assert subject.backend.vm.get_domain_action_request(life.vm) is asked
    is_gone = asked is DomainAction.POWEROFF
    expected = PowerState.HALTED if is_gone else PowerState.RUNNING
    assert subject.backend.vm.get_state(life.vm).power_state is expected
    life.stop()
    assert not subject.room.domains


def test_a_guest_that_libvirt_is_about_to_destroy_has_not_ended_yet(
    subject: InHand, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.room.only().status, subject.room.only().how = DomainStatus.ENDED, How.SHUT_DOWN
    monkeypatch.setattr(VirtInHand, "is_busy", lambda *_: True)
    assert subject.backend.vm.get_domain_action_request(life.vm) is None
    monkeypatch.undo()
    assert subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.REBOOT


def test_what_we_do_is_no_news_and_what_others_do_is(subject: InHand, life: Life) -> None:
    subject.backend.vm.pause(SuiteExecution(), life.vm)
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    subject.backend.vm.save(SuiteExecution(), life.vm, subject.make_image(), live=False)
    subject.backend.vm.resume(SuiteExecution(), life.vm)
    uuid = subject.room.only().uuid
    subject.room.tell(Paused(uuid))
    subject.room.tell(Paused(uuid))
    assert subject.told() == VmObject(id=life.vm.id)
    life.stop()
    subject.close()
    assert subject.changes.empty()


def test_a_strangers_domain_is_never_touched(subject: InHand) -> None:
    subject.room.stranger(UUID)
    life = make_life(subject)
    life = Life(subject, life.vm.model_copy(update={"id": UUID}), life.devices)
    error = refusal(life.start)
    assert error == AlreadyExists(klass="domain", id=UUID)
    life.stop()
    assert list(subject.room.domains) == [UUID]


def test_a_domain_that_took_the_place_of_ours_is_a_strangers(subject: InHand, life: Life) -> None:
    uuid = subject.room.only().uuid
    subject.close()
    subject.room.domains.clear()
    subject.room.stranger(uuid)
    subject.reopen()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.HALTED
    life.stop()
    assert list(subject.room.domains) == [uuid]


def test_a_start_that_a_worker_died_in_leaves_nothing(subject: InHand, life: Life) -> None:
    subject.hypervisor.change(life.vm.id, lambda machine: machine.with_domain(is_launching=True, domid=None))
    subject.reopen()
    assert not subject.room.domains


def test_a_domain_of_ours_that_is_noted_nowhere_is_told(
    subject: InHand, life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    subject.hypervisor.remove(life.vm.id)
    subject.reopen()
    assert "is not known here: it is left alone" in caplog.text
    assert len(subject.room.domains) == 1


@pytest.mark.parametrize(
    ("stream", "is_there", "power_state"),
    [
        (STREAM, False, PowerState.SUSPENDED),
        (STREAM[:-1], False, PowerState.HALTED),
        (None, False, PowerState.HALTED),
        (STREAM[:-1], True, PowerState.RUNNING),
    ],
    ids=["saved", "ended", "ended before", "failed"],
)
def test_a_save_that_a_worker_died_in_comes_to_its_end(
    subject: InHand, life: Life, stream: bytes | None, power_state: PowerState, *, is_there: bool
) -> None:
    image = subject.directory / "image"
    subject.hypervisor.change(life.vm.id, lambda machine: machine.with_domain(saving=str(image)))
    subject.close()
    if stream is not None:
        image.write_bytes(head("<domain/>") + stream)
    if not is_there:
        subject.room.domains.clear()
    subject.reopen()
    assert subject.backend.vm.get_state(life.vm).power_state is power_state
    assert image.exists() == (power_state is PowerState.SUSPENDED)


def test_a_save_that_was_under_way_when_a_worker_died_is_waited_for(
    subject: InHand, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = subject.directory / "image"
    subject.hypervisor.change(life.vm.id, lambda machine: machine.with_domain(saving=str(image)))
    uuid = subject.room.only().uuid
    subject.close()
    monkeypatch.setattr(VirtInHand, "is_busy", lambda *_: True)
    subject.reopen()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.RUNNING
    monkeypatch.undo()
    subject.virt().save(uuid, str(image))
    assert subject.told() == VmObject(id=life.vm.id)
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.SUSPENDED


def test_a_save_that_fails_leaves_no_image(subject: InHand, life: Life) -> None:
    subject.virt().on_save = STREAM[:-1]
    image = subject.make_image()
    assert "Cannot suspend" in words(
        lambda: subject.backend.vm.save(SuiteExecution(), life.vm, image, live=False)
    )
    assert isinstance(image, LocalDisk)
    assert not Path(image.path).exists()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.RUNNING


def test_what_cannot_be_saved_is_told(subject: InHand, life: Life) -> None:
    save = subject.backend.vm.save
    for image in (Vdi(name="v"), LocalDisk(path=str(subject.directory))):
        error = refusal(lambda image=image: save(SuiteExecution(), life.vm, image, live=False))
        assert isinstance(error, Unimplemented)
    subject.backend.vm.pause(SuiteExecution(), life.vm)
    error = refusal(lambda: save(SuiteExecution(), life.vm, subject.make_image(), live=False))
    assert error == FailedToAcknowledgeSuspendRequest()


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"x" + whole[1:]])
def test_a_damaged_image_is_none(subject: InHand, life: Life, damage: Callable[[bytes], bytes]) -> None:
    image = subject.directory / "image"
    disk = LocalDisk(path=str(image))
    subject.backend.vm.save(SuiteExecution(), life.vm, disk, live=False)
    life.stop()
    image.write_bytes(damage(image.read_bytes()))
    life.start_steps()[0](SuiteExecution())
    assert "damaged" in words(
        lambda: subject.backend.vm.restore(SuiteExecution(), life.vm, life.devices, disk)
    )
    life.stop()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.SUSPENDED


def test_a_resumed_vm_has_the_devices_of_now(subject: InHand, life: Life) -> None:
    disk = subject.make_image()
    subject.backend.vm.save(SuiteExecution(), life.vm, disk, live=False)
    life.stop()
    moved = life.devices.vifs[0].model_copy(update={"backend": LocalNetwork(bridge="xenbr1")})
    life.start_steps()[0](SuiteExecution())
    devices = type(life.devices)(vbds=life.devices.vbds, vifs=(moved,))
    subject.backend.vm.restore(SuiteExecution(), life.vm, devices, disk)
    found = subject.room.only().document.find("devices/interface/source")
    assert found is not None
    assert found.get("bridge") == "xenbr1"


def test_an_interface_has_the_name_that_xen_s_scripts_take_its_domain_from(subject: InHand) -> None:
    """Under another name they write into xenstore what nobody removes."""
    life = make_life(subject)
    life.start()
    subject.backend.vif.plug(SuiteExecution(), life.id, later := subject.make_vif(life.vm, 1))
    ends = [subject.backend.vif.get_state(life.id, vif).device for vif in (*life.devices.vifs, later)]
    assert ends == ["vif1.0", "vif1.1"]
    assert subject.room.only().document.find("devices/interface/target") is None


def test_what_the_host_has_no_memory_for_is_told_in_figures(subject: InHand) -> None:
    subject.room.free_bytes = 0
    life = make_life(subject)
    error = refusal(life.start)
    assert isinstance(error, NotEnoughMemory)
    assert error.needed_bytes >= life.vm.memory_static_max


def test_what_documents_do_not_say_is_told_otherwise(subject: InHand) -> None:
    params = SchedulerParams(priority=(512, 50), affinity=())
    vm = subject.make_vm().model_copy(update={"scheduler_params": params, "xsdata": (("vm-data/a", "b"),)})
    vif = subject.make_vif(vm, 0).model_copy(update={"carrier": False})
    life = make_life(subject)
    life = Life(subject, vm, type(life.devices)(vifs=(vif,)))
    life.start()
    assert subject.room.scheduled == [(512, 50)]
    assert subject.nodes.written == {subject.room.only().number: {"vm-data/a": "b"}}
    assert subject.backend.vif.get_state(life.id, vif).media_present is False


def test_a_guest_with_a_device_model_has_its_media_changed_in_place(subject: InHand) -> None:
    vm = subject.make_vm().model_copy(update={"ty": Hvm(info=HvmInfo())})
    drive = subject.make_cd(vm, 0)
    life = Life(subject, vm, type(make_life(subject).devices)(vbds=(drive,)))
    life.start()
    subject.backend.vbd.eject(SuiteExecution(), life.id, drive)
    assert subject.room.only().document.find("devices/disk/source") is None
    assert drive.backend is not None
    subject.backend.vbd.insert(SuiteExecution(), life.id, drive, drive.backend)
    assert subject.room.only().document.find("devices/disk/source") is not None


def test_what_a_worker_before_us_has_plugged_is_not_plugged_again(subject: InHand, life: Life) -> None:
    vbd = life.devices.vbds[0]
    before = len(subject.room.only().devices)
    noted = subject.hypervisor.look(life.vm.id)
    disk = noted.living().disks[0].model_copy(update={"activated": False})
    subject.hypervisor.change(life.vm.id, lambda machine: machine.with_domain(disks=(disk,)))
    subject.backend.vbd.activate(SuiteExecution(), life.id, vbd)
    assert len(subject.room.only().devices) == before


def test_without_libvirt_verbs_say_so_and_later_all_is_looked_at(subject: InHand, life: Life) -> None:
    subject.room.is_away = True
    assert "is not reached" in words(lambda: subject.backend.vm.pause(SuiteExecution(), life.vm))
    subject.room.is_away = False
    subject.hypervisor.on_connected()
    assert subject.told() == VmObject(id=life.vm.id)
    subject.room.is_away = True
    subject.close()
    with pytest.raises(VirtGoneError):
        subject.reopen()
    subject.room.is_away = False
    subject.reopen()


def words(call: Callable[[], None]) -> str:
    error = refusal(call)
    assert isinstance(error, InternalError)
    return error.message
