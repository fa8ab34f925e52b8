"""Backend classic sends VMs through a stream, as to another host, and takes them in; none is lost."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.hosts import Host
from engine.conformance.subject import Life, make_life, refusal
from engine.image import ImageStream
from engine.migrate.channel import ChannelLostError
from mortal import Death, let_die
from schema.atomics.vm import RenameWhen
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from schema.operations import VmMigrate
from stack.xenstored import PrivateXenstored
from test_classic_conformance import ClassicSubject
from test_classic_deaths import DiedError, end, make_subject, nothing_is_left
from typing_extensions import override

__all__ = ["make_subject"]


class Wire(ImageStream):
    """What goes over a connection; `breaks_at` is how many bytes it carries."""

    def __init__(self, content: bytes = b"", breaks_at: int | None = None) -> None:
        self.file = io.BytesIO(content)
        self._breaks_at = breaks_at

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        if self._breaks_at is not None and self.file.tell() > self._breaks_at:
            raise ChannelLostError(InternalError(message="the connection was lost"))

    @override
    def read(self, size: int) -> bytes:
        found = self.file.read(size)
        if len(found) < size:
            raise ChannelLostError(InternalError(message="the connection was lost"))
        return found


@pytest.fixture(name="life")
def start(subject: ClassicSubject) -> Iterator[Life]:
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    yield life
    life.stop()
    subject.backend.vm.remove(life.vm)
    nothing_is_left(subject)


def state_of(life: Life) -> PowerState:
    return life.subject.backend.vm.get_state(life.vm).power_state


def sent(life: Life) -> bytes:
    wire, task = Wire(), SuiteExecution()
    life.subject.backend.vm.save(task, life.vm, wire, live=True)
    assert task.fractions == sorted(task.fractions)
    return wire.file.getvalue()


def test_a_guest_goes_through_a_stream_into_another_domain(subject: ClassicSubject, life: Life) -> None:
    image = sent(life)
    vm = life.vm.model_copy(update={"id": "arriving"})
    arriving = Life(subject, vm, life.devices)
    arriving.start_steps()[0](SuiteExecution())
    wire = Wire(image + b"and what follows")
    for _ in range(2):
        subject.backend.vm.restore(SuiteExecution(), vm, life.devices, wire)
    assert wire.file.read() == b"and what follows"
    assert state_of(arriving) is PowerState.PAUSED
    assert state_of(life) is PowerState.SUSPENDED
    arriving.stop()


@pytest.mark.parametrize("breaks_at", [0, 1_000, 6_000])
def test_a_connection_that_breaks_leaves_the_guest_running(
    subject: ClassicSubject, life: Life, breaks_at: int
) -> None:
    wire = Wire(breaks_at=breaks_at)
    save = partial(subject.backend.vm.save, SuiteExecution(), life.vm, wire, live=True)
    assert refusal(save) == InternalError(message="the connection was lost")
    assert state_of(life) is PowerState.RUNNING
    subject.backend.vm.resume(SuiteExecution(), life.vm)
    assert state_of(life) is PowerState.RUNNING


def _longest(image: bytes) -> bytes:
    at = image.index(b"memorymemory")
    return image[: at - 4] + b"\xff" * 4 + image[at:]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda image: image[:40], "the connection was lost"),
        (lambda image: image[:-2_000], "the connection was lost"),
        (lambda image: image[:-16], "the connection was lost"),
        (lambda image: image[:-16] + bytes(16), "where END should be"),
        (lambda image: b"x" * len(image), "Not a valid signature"),
        (lambda image: image.replace(b"XENF", b"XENG"), "Invalid marker"),
        (_longest, "is not possible"),
        (lambda image: image.replace(b"memorymemory", b"memorymemoru", 1), "Invalid marker"),
    ],
)
def test_a_damaged_stream_is_refused_in_words_and_leaves_no_half_of_a_vm(
    subject: ClassicSubject, life: Life, damage: Callable[[bytes], bytes], words: str
) -> None:
    image = damage(sent(life))
    vm = life.vm.model_copy(update={"id": "arriving"})
    arriving = Life(subject, vm, life.devices)
    arriving.start_steps()[0](SuiteExecution())
    restore = partial(subject.backend.vm.restore, SuiteExecution(), vm, life.devices, Wire(image))
    with pytest.raises(XenopsError, match=words):
        restore()
    assert refusal(partial(subject.backend.vm.unpause, SuiteExecution(), vm)).kind == "Domain_not_built"
    arriving.stop()
    assert state_of(arriving) is PowerState.HALTED


def test_a_worker_that_dies_while_it_renames_a_vm_knows_it_by_one_id(subject: ClassicSubject) -> None:
    at, came = 1, True
    while came:
        life = make_life(subject)
        life.start()
        domids = subject.backend.vm.get_state(life.vm).domids
        other = life.vm.model_copy(update={"id": "departing"})
        death = Death(at, end)
        let_die(subject.backend, death)
        rename = partial(
            subject.backend.vm.rename, VmId(life.vm.id), VmId(other.id), RenameWhen.PRE_MIGRATION
        )
        with suppress(DiedError):
            rename()
        came = death.came
        subject.reopen()
        found = [subject.backend.vm.get_state(vm).domids for vm in (life.vm, other)]
        assert sorted(found) == [(), domids]
        subject.backend.vm.rename(VmId(life.vm.id), VmId(other.id), RenameWhen.PRE_MIGRATION)
        assert subject.backend.vm.get_state(other).domids == domids
        Life(subject, other, life.devices).stop()
        subject.backend.vm.remove(other)
        nothing_is_left(subject)
        at += 1
    assert at > 5, "hardly anything was done"


MOVING = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")


def host_of(subject: ClassicSubject, directory: Path) -> Host:
    directory.mkdir()
    host = Host(directory)
    host.backend = subject.backend  # type: ignore[assignment]
    return host


@pytest.fixture(name="there")
def another_subject(tmp_path: Path) -> Iterator[ClassicSubject]:
    """A host of its own: another hypervisor, another xenstored."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    (tmp_path / "other").mkdir()
    with PrivateXenstored(directory, "oxenstored") as daemon:
        subject = ClassicSubject(tmp_path / "other", daemon.socket)
        yield subject
        subject.backend.stop()
        subject.host.end()
    shutil.rmtree(directory)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("is_local", [False, True])
