"""Xen by libvirt, with a libvirt in hand: all that every backend must, and what libvirt makes special."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from libvirt_in_hand import InHand, running, words
from schema.atomics.vm import DomainAction
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.dynamic import VmObject
from schema.objects.errors import (
    AlreadyExists,
    FailedToAcknowledgeSuspendRequest,
    NotEnoughMemory,
    Unimplemented,
)
from schema.objects.network import LocalNetwork
from schema.objects.vm import (
    Hvm,
    HvmInfo,
    PowerState,
    SchedulerParams,
)
from virt.seal import check_seal, seal
from virt.values import DomainStatus, Ended, How, Paused, VirtGoneError
from virt_in_hand import STREAM, VirtInHand
from worker_xen.libvirt import suspend
from worker_xen.libvirt.stream import head
from worker_xen.xenlight import bridging

UUID = "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"


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
    return running(subject)


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


def test_a_save_whose_end_is_told_before_it_is_noted_is_no_news(
    subject: InHand, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one would be told that all is saved already, and write nothing."""
    uuid, image = subject.room.only().uuid, LocalDisk(path=str(subject.directory / "image"))

    def seal_later(path: Path) -> None:
        subject.room.tell(Ended(uuid, How.SAVED))
        seal(path)

    monkeypatch.setattr(suspend, "seal", seal_later)
    subject.backend.vm.save(SuiteExecution(), life.vm, image, live=False)
    subject.close()
    assert subject.changes.empty()
    subject.reopen()
    assert subject.backend.vm.get_state(life.vm).power_state is PowerState.SUSPENDED
    check_seal(life.vm.id, Path(image.path))


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
