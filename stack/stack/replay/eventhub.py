"""The event hub in a replay: tasks, updates, barriers, quarantine, and what clients are told."""

from collections.abc import Iterator

from bus.ports import Entry
from bus.quarantine import Quarantined
from eventhub.fold import Fold
from eventhub.tasks import TaskStory
from eventhub.updates import News
from schema.objects.dynamic import ObjectId
from schema.objects.task import Completed, Failed, Pending
from schema.wire import json
from typing_extensions import override

from stack.replay.subject import Subject


class EventHubSubject(Subject):
    """What an event hub answers from; with `tells`, what each entry tells whoever has seen all before it."""

    def __init__(self, *, tells: bool) -> None:
        self._fold = Fold()
        self._tells = tells

    @override
    def on_entry(self, entry: Entry) -> Iterator[str]:
        before = self._fold.updates.last
        self._fold.on_entry(entry)
        if self._tells and self._fold.updates.last > before:
            yield from _news(self._fold.updates.since(before))

    @override
    def on_quarantined(self, one: Quarantined) -> None:
        self._fold.quarantine.on_quarantined(one)

    @override
    def state(self) -> Iterator[str]:
        fold = self._fold
        objects = len(tuple(fold.updates.items()))
        yield f"token {fold.token_of(fold.seen)}; {objects} objects, {len(fold.updates.vms)} VMs are known"
        for barrier in fold.updates.barriers:
            yield f"barrier {barrier.id} with {len(barrier.changes)} objects"
        for worker in fold.workers.values():
            yield f"worker {worker.worker}: up, {worker.capacity} places"
        stories = sorted(fold.tasks.all(), key=lambda story: story.id)
        yield f"{len(stories)} tasks"
        yield from map(_task, stories)
        quarantine = fold.quarantine.told()
        yield f"{quarantine.total} messages in quarantine"
        for record in quarantine.records:
            yield f"  {record.offset} by {record.user or 'nobody says whom'}: {record.reason}"


def _news(news: News) -> Iterator[str]:
    for barrier in news.barriers:
        yield f"tells barrier {barrier.id}: {', '.join(map(_name, barrier.objects)) or 'nothing'}"
    for changed in news.objects:
        yield f"tells {_name(changed)}"


def _name(changed: ObjectId) -> str:
    name = changed.id if isinstance(changed.id, str) else "/".join(changed.id)
    return f"{changed.kind} {name}"


def _task(story: TaskStory) -> str:
    return f"  task {story.id} {story.operation.kind} of {story.vm}: {_state(story)}"


def _state(story: TaskStory) -> str:
    match story.state:
        case Pending(progress=progress):
            where = f"runs on {story.worker}, lease {story.token}" if story.worker else "waits"
            return f"{'ends with another' if story.merged else where}, {progress:.0%}"
        case Completed(completion=completion):
            return f"done, in {completion.duration:.3f} s"
        case Failed(error=error):
            return f"failed: {json.dumps(error)}"
