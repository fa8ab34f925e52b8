"""Disks of a storage service: SMAPIv2 over a real broker, in guests that run, and what is left afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bus.rabbit import RabbitBus
from bus.topology import storage_queue
from engine.backend import CreateOptions, Devices
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.hosted.storage.ports import Storage as Port
from engine.hosted.storage.service import StorageService
from libvirt_room import LibvirtRoom
from qemu_host import VM, Host, line, xvd
from schema.fault import XenopsError
from schema.ids import DeviceId, InstanceName
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.errors import DoesNotExist, InternalError, StorageBackendError, Unimplemented
from schema.objects.vbd import Vbd, VbdType
from schema.objects.vm import PowerState, Vm
from stack.broker.node import PrivateNode
from stack.console import Console
from stack.guest import guest_in
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, WORKER_KVM, Network, Shape
from storage_server import QUEUE, Storage, StorageServer
from switch_client import SwitchServer
from typing_extensions import override
from xenops.client import Client
from xenops.events import wait_for_task

PATIENCE_S = 120.0
MIB = 1 << 20
FULL: list[object] = ["Backend_error", ["SR_BACKEND_FAILURE_44", ["", "There is insufficient space", ""]]]


@pytest.fixture(name="node", scope="module")
def make_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    with PrivateNode(tmp_path_factory.mktemp("broker"), (InstanceName("i"),)) as node:
        yield node


class ServedHost(Host):
    """A host whose disks named `SR/VDI` are of a service."""

    def __init__(self, directory: Path, url: str) -> None:
        self.bus = RabbitBus(url, "storage-test")
        self.server = StorageServer(url, directory)
        super().__init__(directory, bridged=False)

    @override
    def open(self) -> None:
        self.settings = replace(self.settings, storage=StorageService(self.bus, QUEUE))
        super().open()

    @override
    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            self.bus.close()
            self.server.close()


@pytest.fixture(name="directory")
def make_directory() -> Iterator[Path]:
    """One whose path is short enough for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(name="host")
def make_host(node: PrivateNode, directory: Path) -> Iterator[ServedHost]:
    with ServedHost(directory, node.url) as host:
        yield host


@contextmanager
def written(host: Host | LibvirtRoom, vm: Vm, first: Vbd, second: Vbd) -> Iterator[Console]:
    """A guest has begun with one disk, got another, written to both, and the other is taken away."""
    host.create(vm)
    host.plug(first)
    host.launch(vm)
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        line(console, "userland is up")
        host.plug(second)
        line(console, "disk sdb came")
        console.say("echo first-words > /dev/sda; echo second-words > /dev/sdb; sync; echo writ\\ten")
        line(console, "written")
        host.unplug(second)
        yield console


@pytest.mark.parametrize("kind", ["File", "Nbd"])
def test_a_guest_writes_to_a_disk_that_it_began_with_and_to_one_that_came(
    host: ServedHost, kind: str
) -> None:
    cold, hot = host.server.add("sr, one/cold", kind), host.server.add("sr, one/hot", kind)
    first, second = xvd("a", Vdi(name="sr, one/cold")), xvd("b", Vdi(name="sr, one/hot"))
    vm = host.vm()
    with written(host, vm, first, second) as console:
        line(console, "disk sdb went")
    assert hot.content.read_bytes().startswith(b"second-words")
    assert list(host.server.in_use()) == ["sr, one/cold"]
    host.backend.vm.destroy_device_model(host.task, vm)
    host.backend.vbd.deactivate(host.task, VM, first, force=True)
    host.backend.vbd.detach(host.task, VM, first)
    assert cold.content.read_bytes().startswith(b"first-words")
    assert host.server.in_use() == {}
    assert [method for method, _ in host.server.calls] == [
        *("VDI.attach3", "VDI.activate3") * 2,
        *("VDI.deactivate", "DP.destroy") * 2,
    ]


