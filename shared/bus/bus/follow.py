"""Follow: a fold of a log that is taken up from its last snapshot, read on, and put away now and then."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from schema.ids import InstanceName
from schema.log_records import Snapshotted
from schema.records import Record

from bus.clock import Clock
from bus.loop import Action
from bus.place import Place
from bus.ports import Entry, Fold
from bus.retention import Coverage
from bus.snapshots import Header, SnapshotError, cut, opened

RECORDS_MAX = 50_000
"""Records between two snapshots: read again in some seconds, and a small part of what any log keeps."""

RECORDS_MIN, AGE_S = 1_000, 300.0
"""After so many, and so long, there is one as well: a quiet service starts at once, too."""

LOOK_S = 600.0
"""How often one looks whether the broker will drop what no snapshot covers; it drops a little in a day."""

SLICE_LINES, PAUSE_S = 100, 0.002
"""So many lines are encoded at a time, then the bus's thread has its turn."""

_log = logging.getLogger("bus")


class SnapshotStore(Protocol):
    """Where the snapshots of one service of one instance are kept. Its methods may take long."""

    def newest_first(self) -> Iterator[bytes]:
        """The whole snapshots that are there."""

    def holds(self, place: Place) -> bool:
        """Whether the log is still the one in which this place was."""

    def first(self) -> int:
        """The first offset of the log that is kept."""

    def put(self, pieces: Iterator[bytes]) -> int:
        """Keep one more; answers its bytes. Those before it may be dropped."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a fold is put away: after so many records, or fewer once so much time has passed."""

    records_max: int = RECORDS_MAX
    records_min: int = RECORDS_MIN
    age_s: float = AGE_S


def usual() -> Rhythm:
    """What suits services in earnest."""
    return Rhythm(RECORDS_MAX, RECORDS_MIN, AGE_S)


def begin_thread(work: Action, name: str) -> None:
    """Have work done that may take long."""
    threading.Thread(target=work, name=name, daemon=True).start()


@dataclass(frozen=True, slots=True)
class Followed:
    """A fold, and what its follower needs of a bus; `read` begins to read and answers where it is.

    `begin` has work done, of a name, on a thread that may wait.
    """

    instance: InstanceName
    service: str
    fold: Fold
    store: SnapshotStore
    clock: Clock
    soon: Callable[[Action], None]
    append: Callable[[Record], object]
    read: Callable[[Place, Callable[[Entry], None], Action], Callable[[], Place]]
    begin: Callable[[Action, str], None] = begin_thread
    rhythm: Rhythm = field(default_factory=usual)


class Follower:
    """Reads for one fold. All but the store's work is done on the bus's thread."""

    def __init__(self, followed: Followed) -> None:
        self._of = followed
        self._place: Callable[[], Place] = Place
        self._live = False
        self._since = 0
        self._since_at = self._looked_at = followed.clock.monotonic()
        self._busy = self._looks = False
        self._coverage = Coverage()

    def start(self) -> None:
        """Take the fold up, and read on; returns at once."""
        self._of.begin(self._take_up, f"take-up-{self._of.service}")

    def _take_up(self) -> None:
        place = Place()
        try:
            place = self._restored()
        except SnapshotError as error:
            _log.warning("%s of %s reads all of its log: %s", self._of.service, self._of.instance, error)
        finally:
            self._of.soon(lambda: self._begin(place))

    def _restored(self) -> Place:
        """Restore from the newest snapshot that this version reads and this log holds."""
        of = self._of
        for whole in of.store.newest_first():
            try:
                header, lines = opened(whole)
                is_held = of.store.holds(header.place)
                if is_held:
                    of.fold.restore(lines)
            except SnapshotError as error:
                _log.warning("a snapshot of %s of %s is left alone: %s", of.service, of.instance, error)
                continue
            if is_held:
                _log.info("%s of %s is taken up at %d", of.service, of.instance, header.next)
                return header.place
            sentence = "a snapshot of %s of %s is left alone: the log is not the one that it was made of"
            _log.warning(sentence, of.service, of.instance)
        return Place()

    def _begin(self, place: Place) -> None:
        self._coverage.note(self._of.service, place.next)
        self._place = self._of.read(place, self._on_entry, self._on_live)

    def _on_live(self) -> None:
        self._live = True
        self._of.fold.on_live()

    def _on_entry(self, entry: Entry) -> None:
        self._of.fold.on_entry(entry)
        self._since += 1
        if isinstance(entry.record, Snapshotted):
            self._coverage.note(entry.record.service, entry.record.next)
            if entry.record.service == self._of.service:
                self._rest()  # it serves all replicas
        if self._live and not self._busy and self._is_due():
            self._put_away()
        if self._live and not self._looks and self._of.clock.monotonic() - self._looked_at > LOOK_S:
            self._looks = True
            end = self._place().next
            self._of.begin(partial(self._look, end), "look-back")

    def _look(self, end: int) -> None:
        """Say it when the broker will soon drop what no snapshot covers, or has."""
        try:
            first = self._of.store.first()
        except SnapshotError as error:
            _log.warning("from where the log of %s is kept is not known: %s", self._of.instance, error)
        else:
            for warning in self._coverage.warnings(first, end):
                _log.warning("the log of %s: %s", self._of.instance, warning)
        finally:
            self._looked_at = self._of.clock.monotonic()
            self._looks = False

    def _is_due(self) -> bool:
        rhythm = self._of.rhythm
        if self._since < rhythm.records_min:
            return False
        is_old = self._of.clock.monotonic() - self._since_at > rhythm.age_s
        return is_old or self._since >= rhythm.records_max

    def _rest(self) -> None:
        self._since, self._since_at = 0, self._of.clock.monotonic()

    def _put_away(self) -> None:
        """What the fold is now is put away by another thread, while it goes on."""
        of, place = self._of, self._place()
        self._rest()
        self._busy = True
        header = Header(
            service=of.service,
            at=of.clock.now(),
            next=place.next,
            anchor=place.anchor,
            producers=dict(place.producers),
        )
        work = partial(self._write, header, of.fold.snapshot())
        of.begin(work, f"put-away-{of.service}")

    def _write(self, header: Header, lines: Iterable[bytes]) -> None:
        of = self._of
        try:
            size = of.store.put(cut(uuid.uuid4().hex, header, _slowly(lines)))
        except SnapshotError as error:
            _log.warning("%s of %s has no new snapshot: %s", of.service, of.instance, error)
        else:
            of.append(Snapshotted(service=of.service, next=header.next, bytes=size))
        finally:
            self._busy = False


def _slowly(lines: Iterable[bytes]) -> Iterator[bytes]:
    pause = threading.Event()
    for number, line in enumerate(lines, 1):
        yield line
        if number % SLICE_LINES == 0:
            pause.wait(PAUSE_S)
