"""The API for programs: what is, as JSON. Its description is served at /api/v1/openapi.json."""

import json
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from bus.stories.story import State, Story
from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query
from pydantic import Field, StringConstraints
from schema.fault import XenopsError
from schema.ids import is_safe_name
from starlette.responses import Response

from dashboard import showing, views
from dashboard.asking import UnreachableError
from dashboard.fold.feed import EVENT_ID, Seen, Wanted, seen_by
from dashboard.fold.instance import InstanceFold, LaneSeen
from dashboard.safety import UnknownError
from dashboard.watch import Watch
from dashboard.web.access import Access
from dashboard.web.streams import EventStream, OpenStreams, log_events, news

PAGE_MAX = 1_000
"""Things in one answer."""

TEXT_MAX = 200
OFFSET_MAX = 1 << 62
NEWS_PAUSE_S = 0.5
"""So often, at most, somebody is told that there is news."""

Watches = dict[str, Watch]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Skip = Annotated[int, Query(ge=0, le=1_000_000)]
Text = Annotated[str, Query(max_length=TEXT_MAX)]
Offset = Annotated[int | None, Query(ge=-1, le=OFFSET_MAX)]
EventId = Annotated[int, Field(ge=-1, le=OFFSET_MAX)] | Annotated[str, StringConstraints(pattern=EVENT_ID)]
LastEvent = Annotated[EventId | None, Header(alias="Last-Event-ID")]
TaskNumber = Annotated[int, Path(ge=0, le=OFFSET_MAX)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": views.Problem, "description": said}
    for status, said in (
        (400, "No HTTP, or no JSON where it must be."),
        (401, "No token, or nobody's."),
        (403, "A token that does not let its holder do this."),
        (404, "There is no such thing."),
        (409, "Refused now; the sentence says why."),
        (413, "The request is too long."),
        (421, "The page is not called by this name."),
        (503, "A service does not answer, or there are too many streams."),
    )
}


def find(watches: Watches, instance: str) -> Watch:
    """The instance of that name; raises UnknownError."""
    watch = watches.get(instance)
    if watch is None:
        raise UnknownError(f"there is no instance {instance!r} here")
    return watch


def select(watch: Watch, wanted: "TasksWanted") -> list[Story]:
    """The tasks that are wanted, the newest first."""
    return [story for story in watch.fold.tasks.newest_first() if wanted.takes(story)]


class TasksWanted:
    """What somebody wants of the tasks; as a dependency it is read from the query."""

    def __init__(
        self,
        *,
        vm: Text = "",
        state: State | None = None,
        operation: Text = "",
        error: Text = "",
        worker: Text = "",
    ) -> None:
        self.vm, self.state, self.operation = vm, state, operation
        self.error, self.worker = error.lower(), worker

    def takes(self, story: Story) -> bool:
        """Whether a task is wanted."""
        return (
            (not self.vm or story.vm == self.vm)
            and (self.state is None or story.state is self.state)
            and (not self.operation or story.operation == self.operation)
            and (not self.worker or story.worker == self.worker)
            and (not self.error or self.error in f"{story.error_kind} {story.error}".lower())
        )


@dataclass(frozen=True, slots=True)
class LanesFound:
    """Lanes that are wanted; `blocked` is None where the redirector has not said what is in their way."""

    lanes: list[LaneSeen]
    blocked: dict[str, str] | None
    fold: InstanceFold
    now: float

    def shown(self, skip: int, limit: int) -> tuple[views.LaneView, ...]:
        """Some of them."""
        told = self.blocked or {}
        part = self.lanes[skip : skip + limit]
        return tuple(showing.lane(self.fold, lane, told.get(lane.vm, ""), self.now) for lane in part)


async def lanes_of(watch: Watch, vm: str = "") -> LanesFound:
    """All lanes of VMs whose names hold a text."""
    told = None
    with suppress(UnreachableError, XenopsError):  # what the log tells is shown all the same
        told = await watch.lanes()
    lanes = [lane for lane in watch.fold.lanes() if vm in lane.vm]
    blocked = None if told is None else showing.blocked(told)
    return LanesFound(lanes, blocked, watch.fold, watch.bus.clock.now())


async def lane_of(watch: Watch, vm: str) -> views.LaneDetail:
    """One lane; in the redirector's order, if it answers. Raises UnknownError."""
    if not is_safe_name(vm):
        raise UnknownError(f"no VM can be called {vm!r}")
    told = None
    with suppress(UnreachableError, XenopsError):  # what the log tells is shown all the same
        told = await watch.lane(vm)
    return showing.lane_detail(watch.fold, watch.fold.lane(vm), told, watch.bus.clock.now())


async def workers_of(watch: Watch) -> tuple[views.WorkerView, ...]:
    """All workers, with the redirector's word on each if it answers."""
    told = None
    with suppress(UnreachableError, XenopsError):  # what the log tells is shown all the same
        told = await watch.workers()
    return showing.workers(watch.fold, told, watch.bus.clock.now())


def build_api(watches: Watches, access: Access) -> APIRouter:
    """All that can be asked."""
    router = APIRouter(prefix="/api/v1", dependencies=[Depends(access.reader)], responses=PROBLEMS)
    _add_overview(router, watches)
    _add_lanes(router, watches)
    _add_tasks(router, watches)
    _add_log(router, watches)
    return router


