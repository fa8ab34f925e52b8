"""A libvirt backend with the tiny guest, on a libvirtd of its own, for tests of what really happens."""

import os
import queue
import shutil
import tempfile
from pathlib import Path

from engine.conformance import SuiteExecution
from qemu_host import Host
from schema.objects.dynamic import ObjectId
from stack.libvirtd import LibvirtDaemon
from typing_extensions import override
from worker_kvm.libvirt.backend import Libvirt
from worker_kvm.libvirt.hypervisor import LibvirtSettings
from worker_kvm.network import make_namespace, remove_namespace


class LibvirtRoom(Host):
    """The same as of QEMU alone; `daemon` is the libvirtd."""

    def __init__(self) -> None:
        """In a directory of its own, whose path is short enough for sockets."""
        self.directory = Path(tempfile.mkdtemp(prefix="xl-"))
        self.namespace = f"xenops-test-{os.getpid()}"
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
        self.backend = Libvirt(LibvirtSettings(run, daemon.uri, daemon.logs, "room", "tcg"))
        self.backend.start(self.changes.put)

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
