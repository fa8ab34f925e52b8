"""Feed: the newest entries of the log, for whoever looks or follows; who falls too far behind is told so."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from bus.ports import Entry
from bus.stories.tasks import vm_of
from typing_extensions import override

KEPT_MAX = 20_000
"""Entries that are kept: some 30 MB; who follows may be so far behind."""


EVENT_ID = r"^(-1|[0-9]{1,18}(\.[0-9]{1,16})?)$"
"""What an event's id may be: an offset, and when that entry was made."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants of the log; "" is anything, but those kinds that are passed over."""

    vm: str = ""
    kind: str = ""
    passed_over: frozenset[str] = frozenset()

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is wanted."""
        kind = entry.record.kind
        if kind in self.passed_over or (self.kind and kind != self.kind):
            return False
        return not self.vm or vm_of(entry.record) == self.vm


@dataclass(frozen=True, slots=True)
class Seen:
    """Up to which entry somebody has seen all: its offset and, where that is known, when it was made, in ms.

    A log that was lost begins to count anew, so an offset alone may be another entry's by now.
    """

    offset: int
    made_ms: int | None = None

    @override
    def __str__(self) -> str:
        """As the id of an event, and back by `seen_by`."""
        return f"{self.offset}" if self.made_ms is None else f"{self.offset}.{self.made_ms}"

    def is_another_than(self, entry: Entry) -> bool:
        """Whether an entry of the same offset was made at another time."""
        return self.made_ms is not None and self.made_ms != _made_ms(entry)


def seen(entry: Entry) -> Seen:
    """Who has seen all up to this entry."""
    return Seen(entry.offset, _made_ms(entry))


def seen_by(text: str) -> Seen:
    """What an event's id says, a number or two with a dot between them."""
    offset, _, made_ms = text.partition(".")
    return Seen(int(offset), int(made_ms) if made_ms else None)


def _made_ms(entry: Entry) -> int:
    return int(entry.at * 1_000)


class Feed:
    """A ring of entries, in order."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept_max)
        self._dropped = 0

    def add(self, entry: Entry) -> None:
        """Keep one more; the oldest may go."""
        if len(self._entries) == self._entries.maxlen:
            self._dropped += 1
        self._entries.append(entry)

    @property
    def first(self) -> int | None:
        """The offset of the oldest entry that is kept."""
        return self._entries[0].offset if self._entries else None

    @property
    def end(self) -> int:
        """How many entries there were: a place behind the newest one."""
        return self._dropped + len(self._entries)

    def place_after(self, seen: Seen) -> int | None:
        """The place of who has seen so much; None when what comes next may not be kept.

        Who has seen more than there is, or another entry, has read an earlier life of the log.
        """
        if not self._entries or not self._entries[0].offset - 1 <= seen.offset <= self._entries[-1].offset:
            return None
        behind = 0
        for entry in reversed(self._entries):
            if entry.offset == seen.offset and seen.is_another_than(entry):
                return None
            if entry.offset <= seen.offset:
                break
            behind += 1
        return self.end - behind

    def since(self, place: int, count: int) -> tuple[tuple[Entry, ...], int] | None:
        """At most `count` entries from a place on, and the place behind them; None when some are gone."""
        if place < self._dropped:
            return None
        found = tuple(islice(self._entries, place - self._dropped, place - self._dropped + count))
        return found, place + len(found)

    def newest_first(self, wanted: Wanted, before: int | None = None) -> Iterator[Entry]:
        """What is wanted of what is kept, below an offset if one is given."""
        return (
            entry
            for entry in reversed(self._entries)
            if (before is None or entry.offset < before) and wanted.takes(entry)
        )
