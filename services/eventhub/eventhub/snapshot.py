"""Snapshot: the event hub's fold as lines of JSON, and back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bus import versioned
from pydantic import TypeAdapter
from schema.ids import LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.dynamic import ObjectId
from schema.objects.quarantine import Quarantine
from schema.objects.task import TaskState
from schema.operations import Operation
from schema.records import WorkerUp
from schema.wire.codec import decode_text, encode_text
from schema.wire.errors import JsonError, MarshalError

from eventhub.quarantine import NOTHING
from eventhub.tasks import TasksState, TaskStory
from eventhub.updates import PlacedBarrier, UpdatesState

VERSION = 1
"""Of these lines. Who changes them reads the older ones, too, or makes do without: see docs/log.md."""

OBJECTS_A_LINE = 200

_OPERATION: TypeAdapter[Operation] = TypeAdapter(Operation)
_OBJECTS: TypeAdapter[list[tuple[ObjectId, int]]] = TypeAdapter(list[tuple[ObjectId, int]])
_IDS: TypeAdapter[list[ObjectId]] = TypeAdapter(list[ObjectId])
_WORKERS: TypeAdapter[list[WorkerUp]] = TypeAdapter(list[WorkerUp])


@dataclass(frozen=True, slots=True)
class FoldState:
    """All that a fold knows."""

    seen: int
    life: int | None
    workers: tuple[WorkerUp, ...]
    tasks: TasksState
    updates: UpdatesState
    quarantine: Quarantine


def encoded(state: FoldState) -> Iterator[bytes]:
    """The lines, made one by one."""
    tasks, updates = state.tasks, state.updates
    yield versioned.line(
        version=VERSION,
        seen=state.seen,
        life=state.life,
        workers=_WORKERS.dump_json(list(state.workers)).decode(),
        term=tasks.term,
        finished=tasks.finished,
        kept_since=updates.kept_since,
        last=updates.last,
        gone=_IDS.dump_json(list(updates.gone)).decode(),
        quarantine=encode_text(Quarantine, state.quarantine),
    )
    for barrier in updates.barriers:
        changes = _OBJECTS.dump_json(list(barrier.changes)).decode()
        yield versioned.line(barrier=barrier.id, place=barrier.place, changes=changes)
    places = list(updates.places.items())
    for begin in range(0, len(places), OBJECTS_A_LINE):
        yield versioned.line(objects=_OBJECTS.dump_json(places[begin : begin + OBJECTS_A_LINE]).decode())
    for story in tasks.stories:
        yield _story_line(story)


def decoded(lines: Iterable[bytes]) -> FoldState:
    """What the lines say.

    Raises:
        SnapshotError: another version wrote them, or they do not parse.
    """
    return versioned.read(lines, VERSION, _decoded, JsonError, MarshalError)


def _decoded(first: Any, others: list[Any]) -> FoldState:
    barriers, places, stories = [], [], []
    for line in others:
        if "barrier" in line:
            changes = tuple(_OBJECTS.validate_json(line["changes"]))
            barriers.append(PlacedBarrier(line["barrier"], line["place"], changes))
        elif "objects" in line:
            places += _OBJECTS.validate_json(line["objects"])
        else:
            stories.append(_story(line))
    finished = tuple((TaskId(task), at) for task, at in first["finished"])
    term = Term(first["term"])
    gone = tuple(_IDS.validate_json(first["gone"]))
    return FoldState(
        seen=first["seen"],
        life=first["life"],
        workers=tuple(_WORKERS.validate_json(first["workers"])),
        tasks=TasksState(tuple(stories), finished, term),
        updates=UpdatesState(dict(places), gone, first["kept_since"], tuple(barriers), first["last"]),
        quarantine=decode_text(Quarantine, first["quarantine"]) if "quarantine" in first else NOTHING,
    )


def _story_line(story: TaskStory) -> bytes:
    return versioned.line(
        id=story.id,
        vm=story.vm,
        operation=_OPERATION.dump_json(story.operation).decode(),
        dbg=story.dbg,
        created=story.created,
        destroy_on_finish=story.destroy_on_finish,
        awaited=story.awaited,
        destroyed=story.destroyed,
        state=encode_text(TaskState, story.state),
        subtasks=story.subtasks,
        debug_info=story.debug_info,
        backtrace=story.backtrace,
        cancellable=story.cancellable,
        token=story.token,
        worker=story.worker,
        merged=story.merged,
        followers=story.followers,
    )


@lru_cache(maxsize=1_000)
def _state(text: str) -> Any:
    """Most tasks that wait have the same."""
    return decode_text(TaskState, text)


def _story(line: Any) -> TaskStory:
    return TaskStory(
        id=TaskId(line["id"]),
        vm=VmId(line["vm"]),
        operation=_OPERATION.validate_json(line["operation"]),
        dbg=line["dbg"],
        created=line["created"],
        destroy_on_finish=line["destroy_on_finish"],
        awaited=line.get("awaited", False),
        destroyed=line["destroyed"],
        state=_state(line["state"]),
        subtasks=tuple((name, fraction) for name, fraction in line["subtasks"]),
        debug_info=tuple((key, value) for key, value in line["debug_info"]),
        backtrace=line["backtrace"],
        cancellable=line["cancellable"],
        token=None if line["token"] is None else LeaseToken(line["token"]),
        worker=None if line["worker"] is None else WorkerName(line["worker"]),
        merged=line["merged"],
        followers=[TaskId(task) for task in line["followers"]],
    )
