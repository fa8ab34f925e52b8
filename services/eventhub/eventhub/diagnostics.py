"""Diagnostics: what get_diagnostics tells, in the original's shape, from what the log tells.

As the original's: JSON within a JSON string, times without dashes, objects and queues from the last of their
order to the first. What each domain asks for (`vm_actions`) is known to a worker only, who is asked; without
one, nothing is said to be asked for.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId
from schema.objects.task import TaskState
from schema.operations import Operation
from schema.rpc import ResponseError, decode_response
from schema.wire import json
from schema.wire.codec import encode_text
from schema.wire.errors import JsonError
from schema.wire.value import Dict

from eventhub.described import described
from eventhub.fold import Fold
from eventhub.tasks import TaskStory
from eventhub.updates import Updates

_CLASSES = ("Vm", "Vbd", "Vif", "Pci", "Vgpu", "Vusb", "Task")
"""In the order of the original's type."""


def report(fold: Fold, part: bytes | None) -> str:
    """The whole report; `part` is a worker's answer to the same question."""
    return json.dumps(
        Dict(
            [
                ("vm_actions", _actions(part) or Dict((vm, []) for vm in fold.updates.vms)),
                ("tasks", [_task(story) for story in fold.tasks.all()]),
                ("updates", _updates(fold.updates)),
                ("scheduler", []),
                ("workers", _workers(fold)),
                ("queues", _queues(fold)),
            ]
        )
    )


def _actions(part: bytes | None) -> Dict | None:
    """What the worker's part says; None when it is none."""
    if part is None:
        return None
    try:
        told = json.loads(decode_response("get_diagnostics", part))
    except (XenopsError, ResponseError, JsonError):
        return None
    found = told.get("vm_actions") if isinstance(told, Dict) else None
    return found if isinstance(found, Dict) else None


def _task(story: TaskStory) -> Dict:
    task = story.shown()
    created = datetime.fromtimestamp(story.created, UTC).strftime("%Y%m%dT%H:%M:%SZ")
    subtasks = ((name, encode_text(TaskState, state)) for name, state in task.subtasks)
    return Dict([("subtasks", Dict(subtasks)), ("dbg", story.dbg), ("ctime", created), ("id", task.id)])


def _updates(updates: Updates) -> Dict:
    barriers = [[barrier.id, barrier.place, _changes(barrier.changes)] for barrier in updates.barriers]
    return Dict([("updates", _changes(updates.items())), ("barriers", barriers)])


def _changes(items: Iterable[tuple[ObjectId, int]]) -> list[Any]:
    """From the greatest to the least, as the original's map of them is read."""
    ordered = sorted(items, key=lambda item: _order(item[0]), reverse=True)
    return [Dict([("id", place), ("v", encode_text(ObjectId, changed))]) for changed, place in ordered]


def _order(changed: ObjectId) -> tuple[int, tuple[str, ...]]:
    name = (changed.id,) if isinstance(changed.id, str) else tuple(changed.id)
    return _CLASSES.index(changed.kind), name


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
    return [Dict([("works", works), ("tag", vm)]) for vm, works in sorted(lanes.items(), reverse=True)]


def _described(operation: Operation) -> str:
    return json.dumps(described(operation))