def test_a_guest_is_suspended_to_a_vdi_and_comes_back_from_it(host: ServedHost) -> None:
    vm, image = host.vm(), Vdi(name="sr/memory")
    volume = host.server.add(image.name, size=256 * MIB)
    verbs = host.backend.vm
    with host.up(vm) as console:
        console.say("kept=here")
        host.server.add("sr/nbd", "Nbd")
        error = refusal(lambda: verbs.save(host.task, vm, Vdi(name="sr/nbd"), live=False))
        assert isinstance(error, Unimplemented)
        assert "VDI sr/nbd, which its storage has not as a raw file or a device" in error.what
        host.server.failing["VDI.activate3"] = FULL
        refusal(lambda: verbs.save(host.task, vm, image, live=False))
        host.server.failing.clear()
        assert host.server.in_use() == {}
        console.say("echo it runs o\\n")
        line(console, "it runs on")
        verbs.save(host.task, vm, image, live=False)
        verbs.destroy_device_model(host.task, vm)
        verbs.destroy(host.task, vm)
    assert host.server.in_use() == {}
    assert volume.content.stat().st_size == 256 * MIB
    assert list(host.directory.glob("*.partial")) == []
    verbs.create(host.task, vm, Devices(), CreateOptions())
    verbs.restore(host.task, vm, Devices(), image)
    assert host.server.in_use() == {}
    with host.console(vm) as console:
        verbs.unpause(host.task, vm)
        console.say("echo it was kept $kept")
        line(console, "it was kept here")


class ServedRoom(LibvirtRoom):
    """The same on libvirt."""

    def __init__(self, url: str, server: StorageServer) -> None:
        self.bus = RabbitBus(url, "storage-test")
        self.server = server
        super().__init__()

    @override
    def storage(self) -> Port:
        return StorageService(self.bus, QUEUE)

    @override
    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.bus.close()


@pytest.mark.parametrize("kind", ["File", "Nbd"])
def test_on_libvirt_a_guest_has_them_too(node: PrivateNode, directory: Path, kind: str) -> None:
    with StorageServer(node.url, directory) as server, ServedRoom(node.url, server) as room:
        cold, hot = server.add("sr/cold", kind), server.add("sr/hot", kind)
        first, second = xvd("a", Vdi(name="sr/cold")), xvd("b", Vdi(name="sr/hot"))
        vm = room.vm()
        with written(room, vm, first, second):
            pass
        assert hot.content.read_bytes().startswith(b"second-words")
        assert list(server.in_use()) == ["sr/cold"]
        room.backend.vm.destroy_device_model(room.task, vm)
        room.backend.vbd.deactivate(room.task, VM, first, force=True)
        room.backend.vbd.detach(room.task, VM, first)
        room.backend.vm.destroy(room.task, vm)
        assert cold.content.read_bytes().startswith(b"first-words")
        assert server.in_use() == {}


def test_a_worker_that_starts_anew_lets_go_of_what_the_one_before_took(host: ServedHost) -> None:
    host.server.add("sr/a", "Nbd")
    vbd = xvd("a", Vdi(name="sr/a"))
    host.up(host.vm()).close()
    host.plug(vbd)
    host.backend.stop()
    host.open()
    host.unplug(vbd)
    assert host.server.in_use() == {}


def test_a_medium_is_storages_while_it_is_in(host: ServedHost) -> None:
    for name in ("iso/one", "iso/two"):
        host.server.add(name)
    vm, drive = host.vm(), xvd("c", Vdi(name="iso/one"), ty=VbdType.CDROM)
    verbs, empty = host.backend.vbd, drive.model_copy(update={"backend": None})
    with host.up(vm) as console:
        host.plug(drive)
        line(console, "disk sr0 came")
        verbs.eject(host.task, VM, drive)
        assert host.server.in_use() == {}
        verbs.insert(host.task, VM, empty, Vdi(name="iso/two"))
        [path] = host.server.in_use()["iso/two"].values()
        assert (path.read_write, path.active) == (False, True)
        console.say("echo 1 >/proc/sys/dev/cdrom/autoeject; head -c 4 /dev/sr0; echo ejec\\ted")
        line(console, "ejected")
        while host.backend.vbd.get_state(VM, drive).backend_present is not None:
            host.told()
        verbs.insert(host.task, VM, empty, Vdi(name="iso/one"))
        assert list(host.server.in_use()) == ["iso/one"]
    verbs.deactivate(host.task, VM, empty, force=True)
    verbs.detach(host.task, VM, drive)
    assert host.server.in_use() == {}


def test_what_storage_refuses_is_told_and_leaves_nothing(host: ServedHost) -> None:
    vm = host.vm()
    host.create(vm)
    host.server.add("sr/a")
    host.server.add("sr/xen", "XenDisk")
    host.server.failing["VDI.activate3"] = FULL
    full = StorageBackendError(code="SR_BACKEND_FAILURE_44", args=("", "There is insufficient space", ""))
    assert refusal(lambda: host.plug(xvd("a", Vdi(name="sr/a")))) == full
    absent = DoesNotExist(klass="VDI", id="sr/absent")
    assert refusal(lambda: host.plug(xvd("b", Vdi(name="sr/absent")))) == absent
    odd = refusal(lambda: host.plug(xvd("c", Vdi(name="sr/xen"))))
    assert isinstance(odd, InternalError)
    assert "(XenDisk) none is a device" in odd.message
    host.backend.vbd.detach(host.task, VM, xvd("a", Vdi(name="sr/a")))
    assert host.server.in_use() == {}


