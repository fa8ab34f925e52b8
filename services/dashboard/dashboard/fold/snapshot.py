"""Snapshot: the fold as lines of JSON, and back: a head, then a line for each task."""

from collections.abc import Iterable, Iterator, Mapping

from bus.snapshots import SnapshotError
from bus.stories.story import Story
from bus.stories.tasks import TasksState
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dashboard.fold.marks import ActionSeen, Barrier
from dashboard.fold.workers import WorkerSeen

VERSION = 1
"""Of what is written; another version's is not read, and the log is read from its beginning."""

_STORY = TypeAdapter(Story)


class FoldState(BaseModel):
    """What is known besides tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    offset: int
    at: float
    leader: str
    leader_version: str = ""
    held: Mapping[str, float]
    workers: tuple[WorkerSeen, ...]
    barriers: tuple[Barrier, ...]
    actions: tuple[ActionSeen, ...]
    ended: tuple[int, ...] = ()
    term: int = -1


def encoded(state: FoldState, tasks: TasksState) -> Iterator[bytes]:
    """The lines of a state."""
    head = state.model_copy(update={"ended": tasks.ended, "term": tasks.term})
    return _lines(head, tasks.stories)


def _lines(head: FoldState, stories: tuple[Story, ...]) -> Iterator[bytes]:
    yield head.model_dump_json().encode()
    for story in stories:
        yield _STORY.dump_json(story)


def decoded(lines: Iterable[bytes]) -> tuple[FoldState, TasksState]:
    """The state of lines.

    Raises:
        SnapshotError: another version wrote them.
    """
    numbered = iter(lines)
    try:
        head = FoldState.model_validate_json(next(numbered, b""))
        stories = tuple(map(_STORY.validate_json, numbered))
    except ValidationError as error:
        raise SnapshotError(
            f"the dashboard does not read this snapshot: {error.error_count()} faults"
        ) from error
    if head.version != VERSION:
        raise SnapshotError(f"the dashboard's snapshot has version {head.version}, not {VERSION}")
    return head, TasksState(stories, head.ended, head.term)
