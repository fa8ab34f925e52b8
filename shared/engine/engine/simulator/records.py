"""Records: where the simulated host keeps machines and images: in memory, or in a file that outlives us."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter
from schema.fault import XenopsError, internal_error

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
CREATE TABLE IF NOT EXISTS machine (id TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS image (name TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS domids (last INTEGER NOT NULL);
INSERT INTO domids SELECT 0 WHERE NOT EXISTS (SELECT * FROM domids);
"""

_BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes: each does so for well under a millisecond."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A machine and the text that stands for it in the file; none for a blank one."""

    content: bytes | None
    machine: Machine


class FileRecords:
    """Records in a file that several worker processes may share, and that the death of one leaves whole.

    A change is compared and swapped: made on the machine as last seen, it is written by one statement that
    does nothing if another process has written meanwhile; then it is made anew on what that one wrote. Not
    synced to the medium: a host that loses its power loses its domains, too.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._seen: dict[str, _Row] = {}
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
            return self._look(vm).machine

    def change(self, vm: str, change: Change) -> Machine:
        """Replace a machine."""
        with self._lock, self._explained():
            row = self._seen.get(vm) or self._look(vm)
            while (changed := self._try(row, change)) is None:
                row = self._look(vm)
            return changed

    def _try(self, row: _Row, change: Change) -> Machine | None:
        """Make a change on a row as it was last seen; None if that is not what the file holds."""
        try:
            after = change(row.machine)
        except XenopsError:
            if self._look(row.machine.id).content == row.content:
                raise
            return None
        new = row if after is row.machine else _row_of(after)
        if new.content == row.content:
            return after if self._look(after.id).content == row.content else None
        return after if self._swap(row, new) else None

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another id."""
        with self._transaction():
            machine = self._look(vm).machine
            if not machine.is_blank():
                renamed_row = _row_of(renamed(machine, name))
                self._db.execute("INSERT OR REPLACE INTO machine VALUES (?, ?)", (name, renamed_row.content))
                self._seen[name] = renamed_row
                self._forget(vm)

    def remove(self, vm: str) -> None:
        """Forget a machine."""
        with self._transaction():
            self._forget(vm)

    def next_domid(self) -> int:
        """A number that no domain has had."""
        with self._lock, self._explained():
            ((last,),) = self._db.execute("UPDATE domids SET last = last + 1 RETURNING last").fetchall()
            return int(last)

    def read_image(self, name: str) -> bytes | None:
        """What was written to a simulated disk."""
        with self._lock, self._explained():
            row = self._db.execute("SELECT content FROM image WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

    def write_image(self, name: str, content: bytes) -> None:
        """Write all of a simulated disk."""
        with self._lock, self._explained():
            self._db.execute("INSERT OR REPLACE INTO image VALUES (?, ?)", (name, content))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _look(self, vm: str) -> _Row:
        """What the file holds; the row that is known already, if it is that."""
        found = self._db.execute("SELECT content FROM machine WHERE id = ?", (vm,)).fetchone()
        content: bytes | None = None if found is None else found[0]
        seen = self._seen.get(vm)
        if seen is not None and seen.content == content:
            return seen
        if content is None:
            self._seen.pop(vm, None)
            return _Row(None, Machine(id=vm))
        row = self._seen[vm] = _Row(content, Machine.model_validate(json.loads(content)))
        return row

    def _swap(self, row: _Row, new: _Row) -> bool:
        """Replace a row, if the file still holds it; answers whether it did."""
        vm = new.machine.id
        if self._db.execute(*_swapping(vm, row.content, new.content)).rowcount == 0:
            return False
        if new.content is None:
            self._seen.pop(vm, None)
        else:
            self._seen[vm] = new
        return True

    def _forget(self, vm: str) -> None:
        self._db.execute("DELETE FROM machine WHERE id = ?", (vm,))
        self._seen.pop(vm, None)

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
        except (OSError, sqlite3.Error, ValueError) as error:
            raise internal_error(
                f"The simulated host cannot use its state in {self._path}: {error}; "
                "see to the disk and its rights, or remove the file to begin with an empty host"
            ) from error


def _swapping(vm: str, old: bytes | None, new: bytes | None) -> tuple[str, tuple[str | bytes, ...]]:
    """The statement that touches one row if the old content is still the file's, and none if not."""
    if new is None:
        return "DELETE FROM machine WHERE id = ? AND content = ?", (vm, old or b"")
    if old is None:
        return "INSERT OR IGNORE INTO machine VALUES (?, ?)", (vm, new)
    return "UPDATE machine SET content = ? WHERE id = ? AND content = ?", (new, vm, old)


_MACHINE = TypeAdapter(Machine)


def _row_of(machine: Machine) -> _Row:
    return _Row(None if machine.is_blank() else _encode(machine), machine)


def _encode(machine: Machine) -> bytes:
    """JSON; in ASCII where strings are not UTF-8: quicker than the wire's, and can hold them."""
    try:
        return _MACHINE.dump_json(machine)
    except ValueError:  # of strings that are no text
        return json.dumps(machine.model_dump(), separators=(",", ":")).encode()