def test_a_disk_in_a_place_that_is_taken_is_given_back_to_storage(host: ServedHost) -> None:
    host.server.add("sr/a")
    host.create(host.vm())
    host.plug(xvd("a", host.disk("local.raw")))
    other = Vbd(id=DeviceId(VM, "other"), position=(BusType.XEN, 0, 0), backend=Vdi(name="sr/a"))
    with pytest.raises(XenopsError):
        host.backend.vbd.attach(host.task, VM, other)
    assert host.server.in_use() == {}


def test_a_suspended_guest_has_its_disk_again(host: ServedHost) -> None:
    volume, vm = host.server.add("sr/a", "Nbd"), host.vm()
    vbd, image = xvd("a", Vdi(name="sr/a")), LocalDisk(path=str(host.directory / "image"))
    with host.up(vm) as console:
        host.plug(vbd)
        line(console, "disk sda came")
        verbs = host.backend.vm
        verbs.save(host.task, vm, image, live=False)
        verbs.destroy_device_model(host.task, vm)
        host.backend.vbd.deactivate(host.task, VM, vbd, force=True)
        host.backend.vbd.detach(host.task, VM, vbd)
        verbs.destroy(host.task, vm)
    assert host.server.in_use() == {}
    devices = Devices(vbds=(vbd,))
    verbs.create(host.task, vm, devices, CreateOptions())
    verbs.restore(host.task, vm, devices, image)
    with host.console(vm) as console:
        verbs.unpause(host.task, vm)
        console.say("echo third-words > /dev/sda; sync; echo writ\\ten")
        line(console, "written")
    assert volume.content.read_bytes().startswith(b"third-words")
    assert [path.active for path in host.server.in_use()["sr/a"].values()] == [True]


@contextmanager
def whole(directory: Path, **environment: str) -> Iterator[LocalStack]:
    """A stack with QEMU, whose services are told this, too."""
    shape = Shape(workers={WORKER_KVM: QEMU_INSTANCE}, network=Network.USER, accelerator="tcg")
    stack = LocalStack(Layout(directory / "s"), shape, environment=environment)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def test_a_vm_of_the_whole_has_its_disks_from_its_start_to_its_end(tmp_path: Path) -> None:
    with whole(tmp_path, XENOPS_STORAGE_QUEUE=QUEUE) as stack:
        client = stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S)
        with StorageServer(stack.administrator_url, tmp_path) as server:
            live_and_die(client, server)
        client.close()


def test_a_service_behind_the_message_switch_does_as_xapis(directory: Path) -> None:
    """Nothing of it knows the broker: as xapi, it is a client of the switch."""
    told = {
        "XENOPS_STORAGE_QUEUE": storage_queue(InstanceName(QEMU_INSTANCE)),
        "XENOPS_SWITCH_STORAGE": QUEUE,
    }
    with whole(directory, **told) as stack:
        client, storage = stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S), Storage(directory)
        server = SwitchServer(Layout(directory / "s").switch, QUEUE, storage.perform)
        live_and_die(client, storage)
        server.close()
        storage.shut()
        client.close()


def live_and_die(client: Client, server: Storage) -> None:
    def done(task: str) -> None:
        wait_for_task(client, task, PATIENCE_S)

    volumes = server.add("sr/a"), server.add("sr/b")
    memory = dict.fromkeys(("memory_static_max", "memory_dynamic_max", "memory_dynamic_min"), 96 * MIB)
    client.vm.add(sample_vm(VM, ty=guest_in(Path("var/guest")).builder(), vcpus=1, vcpu_max=1, **memory))
    first, second = xvd("a", Vdi(name="sr/a")), xvd("b", Vdi(name="sr/b"), persistent=False)
    client.vbd.add(first)
    done(client.vm.start(VM))
    client.vbd.add(second)
    done(client.vbd.plug(second.id))
    assert all(path.active for paths in server.in_use().values() for path in paths.values())
    assert set(server.in_use()) == {"sr/a", "sr/b"}
    server.failing["DP.destroy"] = FULL
    done(client.vm.shutdown(VM, None))
    assert client.vm.stat(VM)[1].power_state is PowerState.HALTED
    assert [dict(volume.epochs) for volume in volumes] == [{"begin": True, "end": ""}, {"end": ""}]