def _add_overview(router: APIRouter, watches: Watches) -> None:
    @router.get("/instances", tags=["overview"])
    async def instances() -> list[views.OverviewView]:
        """Every instance at a glance."""
        return [showing.overview(watch) for watch in watches.values()]

    @router.get("/instances/{instance}", tags=["overview"])
    async def overview(instance: str) -> views.OverviewView:
        """One instance at a glance."""
        return showing.overview(find(watches, instance))

    @router.get("/instances/{instance}/history", tags=["overview"])
    async def history(instance: str) -> list[views.SampleView]:
        """The last hour, in steps of some seconds."""
        return list(map(showing.sample, find(watches, instance).history.samples))

    @router.get("/instances/{instance}/actions", tags=["overview"])
    async def actions(instance: str) -> list[views.ActionView]:
        """What operators asked for, the newest first."""
        return list(map(showing.action, find(watches, instance).fold.actions))

    @router.get("/instances/{instance}/diagnostics", tags=["overview"])
    async def diagnostics(instance: str) -> dict[str, Any]:
        """The report of get_diagnostics, as the original's."""
        report: dict[str, Any] = json.loads(await find(watches, instance).diagnostics())
        return report


def _add_lanes(router: APIRouter, watches: Watches) -> None:
    @router.get("/instances/{instance}/lanes", tags=["lanes and workers"])
    async def lanes(instance: str, limit: Limit = 100, skip: Skip = 0) -> views.LanesView:
        """Lanes in which anything is or that are held, those that wait longest first."""
        watch = find(watches, instance)
        found = await lanes_of(watch)
        seen = showing.overview(watch)
        return views.LanesView(
            total=len(found.lanes),
            waiting=seen.waiting,
            running=seen.running,
            complete=found.blocked is not None,
            lanes=found.shown(skip, limit),
        )

    @router.get("/instances/{instance}/lanes/{vm}", tags=["lanes and workers"])
    async def lane(instance: str, vm: str) -> views.LaneDetail:
        """A VM's lane, with all that waits in it; empty where nothing is known of the VM."""
        return await lane_of(find(watches, instance), vm)

    @router.get("/instances/{instance}/workers", tags=["lanes and workers"])
    async def workers(instance: str) -> list[views.WorkerView]:
        """All workers that ever came."""
        return list(await workers_of(find(watches, instance)))


def _add_tasks(router: APIRouter, watches: Watches) -> None:

    @router.get("/instances/{instance}/tasks", tags=["tasks"])
    async def tasks(
        instance: str,
        wanted: Annotated[TasksWanted, Depends(TasksWanted)],
        limit: Limit = 100,
        skip: Skip = 0,
    ) -> views.TasksView:
        """Tasks that are known, the newest first; `error` finds a part of an error's name or text."""
        watch = find(watches, instance)
        found, now = select(watch, wanted), watch.bus.clock.now()
        shown = tuple(showing.task(story, now) for story in found[skip : skip + limit])
        return views.TasksView(total=len(found), tasks=shown)

    @router.get("/instances/{instance}/tasks/{task}", tags=["tasks"])
    async def task(instance: str, task: TaskNumber) -> views.TaskDetail:
        """A task with its steps, as far as they have ended."""
        watch = find(watches, instance)
        story = watch.fold.tasks.find(task)
        if story is None:
            raise UnknownError(f"there is no task {task}: it never was, or ended too long ago")
        return showing.task_detail(story, watch.bus.clock.now())


def _add_log(router: APIRouter, watches: Watches) -> None:
    @router.get("/instances/{instance}/updates", tags=["events"])
    async def updates(instance: str) -> views.EventsView:
        """How far the event hub is, who waits for news there, and which barriers stand."""
        watch = find(watches, instance)
        told = await watch.ask_events()
        return showing.events(watch.fold, told, watch.bus.clock.now())

    @router.get("/instances/{instance}/quarantine", tags=["log"])
    async def quarantine(instance: str) -> views.QuarantineView:
        """Messages of the log that no service takes, the newest first."""
        return showing.quarantine(await find(watches, instance).quarantine())

    @router.get("/instances/{instance}/log", tags=["log"])
    async def log(
        instance: str, *, limit: Limit = 100, before: Offset = None, vm: Text = "", kind: Text = ""
    ) -> views.LogView:
        """Entries below an offset, the newest first, of the newest ones that are kept here."""
        watch = find(watches, instance)
        found = watch.feed.newest_first(Wanted(vm, kind), before)
        entries = tuple(showing.entry(one) for one, _ in zip(found, range(limit), strict=False))
        return views.LogView(first=watch.feed.first, entries=entries)


def build_streams(watches: Watches, access: Access, streams: OpenStreams) -> APIRouter:
    """All that can be followed."""
    router = APIRouter(prefix="/api/v1", dependencies=[Depends(access.reader)], responses=PROBLEMS)
    stream: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}

    def let_in() -> None:
        if streams.full:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{streams.count} streams are open: try again later"
            )

    @router.get("/instances/{instance}/events", tags=["log"], response_class=Response, responses=stream)
    async def events(
        instance: str,
        *,
        after: Offset = None,
        vm: Text = "",
        kind: Text = "",
        last_event_id: LastEvent = None,
    ) -> Response:
        """The log as Server-Sent Events; from the id of each a reader goes on, while it is the same log."""
        watch = find(watches, instance)
        let_in()
        resumed = Seen(after) if after is not None else None
        if last_event_id is not None:
            resumed = seen_by(str(last_event_id))
        events = log_events(watch, streams.encoded(instance), resumed, Wanted(vm, kind))
        return EventStream(events, streams)

    @router.get("/instances/{instance}/news", tags=["log"], response_class=Response, responses=stream)
    async def told(instance: str) -> Response:
        """That something has changed, as Server-Sent Events, twice a second at most."""
        watch = find(watches, instance)
        let_in()
        return EventStream(news(watch, NEWS_PAUSE_S), streams)

    return router
