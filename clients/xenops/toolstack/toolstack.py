"""The toolstack: XenAPI's operations on VMs, each one call, by records in a database.

After xapi's Xapi_xenops: before an operation xenops is given the VM's configuration; afterwards all that it
has changed is in the database before the call returns.
"""

import secrets
from contextlib import suppress
from types import TracebackType
from typing import Self

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.metadata import Metadata
from schema.objects.task import Task
from schema.wire.codec import encode_text

from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.toolstack.convert import Site, metadata_of
from xenops.toolstack.database import Database, MemoryDatabase, Records
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.hotplug import Disks, Interfaces
from xenops.toolstack.records import NULL, DomainType, PowerState, VbdRecord, VmRecord, is_null
from xenops.toolstack.residency import Residency, agree
from xenops.toolstack.session import Operation, Session
from xenops.toolstack.tasks import ForeignTask, Silent, Span, clean_up_orphans, sync_with_task
from xenops.toolstack.watch import TaskGoneError, Watcher, WatcherStoppedError

_STARTED: Span = (0.0, 0.9)
_UNPAUSED: Span = (0.9, 1.0)
"""Which parts of a start are starting, and letting its CPUs run."""

_ENDINGS = (XenopsError, BusError, TaskGoneError, WatcherStoppedError)
"""How waiting for a task may fail."""


