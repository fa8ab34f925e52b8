"""VMs on libvirt go to another host while they run, or stay; within their host they go as a file."""

import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.image import ImageStream
from engine.migrate.channel import Channel
from engine.migrate.sockets import SocketWire
from eventually import eventually
from libvirt_room import LibvirtRoom, await_that, domains
from miniature_xapi import MiniatureXapi
from qemu_host import PATIENCE_S, VM, line, vif, xvd
from schema.fault import XenopsError
from schema.ids import DeviceId, VmId
from schema.migration import arriving_id
from schema.objects.disk import LocalDisk
from schema.objects.errors import InternalError
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import PowerState, Vm
from stack.libvirtd import LibvirtDaemon
from test_migration import Host, Pair, tls_to_nobody_known, until_progress
from test_qemu_migration import MEMORY
from typing_extensions import override
from worker_kvm.libvirt.migration_protocol import STATE_LINE, TALK_LINE, SendsFile, talking


class End(ImageStream):
    """One end of what goes between two hosts; lines with its other end are there at once."""

    def __init__(self, between: "Between", side: int) -> None:
        self._between, self._side = between, side
        self._channel = between.channel("", side)

    @override
    def write(self, data: bytes | memoryview) -> None:
        self._channel.write(data)

    @override
    def read(self, size: int) -> bytes:
        return self._channel.read(size)

    @override
    def line(self, name: str) -> Channel:
        return self._between.channel(name, self._side)


