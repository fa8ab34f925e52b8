"""Records: where the simulated host keeps machines and images: in memory, or in a file that outlives us."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from schema.fault import internal_error
from schema.wire.codec import MarshalError, decode_text, encode_text
from schema.wire.errors import JsonError

from engine.simulator.machine import Machine, renamed

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while the record is locked. One that answers what it was given writes nothing."""


class Records(Protocol):
    """Machines by id, images by name, and the count of domains. Each call is atomic, from any thread."""

    def read(self, vm: str) -> Machine:
        """One machine; blank for one never heard of."""

    def change(self, vm: str, change: Change) -> Machine:
        """Replace a machine by what `change` makes of it, and answer that; a blank one is forgotten."""

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another id; none by the old one, nothing to do."""

    def remove(self, vm: str) -> None:
        """Forget a machine."""

    def next_domid(self) -> int:
        """A number that no domain has had, from 1."""

    def read_image(self, name: str) -> bytes | None:
        """What was written to a simulated disk."""

    def write_image(self, name: str, content: bytes) -> None:
        """Write all of a simulated disk."""

    def close(self) -> None:
        """Let go of files."""


class MemoryRecords:
    """Records that end with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._images: dict[str, bytes] = {}
        self._domids = 0

    def read(self, vm: str) -> Machine:
        """One machine."""
        return self._machines.get(vm) or Machine(id=vm)

    def change(self, vm: str, change: Change) -> Machine:
        """Replace a machine."""
        with self._lock:
            before = self.read(vm)
            after = change(before)
            if after is not before:
                self._put(after)
            return after

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another id."""
        with self._lock:
            machine = self._machines.pop(vm, None)
            if machine is not None:
                self._put(renamed(machine, name))

    def remove(self, vm: str) -> None:
        """Forget a machine."""
        with self._lock:
            self._machines.pop(vm, None)

    def next_domid(self) -> int:
        """A number that no domain has had."""
        with self._lock:
            self._domids += 1
            return self._domids

    def read_image(self, name: str) -> bytes | None:
        """What was written to a simulated disk."""
        return self._images.get(name)

    def write_image(self, name: str, content: bytes) -> None:
        """Write all of a simulated disk."""
        self._images[name] = content

    def close(self) -> None:
        """Nothing to let go of."""

    def _put(self, machine: Machine) -> None:
        if machine.is_blank():
            self._machines.pop(machine.id, None)
        else:
            self._machines[machine.id] = machine


_SCHEMA = """
CREATE TABLE IF NOT EXISTS machine (id TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image (name TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS domids (last INTEGER NOT NULL);
INSERT INTO domids SELECT 0 WHERE NOT EXISTS (SELECT * FROM domids);
"""

_BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes: each does so for well under a millisecond."""


class FileRecords:
    """Records in a file that several worker processes may share, and that the death of one leaves whole.

    Not synced to the medium: a host that loses its power loses its domains, too.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._cache: dict[str, tuple[bytes, Machine]] = {}
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")

    def read(self, vm: str) -> Machine:
        """One machine."""
        with self._lock, self._explained():
            return self._get(vm)

    def change(self, vm: str, change: Change) -> Machine:
        """Replace a machine."""
        with self._transaction():
            before = self._get(vm)
            after = change(before)
            if after is not before:
                self._put(after)
            return after

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another id."""
        with self._transaction():
            machine = self._get(vm)
            if not machine.is_blank():
                self._put(renamed(machine, name))
                self._forget(vm)

    def remove(self, vm: str) -> None:
        """Forget a machine."""
        with self._transaction():
            self._forget(vm)

    def next_domid(self) -> int:
        """A number that no domain has had."""
        with self._transaction():
            ((last,),) = self._db.execute("UPDATE domids SET last = last + 1 RETURNING last").fetchall()
            return int(last)

    def read_image(self, name: str) -> bytes | None:
        """What was written to a simulated disk."""
        with self._lock, self._explained():
            row = self._db.execute("SELECT content FROM image WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

    def write_image(self, name: str, content: bytes) -> None:
        """Write all of a simulated disk."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO image VALUES (?, ?)", (name, content))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _get(self, vm: str) -> Machine:
        row = self._db.execute("SELECT content FROM machine WHERE id = ?", (vm,)).fetchone()
        if row is None:
            self._cache.pop(vm, None)
            return Machine(id=vm)
        content: bytes = row[0]
        cached = self._cache.get(vm)
        if cached is not None and cached[0] == content:
            return cached[1]
        machine: Machine = decode_text(Machine, content.decode("utf-8", "surrogateescape"))
        self._cache[vm] = (content, machine)
        return machine

    def _put(self, machine: Machine) -> None:
        if machine.is_blank():
            self._forget(machine.id)
            return
        content = encode_text(Machine, machine).encode("utf-8", "surrogateescape")
        self._db.execute("INSERT OR REPLACE INTO machine VALUES (?, ?)", (machine.id, content))
        self._cache[machine.id] = (content, machine)

    def _forget(self, vm: str) -> None:
        self._db.execute("DELETE FROM machine WHERE id = ?", (vm,))
        self._cache.pop(vm, None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, MarshalError, JsonError) as error:
            raise internal_error(
                f"The simulated host cannot use its state in {self._path}: {error}; "
                "see to the disk and its rights, or remove the file to begin with an empty host"
            ) from error