class Toolstack:
    """XenAPI's operations on the VMs of one instance. As a context manager it watches within.

    Operations may be called from any thread. Each takes the reference of a VM, or a device, and a `task` that
    is told of its progress, may cancel it, and is told of its end; each raises `XenApiFailure`, in XenAPI's
    words, or `BusError` where the service was not reached.
    """

    def __init__(self, client: Client, database: Database | None = None, site: Site | None = None) -> None:
        self.database: Database = MemoryDatabase() if database is None else database
        self._client = client
        self._session = Session(client, self.database, site or Site())
        self._source = self._session.source
        self._applier = self._session.applier
        self._watcher = self._session.watcher
        self.disks = Disks(self._session)
        self.interfaces = Interfaces(self._session)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Watch the instance from now on."""
        self._watcher.start()

    def close(self) -> None:
        """Watch no more; operations under way fail, what xenops does for them goes on. Idempotent."""
        self._watcher.stop()

    @property
    def watcher(self) -> Watcher:
        """By which the instance is watched."""
        return self._watcher

    def metadata(self, vm: str) -> Metadata:
        """What xenops is given of a VM."""
        return metadata_of(self._source, vm)

    def start(
        self, vm: str, *, paused: bool = False, force: bool = False, task: ForeignTask | None = None
    ) -> None:
        """Start a halted VM with all its devices; it runs, unless `paused`."""
        with self._session.operation("start", vm, task) as operation:
            self._session.flush(operation)
            self._attach_devices(vm)
            self._refresh_generation(vm)
            try:
                self._session.push(operation)
                self._start(operation, paused=paused, force=force)
            finally:
                self._session.take_up(operation)
            self._session.expect(vm, PowerState.PAUSED if paused else PowerState.RUNNING)

    def _start(self, operation: Operation, *, paused: bool, force: bool) -> None:
        started = self._client.vm.start(operation.uuid, force=force)
        if paused:
            self._session.sync(operation, started)
            return
        unpaused = self._client.vm.unpause(operation.uuid)
        try:
            self._session.sync(operation, started, _STARTED)
        except BaseException:
            with suppress(*_ENDINGS):  # the first error counts
                sync_with_task(self._watcher, Silent(), unpaused)
            raise
        self._session.sync(operation, unpaused, _UNPAUSED)

    def shutdown(self, vm: str, timeout_s: float | None = None, *, task: ForeignTask | None = None) -> None:
        """Stop a VM: ask the guest and wait for it, or, without a time, by force at once."""
        name = "hard_shutdown" if timeout_s is None else "clean_shutdown"
        self._session.simple(name, vm, task, lambda uuid: self._client.vm.shutdown(uuid, timeout_s))
        self._session.expect(vm, PowerState.HALTED)

    def reboot(self, vm: str, timeout_s: float | None = None, *, task: ForeignTask | None = None) -> None:
        """Stop a VM as `shutdown` does, and start it again, with the configuration of now."""
        name = "hard_reboot" if timeout_s is None else "clean_reboot"
        with self._session.operation(name, vm, task) as operation:
            self._session.flush(operation)
            self._session.push(operation)
            try:
                self._session.sync(operation, self._client.vm.reboot(operation.uuid, timeout_s))
            finally:
                self._session.await_looks(operation.uuid)

    def pause(self, vm: str, *, task: ForeignTask | None = None) -> None:
        """Stop a VM's CPUs."""
        self._session.simple("pause", vm, task, self._client.vm.pause)
        self._session.expect(vm, PowerState.PAUSED)

    def unpause(self, vm: str, *, task: ForeignTask | None = None) -> None:
        """Let a VM's CPUs run."""
        self._session.simple("unpause", vm, task, self._client.vm.unpause)

    def suspend(self, vm: str, vdi: str, *, task: ForeignTask | None = None) -> None:
        """Save a VM to a VDI, which must be large enough (see `suspend_space`), and stop it."""
        with self._session.operation("suspend", vm, task) as operation:
            disk = self._session.disk(vdi)
            self._session.update(vm, {"suspend_VDI": vdi})
            try:
                self._session.sync(
                    operation, self._client.vm.suspend(operation.uuid, disk), cancellable=False
                )
            except BaseException:
                self._session.await_looks(operation.uuid)
                self._session.update(vm, {"suspend_VDI": NULL})
                raise
            self._session.await_looks(operation.uuid)
            self._session.expect(vm, PowerState.SUSPENDED)

    def resume(self, vm: str, *, paused: bool = False, task: ForeignTask | None = None) -> None:
        """Go on with a suspended VM; its VDI is the caller's to destroy afterwards."""
        with self._session.operation("resume", vm, task) as operation:
            record = self._source.get(VmRecord, vm)
            if is_null(record.suspend_vdi):
                raise XenApiFailure("VM_HAS_NO_SUSPEND_VDI", "VM", vm)
            self._session.flush(operation)
            try:
                with self._applier.suppressed(operation.uuid):
                    self._session.push(operation)
                    disk = self._session.disk(record.suspend_vdi)
                    resumed = self._client.vm.resume(operation.uuid, disk)
                    self._session.sync(operation, resumed, _STARTED, cancellable=False)
                    if not paused:
                        unpaused = self._client.vm.unpause(operation.uuid)
                        self._session.sync(operation, unpaused, _UNPAUSED, cancellable=False)
            except BaseException:
                self._applier.remove(operation.uuid)
                raise
            self._session.take_up(operation)
            self._session.update(vm, {"suspend_VDI": NULL})
            self._session.expect(vm, PowerState.PAUSED if paused else PowerState.RUNNING)

    def migrate(self, vm: str, to: Destination, host: str, *, task: ForeignTask | None = None) -> None:
        """Send a running VM to another host, or to this one; afterwards it is resident on `host`.

        The toolstack of that host then calls `take_up`.
        """
        with self._session.operation("pool_migrate", vm, task) as operation:
            try:
                with self._applier.suppressed(operation.uuid):
                    self._session.sync(operation, self._client.vm.migrate(operation.uuid, to))
                    self._session.update(vm, {"resident_on": host})
            finally:
                self._applier.forget(operation.uuid)
                if self._client.vm.exists(operation.uuid):
                    self._session.look(operation.uuid)

    def take_up(self, vm: str) -> None:
        """A VM has come here, or may have: look at all of it."""
        with self._session.operation("update_allowed_operations", vm, None) as operation:
            self._session.take_up(operation)

    def push_changes(self, vm: str) -> None:
        """Tell xenops what has changed in a VM's records; it takes effect at the next boot or plug."""
        text = encode_text(Metadata, self.metadata(vm))
        uuid = self._source.get(VmRecord, vm).uuid
        if self._client.vm.exists(uuid):
            self._client.task.destroy_on_finish(self._client.vm.import_metadata_async(text))

    def suspend_space(self, vm: str) -> int:
        """How many bytes a VDI must have for a VM to be suspended to it; xapi's rule."""
        record = self._source.get(VmRecord, vm)
        return int(record.memory_static_max * 1.2 * 1.05) + (100 << 20)

    def agree(self, *, terminate: bool = False) -> Residency:
        """After a restart: bring records and xenops to agree on which VMs are here.

        VMs that are not in the database, or that it says are elsewhere, are ended with `terminate`, as xapi
        does: one VM that runs twice destroys its disks.
        """
        return agree(self._session, terminate=terminate)

    def clean_up_orphans(self, dbg: str) -> tuple[str, ...]:
        """Stop and destroy what was submitted under a name before a restart; answers the tasks."""

        def is_orphan(task: Task) -> bool:
            return task.dbg == dbg and not self._watcher.awaits(task.id)

        return clean_up_orphans(self._client, is_orphan)

    def _attach_devices(self, vm: str) -> None:
        """All devices are to be there; an empty drive makes sense under a device model only."""
        record = self._source.get(VmRecord, vm)
        for ref in record.vbds:
            if record.domain_type is DomainType.HVM or not self._source.get(VbdRecord, ref).empty:
                self.database.update("VBD", ref, {"currently_attached": True})
        for klass, refs in (("VIF", record.vifs), ("VUSB", record.vusbs)):
            for ref in refs:
                self.database.update(klass, ref, {"currently_attached": True})

    def _refresh_generation(self, vm: str) -> None:
        """A guest that must notice that it is started anew, as from a snapshot, gets another number."""
        if self._source.get(VmRecord, vm).generation_id == "0:0":
            fresh = f"{secrets.randbits(63)}:{secrets.randbits(63)}"
            self._session.update(vm, {"generation_id": fresh})


def start_vm(client: Client, vm: str, records: Records, *, task: ForeignTask | None = None) -> Records:
    """Start one VM by its records alone, wait until it runs, and answer its records as they are then.

    `records` are the VM, its devices and what they refer to, as XenAPI returns them, by class and reference.
    """
    database = MemoryDatabase(records)
    with Toolstack(client, database) as toolstack:
        toolstack.start(vm, task=task)
    return {klass: {ref: database.fields(klass, ref) for ref in database.refs(klass)} for klass in records}
