"""LANE and WORKER, of our own: what waits, what runs, and how an operator changes the order."""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.own_methods declares; a test holds these annotations against it.

from dataclasses import dataclass

from schema.objects.lane import Lanes, LaneTasks, Worker

from xenops.calls.caller import Caller


@dataclass(frozen=True, slots=True)
class LaneCalls:
    """The methods `LANE.*`."""

    call: Caller

    def list(self, limit: int = 1_000) -> Lanes:
        """Lanes in which anything is, so many at the most, and how much there is in all."""
        return self.call("LANE.list", limit=limit)

    def stat(self, vm: str) -> LaneTasks:
        """One VM's lane, with all that waits in it."""
        return self.call("LANE.stat", id=vm)

    def hold(self, vm: str) -> None:
        """Let no more of a VM's tasks go; what runs goes on."""
        self.call("LANE.hold", id=vm)

    def release(self, vm: str) -> None:
        """Let a VM's tasks go again."""
        self.call("LANE.release", id=vm)

    def prioritise(self, task: str, priority: int) -> None:
        """Let a waiting task go before all of its VM's with a lower priority; 0 is usual."""
        self.call("LANE.prioritise", task=task, priority=priority)

    def set_deadline(self, task: str, within: float | None) -> None:
        """Let a waiting task fail unless it begins within so many seconds; None: it may wait for ever."""
        self.call("LANE.set_deadline", task=task, within=within)


@dataclass(frozen=True, slots=True)
class WorkerCalls:
    """The methods `WORKER.*`."""

    call: Caller

    def list(self) -> tuple[Worker, ...]:
        """All workers that are known."""
        return self.call("WORKER.list")

    def drain(self, worker: str) -> None:
        """Give a worker nothing new; it is drained when what it runs has ended."""
        self.call("WORKER.drain", worker=worker)

    def undrain(self, worker: str) -> None:
        """Give a worker tasks again."""
        self.call("WORKER.undrain", worker=worker)
