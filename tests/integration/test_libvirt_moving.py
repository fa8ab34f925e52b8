"""VMs on libvirt go to another host, saved here and restored there, or stay."""

import io
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.image import ImageStream
from engine.migrate.channel import ChannelLostError
from libvirt_room import LibvirtRoom, domains
from qemu_host import VM, line, vif, xvd
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vif import Vif
from schema.objects.vm import PowerState
from stack.libvirtd import LibvirtDaemon
from test_migration import Host, Pair, eventually
from test_qemu_migration import MEMORY
from typing_extensions import override


class Wire(ImageStream):
    """What goes over a connection, which breaks after so many bytes, if it does."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.file = io.BytesIO()
        self._breaks_at = breaks_at

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        if self._breaks_at is not None and self.file.tell() > self._breaks_at:
            raise ChannelLostError(InternalError(message="the connection was lost"))

    @override
    def read(self, size: int) -> bytes:
        return self.file.read(size)


@pytest.fixture(name="here")
def make_here() -> Iterator[LibvirtRoom]:
    with LibvirtRoom() as room:
        yield room


@pytest.fixture(name="there")
def make_there() -> Iterator[LibvirtRoom]:
    with LibvirtRoom("-there") as room:
        yield room


def test_a_guest_goes_to_another_libvirtd_and_goes_on_there_but_not_when_the_way_is_cut(
    here: LibvirtRoom, there: LibvirtRoom
) -> None:
    vm, disk = here.vm(), xvd("a", here.disk("shared.raw"))
    devices = Devices(vbds=(disk,), vifs=(vif(0),))
    here.create(vm)
    here.plug(disk)
    here.backend.vif.plug(here.task, VM, vif(0))
    here.launch(vm)
    with here.console(vm) as console:
        here.backend.vm.unpause(here.task, vm)
        line(console, "userland is up")
        console.say("echo kept >/note; echo wri\\tten")
        line(console, "written")
        cut = Wire(breaks_at=1 << 20)
        error = refusal(lambda: here.backend.vm.save(here.task, vm, cut, live=True))
        assert isinstance(error, InternalError)
        assert error.message == "the connection was lost"
        assert here.state(vm).power_state is PowerState.RUNNING
    wire = Wire()
    here.backend.vm.save(here.task, vm, wire, live=True)
    assert domains(here) == set()
    wire.file.seek(0)
    there.backend.vm.create(there.task, vm, devices, CreateOptions())
    there.backend.vif.plug(there.task, VM, vif(0))
    there.backend.vm.restore(there.task, vm, devices, wire)
    assert not list((there.directory / "run").glob("*/moving"))
    here.backend.vm.destroy(here.task, vm)
    assert not list((here.directory / "run").glob("*/moving"))
    with there.console(vm) as console:
        there.backend.vm.unpause(there.task, vm)
        console.say("cat /note; echo he\\re")
        assert "kept" in line(console, "kept")
        line(console, "here")
    assert there.state(vm).power_state is PowerState.RUNNING
    assert there.backend.vif.get_state(VM, vif(0)).plugged
    for carrier in (False, True):
        there.backend.vif.set_carrier(there.task, VM, vif(0), carrier=carrier)


def test_a_vm_that_gives_up_at_the_end_goes_on_from_its_file(here: LibvirtRoom) -> None:
    vm = here.vm()
    here.start(vm)
    here.backend.vm.unpause(here.task, vm)
    here.backend.vm.save(here.task, vm, Wire(), live=True)
    here.backend.stop()
    here.open()
    here.backend.vm.resume(here.task, vm)
    assert here.state(vm).power_state is PowerState.RUNNING


def test_a_file_that_no_such_vm_can_have_is_not_taken_in(here: LibvirtRoom) -> None:
    vm, wire = here.vm(), Wire()
    wire.file = io.BytesIO(b"\xff" * 16)
    here.backend.vm.create(here.task, vm, Devices(), CreateOptions())
    error = refusal(lambda: here.backend.vm.restore(here.task, vm, Devices(), wire))
    assert isinstance(error, InternalError)
    assert "which no VM of that memory has" in error.message
    here.backend.vm.destroy(here.task, vm)
    assert here.state(vm).power_state is PowerState.HALTED


class LibvirtPair(Pair):
    """Two hosts with a libvirtd each; a VM of theirs has nothing to boot."""

    def __init__(self, directory: Path) -> None:
        self.daemons = {name: LibvirtDaemon(directory / f"{name}-d") for name in ("here", "there")}
        for daemon in self.daemons.values():
            daemon.start()
        super().__init__(directory)

    @override
    def open_host(self, name: str, directory: Path) -> Host:
        told = {
            "XENOPS_RUN_DIR": str(directory / name / "run"),
            "XENOPS_KVM_NETWORK": "user",
            "XENOPS_KVM_ACCELERATOR": "tcg",
            "XENOPS_BACKEND": "libvirt",
            "XENOPS_LIBVIRT_URI": self.daemons[name].uri,
            "XENOPS_LIBVIRT_LOGS": str(self.daemons[name].logs),
        }
        return Host(name, directory, self.node.url, "worker_kvm", **told)

    @override
    def running_vm(self) -> str:
        vm = str(uuid.uuid4())
        self.source.vm.add(sample_vm(vm, vcpus=1, vcpu_max=1, **dict.fromkeys(MEMORY, 32 << 20)))
        self.source.vif.add(Vif(id=DeviceId(vm, "0"), mac="52:54:00:00:00:01"))
        for operate in (self.source.vm.start, self.source.vm.unpause):
            self.done(operate(vm))
        return vm

    def interfaces(self, name: str) -> list[int]:
        """How many each domain of a host has."""
        client = self.daemons[name].client()
        found = [client.document(domain.uuid).count("<interface") for domain in client.domains()]
        client.close()
        return found

    @override
    def stop(self) -> None:
        try:
            super().stop()
        finally:
            for daemon in self.daemons.values():
                daemon.end()


@pytest.fixture(name="pair")
def run_pair() -> Iterator[LibvirtPair]:
    directory = Path(tempfile.mkdtemp(prefix="xm-"))
    pair = LibvirtPair(directory)
    yield pair
    pair.stop()
    shutil.rmtree(directory)


def test_a_vm_goes_within_its_host_and_to_another_one(pair: LibvirtPair) -> None:
    vm = pair.running_vm()
    pair.done(pair.migrate(vm, pair.here.url, localhost=True))
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.interfaces("here") == [1]
    pair.done(pair.migrate(vm, compress=True))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    assert pair.destination.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert (pair.interfaces("here"), pair.interfaces("there")) == ([], [1])
    assert "Traceback" not in pair.here.words() + pair.there.words()
