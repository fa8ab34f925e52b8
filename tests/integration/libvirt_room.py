"""A libvirt backend with the tiny guest, on a libvirtd of its own, for tests of what really happens."""

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance import SuiteExecution
from engine.conformance.subject import refusal
from engine.hosted.storage.directory import DirectoryStorage
from engine.hosted.storage.ports import Storage
from qemu_host import PATIENCE_S, Host
from schema.objects.dynamic import ObjectId
from schema.objects.errors import InternalError
from stack.libvirtd import LibvirtDaemon
from typing_extensions import override
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.network import make_namespace, remove_namespace

QUIET_S = 0.1


class LibvirtRoom(Host):
    """The same as of QEMU alone; `daemon` is the libvirtd."""

    def __init__(self, name: str = "") -> None:
        """In a directory of its own, whose path is short enough for sockets."""
        self.directory = Path(tempfile.mkdtemp(prefix="xl-"))
        self.namespace = f"xenops-test-{os.getpid()}{name}"
        make_namespace(self.namespace, "xenbr0", "xenbr1")
        self.daemon = LibvirtDaemon(self.directory / "d", self.namespace)
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        self.task = SuiteExecution()
        try:
            self.daemon.start()
            self.open()
        except BaseException:
            self._clear()
            raise

    @override
    def open(self) -> None:
        run, daemon = self.directory / "run", self.daemon
        self.backend = Libvirt(
            LibvirtSettings(
                run,
                daemon.uri,
                daemon.logs,
                "room",
                "tcg",
                namespace=self.namespace,
                poll_s=0.2,
                storage=self.storage(),
            )
        )
        self.backend.start(self.changes.put)

    def storage(self) -> Storage:
        """Where the disks named `SR/VDI` are."""
        return DirectoryStorage(self.directory / "sr")

    def tidy(self) -> None:
        """As at first, with the same libvirtd: whose start is the dearest of it."""
        self.backend.stop()
        self.daemon.destroy_all()
        for path in self.directory.iterdir():
            if path != self.daemon.directory:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.changes, self.task = queue.Queue(), SuiteExecution()
        self.open()

    @override
    def __exit__(self, *_: object) -> None:
        try:
            self.backend.stop()
        finally:
            self._clear()

    def _clear(self) -> None:
        self.daemon.end()
        remove_namespace(self.namespace)
        shutil.rmtree(self.directory)


@pytest.fixture(name="home", scope="module")
def make_home() -> Iterator[LibvirtRoom]:
    with LibvirtRoom() as home:
        yield home


@pytest.fixture(name="room")
def make_room(home: LibvirtRoom) -> Iterator[LibvirtRoom]:
    """One for each test, whose libvirtd all of a module have."""
    yield home
    home.tidy()


def await_that(come: Callable[[], bool], what: str) -> None:
    attempts = threading.Event()
    for _ in range(int(PATIENCE_S / QUIET_S)):
        if come():
            return
        attempts.wait(QUIET_S)
    pytest.fail(f"it never came that {what}")


def until_told(room: LibvirtRoom, changed: ObjectId) -> None:
    while room.told() != changed:
        pass


def domains(room: LibvirtRoom) -> set[str]:
    client = room.daemon.client()
    found = {domain.name for domain in client.domains()}
    client.close()
    return found


def words(call: Callable[[], None]) -> str:
    error = refusal(call)
    assert isinstance(error, InternalError)
    return error.message