class Between:
    """Two hosts' connections; the state's line stalls after so many bytes, until it is cut, if it does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __init__(self, stalls_at: int | None = None) -> None:
        self._pairs: dict[str, tuple[Channel, Channel]] = {}
        self._lock = threading.Lock()
        self._stalls_at = stalls_at
        self.has_stalled = threading.Event()
        self.ends = End(self, 0), End(self, 1)

    def channel(self, name: str, side: int) -> Channel:
        with self._lock:
            if name not in self._pairs:
                self._pairs[name] = self._stalling() if name == STATE_LINE else self._joined(name)
            return self._pairs[name][side]

    def cut(self) -> None:
        """All connections are lost."""
        with self._lock:
            for pair in self._pairs.values():
                for channel in pair:
                    channel.shut()

    def close(self) -> None:
        """Nothing is left of them."""
        for pair in self._pairs.values():
            for channel in pair:
                channel.close()

    def _joined(self, name: str) -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return Channel(SocketWire(one), name), Channel(SocketWire(other), name)

    def _stalling(self) -> tuple[Channel, Channel]:
        source, near = self._pairs["near"] = self._joined(STATE_LINE)
        if self._stalls_at is None:
            return source, near
        self._pairs["beyond"] = beyond = self._joined(STATE_LINE)
        threading.Thread(target=self._swallow, args=(near, self._stalls_at), daemon=True).start()
        return source, beyond[1]

    def _swallow(self, near: Channel, size: int) -> None:
        with suppress(XenopsError):
            near.read(size)
        self.has_stalled.set()


@pytest.fixture(name="rooms", scope="module")
def make_rooms() -> Iterator[tuple[LibvirtRoom, LibvirtRoom]]:
    with LibvirtRoom() as here, LibvirtRoom("-there") as there:
        yield here, there


def take_in(room: LibvirtRoom, vm: Vm, devices: Devices, stream: ImageStream) -> None:
    """As an engine does, also when it fails."""
    try:
        room.backend.vm.create(room.task, vm, devices, CreateOptions())
        for interface in devices.vifs:
            room.backend.vif.plug(room.task, VM, interface)
        room.backend.vm.restore(room.task, vm, devices, stream)
    except XenopsError:
        room.backend.vm.destroy(room.task, vm)
        raise


def along(disk: LocalDisk) -> Vbd:
    """A disk that is not shared."""
    return xvd("b", disk, extra_backend_keys=(("migration", "mirror"),))


def start(room: LibvirtRoom, vm: Vm, devices: Devices) -> None:
    room.create(vm)
    for disk in devices.vbds:
        room.plug(disk)
    for interface in devices.vifs:
        room.backend.vif.plug(room.task, VM, interface)
    room.launch(vm)


def send(here: LibvirtRoom, there: LibvirtRoom, vm: Vm, devices: Devices) -> None:
    """All up to the hand-over."""
    with Between() as between, ThreadPoolExecutor(1) as thread:
        coming = thread.submit(take_in, there, vm, devices, between.ends[1])
        here.backend.vm.save(here.task, vm, between.ends[0], live=True)
        coming.result(PATIENCE_S)


def test_a_guest_goes_to_another_libvirtd_while_it_runs_with_its_disk_but_not_when_the_way_is_cut(
    rooms: tuple[LibvirtRoom, LibvirtRoom],
) -> None:
    here, there = rooms
    vm = here.vm()
    shared, own = xvd("a", here.disk("shared.raw")), along(here.disk("own.raw"))
    devices_there = Devices(vbds=(shared, along(there.disk("own.raw"))), vifs=(vif(0),))
    start(here, vm, Devices(vbds=(shared, own), vifs=(vif(0),)))
    with here.console(vm) as console, ThreadPoolExecutor(2) as threads:
        here.backend.vm.unpause(here.task, vm)
        line(console, "userland is up")
        console.say("echo kept >/note; echo written >/dev/sdb; sync; echo wri\\tten")
        line(console, "written")
        with Between(stalls_at=1 << 20) as between:
            coming = threads.submit(take_in, there, vm, devices_there, between.ends[1])
            going = threads.submit(here.backend.vm.save, here.task, vm, between.ends[0], live=True)
            await_that(lambda: between.has_stalled.is_set() or going.done(), "memory is on its way")
            assert not going.done(), going.exception()
            console.say("echo run\\ning")
            line(console, "running")
            between.cut()
            assert isinstance(going.exception(PATIENCE_S), XenopsError)
            assert isinstance(coming.exception(PATIENCE_S), XenopsError)
        assert domains(there) == set()
        console.say("echo here\\ still")
        line(console, "here still")
        send(here, there, vm, devices_there)
    assert here.state(vm).power_state is PowerState.PAUSED
    here.backend.vm.destroy(here.task, vm)
    assert domains(here) == set()
    with there.console(vm) as console:
        there.backend.vm.unpause(there.task, vm)
        console.say("cat /note")
        line(console, "kept")
    assert (there.directory / "own.raw").read_bytes() == (here.directory / "own.raw").read_bytes()
    assert there.backend.vif.get_state(VM, vif(0)).plugged
    for carrier in (False, True):
        there.backend.vif.set_carrier(there.task, VM, vif(0), carrier=carrier)
    for room in rooms:
        room.backend.vm.remove(vm)


def test_a_guest_that_was_sent_and_not_taken_over_goes_on(rooms: tuple[LibvirtRoom, LibvirtRoom]) -> None:
    here, there = rooms
    vm = here.vm()
    here.start(vm)
    here.backend.vm.unpause(here.task, vm)
    send(here, there, vm, Devices())
    there.backend.vm.remove(vm)
    assert here.state(vm).power_state is PowerState.PAUSED
    here.backend.vm.resume(here.task, vm)
    assert here.state(vm).power_state is PowerState.RUNNING
    here.backend.vm.remove(vm)


def test_a_file_that_no_such_vm_can_have_is_not_taken_in(rooms: tuple[LibvirtRoom, LibvirtRoom]) -> None:
    here, vm = rooms[0], rooms[0].vm()
    with Between() as between:
        with talking(between.ends[0], here.task) as talk:
            talk.say(SendsFile())
        between.ends[0].write(b"\xff" * 16)
        error = refusal(lambda: take_in(here, vm, Devices(), between.ends[1]))
    assert isinstance(error, InternalError)
    assert "which no VM of that memory has" in error.message
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


@pytest.fixture(name="pair", scope="module")
def run_pair() -> Iterator[LibvirtPair]:
    directory = Path(tempfile.mkdtemp(prefix="xm-"))
    pair = LibvirtPair(directory)
    yield pair
    pair.stop()
    shutil.rmtree(directory)


def test_a_vm_goes_within_its_host_and_to_another_one_and_whichever_worker_dies_one_has_it(
    pair: LibvirtPair,
) -> None:
    vm = pair.running_vm()
    pair.done(pair.migrate(vm, pair.here.url, localhost=True))
    assert eventually(lambda: pair.where(vm)) == [pair.source]
    assert pair.interfaces("here") == [1]
    pair.done(pair.migrate(vm, compress=True))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    assert pair.destination.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert (pair.interfaces("here"), pair.interfaces("there")) == ([], [1])
    for side in ("here", "there"):
        vm = pair.running_vm()
        until_progress(pair.source, pair.migrate(vm), 0.0)
        getattr(pair, side).restart("worker_kvm")
        assert len(eventually(partial(pair.where, vm))) == 1
    assert sum(map(len, (pair.interfaces("here"), pair.interfaces("there")))) == 3
    assert "Traceback" not in pair.here.words() + pair.there.words()


def test_a_vm_goes_by_tls_and_by_the_connections_that_xapi_hands_over(
    pair: LibvirtPair, tmp_path: Path
) -> None:
    vm = pair.running_vm()
    with tls_to_nobody_known(pair, tmp_path, vm) as url:
        pair.done(pair.migrate(vm, url, verify=False))
        assert eventually(lambda: pair.where(vm)) == [pair.destination]
    vm, xapi = pair.running_vm(), MiniatureXapi(pair.there.directory)
    pair.done(pair.migrate(vm, xapi.url))
    assert eventually(lambda: pair.where(vm)) == [pair.destination]
    xapi.close()
    assert pair.destination.vm.stat(vm)[1].power_state is PowerState.RUNNING
    lines = {
        f"/services/xenops/migrate/disk/{arriving_id(VmId(vm))}.{name}" for name in (TALK_LINE, STATE_LINE)
    }
    assert lines <= set(xapi.handed_over)  # live: a file would need no line for its state
