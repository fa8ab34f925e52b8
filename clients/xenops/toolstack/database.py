"""The database: where XenAPI's records are. A port, and one in memory that takes what XenAPI returns."""

import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records.scalars import R, is_null

Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Records by class and reference, as `<class>.get_all_records` of XenAPI returns those of one class."""


class Database(Protocol):
    """XenAPI's records; methods may be called from any thread."""

    def fields(self, klass: str, ref: str) -> Mapping[str, Any]:
        """A record as XenAPI returns it.

        Raises:
            XenApiFailure: HANDLE_INVALID, there is none.
        """

    def find(self, klass: str, uuid: str) -> str | None:
        """The reference of the record with a UUID."""

    def refs(self, klass: str) -> Iterable[str]:
        """The references of all records of a class."""

    def update(self, klass: str, ref: str, changes: Mapping[str, Any]) -> None:
        """Change fields of a record.

        Raises:
            XenApiFailure: HANDLE_INVALID, there is none.
        """

    def create(self, klass: str, fields: Mapping[str, Any]) -> str:
        """Make a record, with a UUID of its own unless it has one; answers its reference."""

    def destroy(self, klass: str, ref: str) -> None:
        """Unmake a record. Idempotent."""


class MemoryDatabase:
    """Records in memory: for tests, and for a toolstack that keeps them elsewhere."""

    def __init__(self, records: Records | None = None) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, dict[str, Any]]] = {}
        self._by_uuid: dict[tuple[str, str], str] = {}
        self.add(records or {})

    def add(self, records: Records) -> None:
        """Take records as XenAPI returned them; those that are there are replaced."""
        with self._lock:
            for klass, of_class in records.items():
                for ref, fields in of_class.items():
                    self._put(klass, ref, dict(fields))

    def _put(self, klass: str, ref: str, fields: dict[str, Any]) -> None:
        self._records.setdefault(klass, {})[ref] = fields
        self._by_uuid[klass, str(fields.get("uuid", ""))] = ref

    def fields(self, klass: str, ref: str) -> Mapping[str, Any]:
        """A copy of a record; see `Database`."""
        with self._lock:
            return dict(self._known(klass, ref))

    def _known(self, klass: str, ref: str) -> dict[str, Any]:
        try:
            return self._records[klass][ref]
        except KeyError as error:
            raise XenApiFailure("HANDLE_INVALID", klass, ref) from error

    def find(self, klass: str, uuid: str) -> str | None:
        """See `Database`."""
        with self._lock:
            return self._by_uuid.get((klass, uuid))

    def refs(self, klass: str) -> Iterable[str]:
        """See `Database`."""
        with self._lock:
            return tuple(self._records.get(klass, ()))

    def update(self, klass: str, ref: str, changes: Mapping[str, Any]) -> None:
        """See `Database`."""
        with self._lock:
            self._known(klass, ref).update(changes)

    def create(self, klass: str, fields: Mapping[str, Any]) -> str:
        """See `Database`."""
        ref = f"OpaqueRef:{uuid.uuid4()}"
        with self._lock:
            self._put(klass, ref, {"uuid": str(uuid.uuid4()), **fields})
        return ref

    def destroy(self, klass: str, ref: str) -> None:
        """See `Database`."""
        with self._lock:
            fields = self._records.get(klass, {}).pop(ref, None)
            if fields is not None:
                self._by_uuid.pop((klass, str(fields.get("uuid", ""))), None)


def read(database: Database, model: type[R], ref: str) -> R:
    """A record as its model.

    Raises:
        XenApiFailure: HANDLE_INVALID, there is none.
        RecordError: a field makes no sense.
    """
    return model.read(ref, database.fields(model.klass, ref))


def read_known(database: Database, model: type[R], ref: str) -> R | None:
    """A record as its model; None where the reference leads nowhere."""
    if is_null(ref):
        return None
    try:
        return read(database, model, ref)
    except XenApiFailure:
        return None
