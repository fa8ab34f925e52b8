"""The session: what every operation of XenAPI on an instance needs: records, watcher, task, failures."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from schema.fault import XenopsError
from schema.objects.disk import Vdi
from schema.objects.metadata import Metadata
from schema.rpc import ResponseError
from schema.wire.codec import encode_text

from xenops.client import Client
from xenops.toolstack.applier import Applier
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.convert.disk import disk_of_vdi
from xenops.toolstack.database import Database
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import NULL, PowerState, VdiRecord, VmRecord
from xenops.toolstack.reflect.allowed import allowed_operations
from xenops.toolstack.tasks import WHOLE, ForeignTask, Silent, Span, sync_with_task
from xenops.toolstack.translated import failure_of
from xenops.toolstack.watch import Watcher
from xenops.toolstack.watch.watcher import READ_S


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of XenAPI under way: the VM, and whose task it is."""

    ref: str
    uuid: str
    task: ForeignTask


class Session:
    """One instance, watched, and the records of its VMs."""

    def __init__(self, client: Client, database: Database, site: Site) -> None:
        self.client = client
        self.database = database
        self.source = Source(database, site)
        self.applier = Applier(client.patient(READ_S), self.source)
        self.watcher = Watcher(client, self.applier)
        self._noting = threading.Lock()

    @contextmanager
    def operation(self, name: str, vm: str, task: ForeignTask | None) -> Iterator[Operation]:
        """Note an operation in the VM's record while it is under way, and tell its task how it ended."""
        foreign = task or Silent()
        uuid = self.source.get(VmRecord, vm).uuid
        try:
            with self._noted(name, vm):
                yield Operation(vm, uuid, foreign)
        except XenopsError as error:
            failure = failure_of(error.error, vm, self._ref_of)
            foreign.failed(failure)
            raise failure from error
        except Exception as error:
            foreign.failed(error)
            raise
        foreign.completed(None)

    @contextmanager
    def _noted(self, name: str, vm: str) -> Iterator[None]:
        number = f"OpaqueRef:{secrets.token_hex(8)}"
        self._note(vm, lambda operations: operations | {number: name})
        try:
            yield
        finally:
            self._note(vm, lambda others: {key: other for key, other in others.items() if key != number})

    def _note(self, vm: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with self._noting:
            record = self.source.get(VmRecord, vm)
            current = change(dict(record.current_operations))
            allowed = allowed_operations(record.power_state, current)
            self.update(vm, {"current_operations": current, "allowed_operations": allowed})

    def simple(self, name: str, vm: str, task: ForeignTask | None, submit: Callable[[str], str]) -> None:
        """An operation of one xenops task, without anything before or after."""
        with self.operation(name, vm, task) as operation:
            try:
                self.sync(operation, submit(operation.uuid))
            finally:
                self.await_looks(operation.uuid)

    def sync(self, operation: Operation, task: str, span: Span = WHOLE, *, cancellable: bool = True) -> None:
        """Wait for one of an operation's xenops tasks."""
        sync_with_task(self.watcher, operation.task, task, span, cancellable=cancellable)

    def push(self, operation: Operation) -> None:
        """Tell xenops how the VM is to be."""
        self.client.vm.import_metadata(encode_text(Metadata, metadata_of(self.source, operation.ref)))

    def flush(self, operation: Operation) -> None:
        """Nothing that happened before is looked at later: it might undo what now begins."""
        if self.client.vm.exists(operation.uuid):
            self.look(operation.uuid)

    def take_up(self, operation: Operation) -> None:
        """The VM is here: from now on its changes are looked at, and all of it is now."""
        self.update(operation.ref, {"resident_on": self.source.site.host})
        self.applier.forget(operation.uuid)
        if not self.look(operation.uuid):
            self.applier.gone(operation.uuid, operation.ref)

    def look(self, uuid: str) -> bool:
        """Have all of a VM looked at, and wait for that; answers whether xenops knows it."""
        try:
            self.client.updates.refresh_vm(uuid)
        except (XenopsError, ResponseError):
            return self.client.vm.exists(uuid)
        self.await_looks(uuid)
        return self.client.vm.exists(uuid)

    def await_looks(self, uuid: str) -> None:
        """All that has changed in a VM is in the database when this returns."""
        self.watcher.seen(uuid).result()

    def expect(self, vm: str, *states: PowerState) -> None:
        """The database must say so by now; one that was to run may have ended since: that is no failure."""
        found = self.source.get(VmRecord, vm).power_state
        if found not in states and PowerState.RUNNING not in states:
            words = ", ".join(states)
            sentence = f"VM not in expected power state after completing operation: {vm}, {words}, {found}"
            raise XenApiFailure("INTERNAL_ERROR", sentence)

    def disk(self, vdi: str) -> Vdi:
        """Where a VDI's content is."""
        disk = disk_of_vdi(self.source, self.source.get(VdiRecord, vdi))
        if disk is None:
            raise XenApiFailure("HANDLE_INVALID", "SR", vdi)
        return disk

    def update(self, vm: str, fields: dict[str, Any]) -> None:
        """Write fields of a VM's record."""
        self.database.update(VmRecord.klass, vm, fields)

    def _ref_of(self, uuid: str) -> str:
        return self.database.find(VmRecord.klass, uuid) or NULL
