"""Journal: the switch's queues on the disk, so that they outlive the process; a line for each change.

Nothing is flushed to the disk itself: what it is for is a frontend that dies, not a machine.
"""

import fcntl
import json
import logging
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii as _quote
from pathlib import Path
from typing import Any, BinaryIO

from frontend.switch.effects import Acknowledged, Made, Note, Removed, Sent
from frontend.switch.protocol import Entry, Message, MessageId
from frontend.switch.queues import Queue, Queues

GROWTH_BYTES_MAX = 16 * 1024 * 1024
"""How much is written before the file is made anew from what is still there."""

_log = logging.getLogger("frontend")


class JournalError(Exception):
    """The journal cannot be taken up; the sentence says why, and what to do."""


class Journal:
    """The file `switch` in a directory, held by one process at a time."""

    def __init__(self, directory: Path) -> None:
        """Take it up.

        Raises:
            JournalError: another process holds it.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / "switch"
        self._lock = (directory / "switch.lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise JournalError(
                f"another frontend keeps its queues in {directory}: give each its own XENOPS_STATE_DIR"
            ) from error
        self._file: BinaryIO | None = None
        self._grown = 0

    def load(self) -> Queues:
        """What was there; an unfinished last line is of a process that was killed while it wrote."""
        queues = Queues()
        found: dict[str, Queue] = {}
        for change in self._lines():
            _apply(found, change)
        for queue in found.values():
            queues.restore(queue)
        self._renew(queues)
        return queues

    def write(self, notes: Iterable[Note], queues: Queues) -> None:
        """Write down changes that `queues` has seen already."""
        if self._file is None:
            return
        lines = b"".join(map(_line, notes))
        try:
            self._file.write(lines)
            self._grown += len(lines)
            if self._grown > GROWTH_BYTES_MAX:
                self._renew(queues)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write no more, whatever ends from now on, and let another process take it up."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._lock.close()

    def _lines(self) -> Iterator[list[Any]]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.split(b"\n")[:-1]:
            try:
                yield json.loads(line)
            except ValueError:
                _log.warning("%s: a line cannot be read and is passed over", self._path)

    def _renew(self, queues: Queues) -> None:
        """Write the file anew, with what is there now."""
        successor = self._path.with_suffix(".new")
        try:
            with successor.open("wb") as file:
                for queue in queues.all():
                    file.write(_encode(["+", queue.name, queue.owner, queue.next_number]))
                    for number, entry in queue.entries.items():
                        file.write(_line(Sent(MessageId(queue.name, number), entry)))
            successor.replace(self._path)
            if self._file is not None:
                self._file.close()
            self._file = self._path.open("ab", buffering=0)
            self._grown = 0
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Queues are kept in memory alone; better than none."""
        _log.error(
            "%s: %s; from now on the switch's queues end with this process", self._path, error.strerror
        )
        if self._file is not None:
            self._file.close()
        self._file = None


def _line(note: Note) -> bytes:
    """A change as JSON; those that come with every call are put together by hand, which is faster."""
    match note:
        case Made(queue, owner):
            return _encode(["+", queue, owner, 0])
        case Removed(queue):
            return _encode(["-", queue])
        case Sent(id_, Entry(origin, at_ns, message)):
            kind = message.kind
            written = _quote(kind) if isinstance(kind, str) else f"[{_quote(kind.queue)},{kind.number}]"
            payload = _quote(message.payload.decode("latin-1"))
            head = f'[">",{_quote(id_.queue)},{id_.number},{_quote(origin)},{at_ns}'
            return f"{head},{written},{payload}]\n".encode()
        case Acknowledged(id_):
            return f'["<",{_quote(id_.queue)},{id_.number}]\n'.encode()


def _encode(change: list[Any]) -> bytes:
    return json.dumps(change).encode() + b"\n"


def _apply(queues: dict[str, Queue], change: list[Any]) -> None:
    match change:
        case ["+", str(name), owner, int(number)]:
            queues[name] = Queue(name, owner, number)
        case ["-", str(name)]:
            queues.pop(name, None)
        case [">", name, int(number), str(origin), int(at_ns), kind, str(payload)] if name in queues:
            queue = queues[name]
            message = Message(payload.encode("latin-1"), kind if isinstance(kind, str) else MessageId(*kind))
            queue.entries[number] = Entry(origin, at_ns, message)
            queue.next_number = max(queue.next_number, number + 1)
        case ["<", name, int(number)] if name in queues:
            queues[name].entries.pop(number, None)
        case _:
            _log.warning("the switch's journal has a line that says nothing: %r", change)