def test_a_vm_migrates_by_all_that_the_engine_does(
    subject: ClassicSubject, there: ClassicSubject, tmp_path: Path, *, is_local: bool, compress: bool
) -> None:
    """To another host, or within one: it runs there with its devices, and nothing of it is left here."""
    vm = subject.make_vm()
    fixed = {"id": MOVING, "memory_dynamic_min": vm.memory_dynamic_max}  # guests in hand have no balloon
    vm = vm.model_copy(update=fixed)
    life = Life(subject, vm, Devices((subject.make_vbd(vm, 0),), (subject.make_vif(vm, 0),)))
    life.start()
    subject.let_boot(vm)
    here = host_of(subject, tmp_path / "here")
    host = here if is_local else host_of(there, tmp_path / "there")
    here.store.write(vm)
    here.store.vbds.write(life.devices.vbds[0])
    here.store.vifs.write(life.devices.vifs[0])
    before = subject.backend.vm.get_state(vm).domids
    told: dict[str, Any] = {"compress": compress, "localhost_migration": is_local, "verify_dest": False}
    maps: dict[str, Any] = {"vdi_map": (), "vif_map": (), "pci_map": ()}
    assert here.send(VmMigrate(vm=MOVING, url=host.url, **told, **maps)).end() is None
    assert [task.end() for _, task in host.arrivals] == [None]
    arrived = Life(subject if is_local else there, vm, life.devices)
    state = arrived.subject.backend.vm.get_state(vm)
    assert state.power_state is PowerState.RUNNING
    assert not is_local or state.domids != before
    assert arrived.subject.backend.vbd.get_state(MOVING, life.devices.vbds[0]).plugged
    assert arrived.subject.backend.vif.get_state(MOVING, life.devices.vifs[0]).plugged
    if not is_local:
        nothing_is_left(subject)
    arrived.stop()
    arrived.subject.backend.vm.remove(vm)
    nothing_is_left(arrived.subject)  # type: ignore[arg-type]
    here.close()
    host.close()
