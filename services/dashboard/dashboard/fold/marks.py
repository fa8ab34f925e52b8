"""Marks: what clients and operators have left in the log: barriers, and who asked for what."""

from dataclasses import dataclass

from schema import records
from schema.overseen import Wish


@dataclass(frozen=True, slots=True)
class Barrier:
    """A mark in a VM's changes that a client waits for."""

    id: int
    vm: str
    offset: int
    at: float


@dataclass(frozen=True, slots=True)
class ActionSeen:
    """What an operator has asked for; `proved`: by his token, else `who` is what a client calls himself."""

    offset: int
    at: float
    who: str
    action: str
    subject: str
    proved: bool = True


def asks_as(operator: str) -> str:
    """What this service calls itself when it asks others for what an operator wants."""
    return f"dashboard:{operator}"


def wanted_by(wish: Wish) -> tuple[str, str] | None:
    """What a wish about lanes and workers is called, as `dashboard.safety` does, and its subject."""
    match wish:
        case records.LaneHeld(vm=vm):
            return "hold", vm
        case records.LaneReleased(vm=vm):
            return "release", vm
        case records.Reprioritised(task=task, priority=priority):
            return f"prioritise {priority}", str(task)
        case records.DeadlineSet(task=task):
            return "deadline", str(task)
        case records.WorkerDraining(worker=worker, draining=draining):
            return "drain" if draining else "undrain", worker
        case _:
            return None  # a cancel: any client may take back what it has asked for
