"""Disks of a storage service on classic: what the service hears, what the guest's end has, what is left."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, refusal
from engine.hosted.storage.service import StorageService
from engine.image import SIGNATURE
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.errors import InternalError, StorageBackendError, Unimplemented
from schema.objects.vbd import Vbd
from schema.objects.vm import IndirectBoot, PowerState, Pv, PvIndirectBoot, PvInfo
from storage_server import QUEUE, Storage
from test_classic_bootloader import write_program
from test_classic_conformance import ClassicSubject, standing

MIB = 1 << 20
FULL: list[object] = ["Backend_error", ["SR_BACKEND_FAILURE_44", ["", "There is insufficient space", ""]]]


class Served:
    """A VM on a host whose disks named `SR/VDI` are of a service, which is asked over a bus."""

    def __init__(self, directory: Path, standing_on: Callable[[StorageService], ClassicSubject]) -> None:
        broker = MemoryBroker()
        self._asking, self._serving = MemoryBus(broker), MemoryBus(broker)
        self.server = Storage(directory)
        self._serving.serve(QUEUE, self._answer)
        self._serving.ready(10.0)
        self.subject = standing_on(StorageService(self._asking, QUEUE, takes_nbd=False))
        self.vm = self.subject.make_vm()

    def _answer(self, request: Request) -> None:
        answer = Request(self.server.perform(request.body), correlation_id=request.correlation_id)
        self._serving.send(request.reply_to or "", answer)

    def vbd(self, number: int, backend: Disk | None) -> Vbd:
        return self.subject.make_vbd(self.vm, number).model_copy(update={"backend": backend})

    def life(self, *vbds: Vbd) -> Life:
        return Life(self.subject, self.vm, Devices(vbds=vbds))

    def close(self) -> None:
        self.server.shut()
        self._asking.close()
        self._serving.close()


@pytest.fixture(name="served")
def make_served(tmp_path: Path) -> Iterator[Served]:
    with standing("oxenstored", ClassicSubject, tmp_path) as subject:

        def reopened(storage: StorageService) -> ClassicSubject:
            subject.storage = storage
            subject.reopen()
            return subject

        served = Served(tmp_path, reopened)
        yield served
        served.close()


def test_a_service_hears_of_a_disk_before_its_guest_and_after_it(served: Served) -> None:
    served.server.add("sr/a", "BlockDevice")
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    life.start()
    [domid] = served.subject.backend.vm.get_state(served.vm).domids
    told = f"/local/domain/0/backend/vbd/{domid}/51712/sm-data/scsi/0x12/default"
    assert served.subject.host.store.read(told) == b"AIMC"
    [(datapath, use)] = served.server.in_use()["sr/a"].items()
    assert (datapath, use.read_write, use.active) == (f"vbd/{domid}/xvda", True, True)
    assert life.is_as_started()
    life.stop()
    assert served.server.in_use() == {}
    assert [method for method, _ in served.server.calls] == [
        *("VDI.attach3", "VDI.activate3", "VDI.deactivate", "DP.destroy")
    ]
    assert not served.subject.host.devices


def test_a_domain_that_somebody_else_ended_has_let_go_of_its_disks(served: Served) -> None:
    served.server.add("sr/a")
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    life.start()
    [domid] = served.subject.backend.vm.get_state(served.vm).domids
    served.subject.host.destroy(domid)
    life.stop()
    assert served.server.in_use() == {}
    assert not served.subject.host.devices


def test_a_worker_that_starts_anew_lets_go_of_what_the_one_before_took(served: Served) -> None:
    served.server.add("sr/a")
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    life.start()
    served.subject.reopen()
    life.stop()
    assert served.server.in_use() == {}


def test_what_a_service_refuses_is_told_and_leaves_nothing(served: Served) -> None:
    served.server.add("sr/a")
    served.server.add("sr/n", "Nbd")
    served.server.failing["VDI.activate3"] = FULL
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    full = StorageBackendError(code="SR_BACKEND_FAILURE_44", args=("", "There is insufficient space", ""))
    assert refusal(life.start) == full
    life.stop()
    other = served.life(served.vbd(0, Vdi(name="sr/n")))
    error = refusal(other.start)
    assert isinstance(error, InternalError)
    assert "(Nbd) none is a device or a file of this host" in error.message
    other.stop()
    assert served.server.in_use() == {}
    assert not served.subject.host.devices


def test_a_medium_is_storages_while_it_is_in(served: Served) -> None:
    for name in ("iso/one", "iso/two"):
        served.server.add(name)
    drive = served.subject.make_cd(served.vm, 3).model_copy(update={"backend": Vdi(name="iso/one")})
    life, verbs, task = served.life(drive), served.subject.backend.vbd, SuiteExecution()
    life.start()
    verbs.eject(task, life.id, drive)
    assert served.server.in_use() == {}
    verbs.insert(task, life.id, drive, Vdi(name="iso/two"))
    [use] = served.server.in_use()["iso/two"].values()
    assert (use.read_write, use.active) == (False, True)
    life.stop()
    assert served.server.in_use() == {}


def test_a_disk_forgets_what_is_written_where_its_storage_does_that(served: Served) -> None:
    volume = served.server.add("sr/a")
    verbs, task = served.subject.backend.vbd, SuiteExecution()
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    create, *rest = life.start_steps()
    create(task)
    verbs.epoch_begin(task, life.id, Vdi(name="sr/a"), persistent=False)
    local = LocalDisk(path="/d")
    assert isinstance(
        refusal(lambda: verbs.epoch_begin(task, life.id, local, persistent=False)), Unimplemented
    )
    for step in rest:
        step(task)
    life.stop()
    verbs.epoch_end(task, life.id, Vdi(name="sr/a"))
    assert volume.epochs == [("begin", False), ("end", "")]


def test_a_guest_is_suspended_to_a_vdi_and_comes_back_from_it(served: Served) -> None:
    served.server.add("sr/a")
    memory = served.server.add("sr/memory", size=MIB)
    life = served.life(served.vbd(0, Vdi(name="sr/a")))
    verbs, task, image = served.subject.backend.vm, SuiteExecution(), Vdi(name="sr/memory")
    life.start()
    served.subject.let_boot(served.vm)
    verbs.save(task, served.vm, image, live=False)
    life.stop()
    assert served.server.in_use() == {}
    assert memory.content.stat().st_size == MIB
    assert verbs.get_state(served.vm).power_state is PowerState.SUSPENDED
    for step in life.resume_steps(image):
        step(task)
    assert list(served.server.in_use()) == ["sr/a"]
    life.stop()


def test_an_image_that_breaks_off_is_none(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written over what was there begins with no signature until it is whole."""
    memory = served.server.add("sr/memory", size=MIB)
    life, verbs, task = served.life(), served.subject.backend.vm, SuiteExecution()
    life.start()
    served.subject.let_boot(served.vm)
    served.subject.host.guests_listen = False
    monkeypatch.setattr("worker_xen.classic.saving.SUSPEND_ACKNOWLEDGE_TIMEOUT_S", 0.1)
    memory.content.write_bytes(SIGNATURE + bytes(MIB))
    refusal(lambda: verbs.save(task, served.vm, Vdi(name="sr/memory"), live=False))
    assert memory.content.read_bytes()[: len(SIGNATURE)] == bytes(len(SIGNATURE))
    assert served.server.in_use() == {}
    assert verbs.get_state(served.vm).power_state is PowerState.RUNNING
    life.stop()


def test_a_bootloader_looks_at_a_disk_of_storages(served: Served) -> None:
    boot_disk = Vdi(name="sr/boot")
    served.server.add(boot_disk.name)
    programs = served.subject.directory / "programs"
    programs.mkdir(mode=0o755)
    write_program(programs, 'open("/out/k", "w").write("kernel"); print("kernel /out/k")')
    boot = PvIndirectBoot(bootloader="pygrub", devices=(boot_disk,))
    ty = Pv(info=PvInfo(boot=IndirectBoot(boot=boot)))
    served.vm = served.vm.model_copy(update={"ty": ty})
    life = served.life(served.vbd(0, boot_disk))
    life.start()
    assert [method for method, _ in served.server.calls] == [
        *("VDI.attach3", "VDI.activate_readonly", "DP.destroy"),
        *("VDI.attach3", "VDI.activate3"),
    ]
    life.stop()
    assert served.server.in_use() == {}
