"""The fold: all that the event hub knows of one instance, as far as it has read the log."""

from collections.abc import Iterable, Iterator

from bus.ports import Entry
from schema.ids import WorkerName
from schema.objects.dynamic import ObjectId, TaskObject
from schema.records import Record, WorkerUp

from eventhub import tokens
from eventhub.quarantine import QuarantineFold
from eventhub.snapshot import FoldState, decoded, encoded
from eventhub.tasks import Tasks
from eventhub.updates import Updates


class Fold:
    """Tasks, updates, workers, and what was passed over, after `seen` entries."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.updates = Updates()
        self.workers: dict[WorkerName, WorkerUp] = {}
        self.quarantine = QuarantineFold()
        self.seen = tokens.START
        self.life: int | None = None
        """What tells the log's lives apart; None: nothing was read."""

    def snapshot(self) -> Iterator[bytes]:
        """What is known now, as lines."""
        workers = tuple(self.workers.values())
        tasks, updates, quarantine = self.tasks.state(), self.updates.state(), self.quarantine.told()
        return encoded(FoldState(self.seen, self.life, workers, tasks, updates, quarantine))

    def restore(self, lines: Iterable[bytes]) -> None:
        """Know what lines say; nothing changes if they are another version's.

        Raises:
            SnapshotError: they are.
        """
        state = decoded(lines)
        self.seen, self.life = state.seen, state.life
        self.workers = {worker.worker: worker for worker in state.workers}
        self.tasks.take(state.tasks)
        self.updates.take(state.updates)
        self.quarantine.take(state.quarantine)

    def on_entry(self, entry: Entry) -> None:
        """Take the next entry: what it says has changed comes first, then its tasks, as in the original."""
        if self.life is None or entry.record.kind == "LifeBegan":
            self.life = tokens.life_of(entry)
        self.seen = tokens.place_after(entry.offset)
        self.updates.change(_changed(entry.record), self.seen)
        tasks = self.tasks.on_entry(entry)
        self.updates.change((TaskObject(id=str(task)) for task in tasks.changed), self.seen)
        for task in tasks.gone:
            self.updates.forget(TaskObject(id=str(task)))
        self._note(entry.record)

    def _note(self, record: Record) -> None:
        match record.kind:
            case "Removed":
                self.updates.remove_vm(record.vm, self.seen)
            case "Barrier":
                self.updates.put_barrier(record.barrier, record.vm, self.seen)
            case "BarrierRemoved":
                self.updates.remove_barrier(record.barrier)
            case "WorkerUp":
                self.workers[record.worker] = record
            case "WorkerDown":
                self.workers.pop(record.worker, None)
            case "Acted" | "QuarantineRetried" | "QuarantineDiscarded":
                self.quarantine.on_record(record)
            case _:
                pass  # tasks have taken it, or it says nothing that anybody asks for here

    def token_of(self, place: int) -> int:
        """The token that tells a client where it is."""
        return tokens.token_of(self.life or 0, place)

    def place_of(self, token: int) -> int | None:
        """Where a client is, or None when its token was not given out in this life of the log."""
        return tokens.place_of(self.life or 0, token)


def _changed(record: Record) -> tuple[ObjectId, ...]:
    match record.kind:
        case "Started" | "Progress" | "Changed" | "Finished":
            return record.changed
        case _:
            return ()
