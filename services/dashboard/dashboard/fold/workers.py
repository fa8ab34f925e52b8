"""Workers: which have come, how much they can run, when they were last heard of."""

from dataclasses import dataclass, replace

from bus.ports import Entry
from schema import records
from schema.log_records import Stranded


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as far as the log tells; `heard_at` is in seconds since the epoch, by the worker's clock."""

    name: str
    epoch: str = ""
    capacity: int = 0
    up: bool = False
    draining: bool = False
    heard_at: float = 0.0
    version: str = ""
    stranded: tuple[Stranded, ...] = ()


class WorkersSeen:
    """The fold: give it every entry."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerSeen] = {}

    def all(self) -> tuple[WorkerSeen, ...]:
        """All that ever came, by name."""
        return tuple(self._workers[name] for name in sorted(self._workers))

    def take(self, workers: tuple[WorkerSeen, ...]) -> None:
        """Know these, and nothing else."""
        self._workers = {worker.name: worker for worker in workers}

    def find(self, name: str) -> WorkerSeen | None:
        """A worker by its name."""
        return self._workers.get(name)

    def on_entry(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.record:
            case records.WorkerUp(worker=name, epoch=epoch, capacity=capacity, version=version):
                known = replace(self._of(name), up=True, heard_at=entry.at)
                self._workers[name] = replace(known, epoch=epoch, capacity=capacity, version=version)
            case records.WorkerDown(worker=name, epoch=epoch):
                known = self._of(name)
                self._workers[name] = replace(known, up=known.up and known.epoch != epoch)
            case records.WorkerDraining(worker=name, draining=draining):
                self._workers[name] = replace(self._of(name), draining=draining)
            case records.Heartbeat(worker=name, stranded=stranded):
                self._workers[name] = replace(self._of(name), heard_at=entry.at, stranded=stranded)
            case records.Started(worker=name):
                self._workers[name] = replace(self._of(name), heard_at=entry.at)
            case _:
                pass

    def _of(self, name: str) -> WorkerSeen:
        return self._workers.get(name) or WorkerSeen(name)
