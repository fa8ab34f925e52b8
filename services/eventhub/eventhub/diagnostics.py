"""Diagnostics: what get_diagnostics tells, in the original's shape, from what the log tells.

As the original's: JSON within a JSON string, times without dashes, every list in the order in which it is
kept. `vm_actions` is always empty for a VM: what a domain asks for is known to its worker only.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from schema.objects.dynamic import ObjectId
from schema.objects.task import TaskState
from schema.operations import Operation
from schema.wire import json
from schema.wire.codec import encode_text
from schema.wire.value import Dict

from eventhub.fold import Fold
from eventhub.tasks import TaskStory, wire_value
from eventhub.updates import Updates


def report(fold: Fold) -> str:
    """The whole report."""
    return json.dumps(
        Dict(
            [
                ("vm_actions", Dict((vm, []) for vm in fold.updates.vms)),
                ("tasks", [_task(story) for story in fold.tasks.all()]),
                ("updates", _updates(fold.updates)),
                ("scheduler", []),
                ("workers", _workers(fold)),
                ("queues", _queues(fold)),
            ]
        )
    )


def _task(story: TaskStory) -> Dict:
    task = story.shown()
    created = datetime.fromtimestamp(story.created, UTC).strftime("%Y%m%dT%H:%M:%SZ")
    subtasks = ((name, encode_text(TaskState, state)) for name, state in task.subtasks)
    return Dict([("subtasks", Dict(subtasks)), ("dbg", story.dbg), ("ctime", created), ("id", task.id)])


def _updates(updates: Updates) -> Dict:
    barriers = [[barrier.id, barrier.place, _changes(barrier.changes)] for barrier in updates.barriers]
    return Dict([("updates", _changes(updates.items())), ("barriers", barriers)])


def _changes(items: Iterable[tuple[ObjectId, int]]) -> list[Any]:
    return [Dict([("id", place), ("v", encode_text(ObjectId, changed))]) for changed, place in items]


def _workers(fold: Fold) -> list[Any]:
    """One line for each VM that a worker could run at a time, busy ones first."""
    busy = list(fold.tasks.running())
    capacity = sum(worker.capacity for worker in fold.workers.values())
    idle = [Dict([("state", "Idle")])] * max(0, capacity - len(busy))
    return [*map(_processing, busy), *idle]


def _processing(story: TaskStory) -> Dict:
    return Dict([("task", _task(story)), ("state", f"Processing {_described(story.operation)}")])


def _queues(fold: Fold) -> list[Any]:
    lanes: dict[str, list[str]] = {}
    for story in fold.tasks.queued():
        lanes.setdefault(story.vm, []).append(_described(story.operation))
    return [Dict([("works", works), ("tag", vm)]) for vm, works in lanes.items()]


def _described(operation: Operation) -> str:
    """An operation as the original names it, with what it is done to."""
    values = operation.model_dump(mode="json")
    kind = values.pop("kind")
    return json.dumps([kind, wire_value(values)])
