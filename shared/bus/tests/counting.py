"""Counting: the simplest fold that can be put away, in a test's hand: which records came, in order."""

import json
import threading
from collections.abc import Iterable, Iterator

from bus.ports import Entry, Fold
from bus.snapshots import SnapshotError
from schema.log_records import Snapshotted
from schema.records import LaneHeld
from typing_extensions import override

PATIENCE_S = 120.0


class Counting(Fold):
    """`seen` is all that it knows; `read` is what this one has read itself."""

    def __init__(self, *, understands: bool = True) -> None:
        self.seen: list[str] = []
        self.read: list[int] = []
        self.put_away = 0
        self._understands = understands
        self._live = False
        self._changed = threading.Condition()

    @override
    def on_entry(self, entry: Entry) -> None:
        with self._changed:
            self.read.append(entry.offset)
            match entry.record:
                case LaneHeld(vm=vm):
                    self.seen.append(vm)
                case Snapshotted():
                    self.put_away += 1
                case _:
                    pass
            self._changed.notify_all()

    @override
    def on_live(self) -> None:
        with self._changed:
            self._live = True
            self._changed.notify_all()

    @override
    def snapshot(self) -> Iterator[bytes]:
        return iter([json.dumps(list(self.seen)).encode()])

    @override
    def restore(self, lines: Iterable[bytes]) -> None:
        if not self._understands:
            raise SnapshotError("it is not for me")
        (line,) = lines
        self.seen = json.loads(line)

    def until(self, *, count: int = 0, put_away: int = 0) -> list[str]:
        """Wait until it is live, and knows so much."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: self._live and len(self.seen) >= count and self.put_away >= put_away, PATIENCE_S
            ), (self._live, len(self.seen), self.put_away)
            return list(self.seen)
