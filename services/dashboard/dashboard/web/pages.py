"""Pages: the six screens and what is behind them, for people with a session."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import quote

from bus.stories.story import State
from fastapi import APIRouter, Depends, Query, Request
from schema.fault import XenopsError
from schema.log_records import ROUTINE
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard import plots, showing, timeline, views
from dashboard.asking import UnreachableError
from dashboard.fold.feed import Wanted
from dashboard.safety import UnknownError
from dashboard.sessions import Session
from dashboard.watch import Watch
from dashboard.web.access import Access
from dashboard.web.api import (
    OFFSET_MAX,
    TaskNumber,
    TasksWanted,
    Text,
    Watches,
    find,
    lane_of,
    lanes_of,
    select,
    workers_of,
)
from dashboard.web.render import Pages

ROWS = 50
"""Rows of a page: a browser that is busy paints twice as many in more than half a second."""

VM_TASKS = timeline.ROWS_MAX
NUMBERED = Query(ge=1, le=10_000)

SCREENS = (
    ("overview", "Overview"),
    ("queues", "Queues"),
    ("tasks", "Tasks"),
    ("events", "Events"),
    ("workers", "Workers"),
    ("quarantine", "Quarantine"),
    ("log", "Log"),
)


class SignInError(Exception):
    """Nobody is signed in: the page to sign in at comes first."""


class Screens:
    """What every screen needs: who looks, at which instance."""

    def __init__(self, watches: Watches, access: Access, pages: Pages, traces: str = "") -> None:
        self.watches = watches
        self.pages = pages
        self._traces = traces
        self._access = access

    async def session(self, request: Request) -> Session:
        """Whose page it is; raises SignInError."""
        session = self._access.session(request)
        if session is None:
            raise SignInError
        return session

    def trace_url(self, trace: str) -> str:
        """Where a trace is looked at; "" where it cannot be."""
        return self._traces.replace("{trace}", quote(trace, safe="")) if trace else ""

    def show(self, name: str, session: Session, watch: Watch, /, **known: Any) -> HTMLResponse:
        """A screen of an instance."""
        return self.pages.show(
            name,
            screen=known.pop("screen", name),
            screens=SCREENS,
            session=session,
            instance=watch.name,
            instances=list(self.watches),
            trouble=watch.trouble,
            now=watch.bus.clock.now(),
            **known,
        )


def build_pages(screens: Screens) -> APIRouter:
    """All screens."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_overview(router, screens)
    _add_queues(router, screens)
    _add_tasks(router, screens)
    _add_others(router, screens)
    _add_log(router, screens)
    return router


def numbered(found: int, page: int) -> dict[str, int]:
    """Which part of so many rows a page shows."""
    pages = max(1, -(-found // ROWS))
    page = min(page, pages)
    return {"page": page, "pages": pages, "found": found, "skip": (page - 1) * ROWS}


async def _asked(asking: Awaitable[Any]) -> tuple[Any, str]:
    """What a service says, and why it does not."""
    try:
        return await asking, ""
    except (UnreachableError, XenopsError) as error:
        return None, str(error)


def _add_overview(router: APIRouter, screens: Screens) -> None:

    @router.get("/", dependencies=[Depends(screens.session)])
    async def root() -> Response:
        first = next(iter(screens.watches))
        return RedirectResponse(f"/i/{quote(first)}/overview", HTTPStatus.SEE_OTHER)

    @router.get("/i/{instance}/overview")
    async def overview(instance: str, session: Annotated[Session, Depends(screens.session)]) -> Response:
        watch = find(screens.watches, instance)
        samples = list(watch.history.samples)
        drawn = (plots.of_depth(samples), plots.of_latency(samples), plots.of_throughput(samples))
        others = [showing.overview(other) for other in screens.watches.values()]
        failed = TasksWanted(state=State.FAILED)
        lately = [showing.task(story, watch.bus.clock.now()) for story in select(watch, failed)[:5]]
        actions = [showing.action(one) for one in list(watch.fold.actions)[:8]]
        return screens.show(
            "overview",
            session,
            watch,
            seen=showing.overview(watch),
            plots=drawn,
            all=others,
            failed=lately,
            actions=actions,
        )


def _add_queues(router: APIRouter, screens: Screens) -> None:

    @router.get("/i/{instance}/queues")
    async def queues(
        instance: str,
        session: Annotated[Session, Depends(screens.session)],
        vm: Text = "",
        page: Annotated[int, NUMBERED] = 1,
    ) -> Response:
        watch = find(screens.watches, instance)
        found = await lanes_of(watch, vm)
        part, complete = numbered(len(found.lanes), page), found.blocked is not None
        lanes = found.shown(part["skip"], ROWS)
        seen = showing.overview(watch)
        return screens.show(
            "queues", session, watch, lanes=lanes, complete=complete, vm=vm, part=part, seen=seen
        )

    @router.get("/i/{instance}/vms/{vm}")
    async def one(instance: str, vm: str, session: Annotated[Session, Depends(screens.session)]) -> Response:
        watch = find(screens.watches, instance)
        lane, is_there = await asyncio.gather(lane_of(watch, vm), watch.has_vm(vm))
        stories, now = select(watch, TasksWanted(vm=vm))[:VM_TASKS], watch.bus.clock.now()
        if not (is_there or stories or lane.held_at is not None):
            raise UnknownError(f"there is no VM {vm!r}, and nothing was asked of one lately")
        drawn = timeline.of_tasks(stories, now)
        tasks = [showing.task(story, now) for story in stories]
        shown = {"lane": lane, "is_there": is_there, "drawn": drawn, "tasks": tasks}
        return screens.show("vm", session, watch, screen="queues", **shown)


def _add_tasks(router: APIRouter, screens: Screens) -> None:

    @router.get("/i/{instance}/tasks")
    async def tasks(
        request: Request,
        instance: str,
        session: Annotated[Session, Depends(screens.session)],
        page: Annotated[int, NUMBERED] = 1,
    ) -> Response:
        watch = find(screens.watches, instance)
        query = request.query_params
        asked = {name: query.get(name, "")[:200] for name in ("vm", "state", "operation", "error", "worker")}
        state = State(asked["state"]) if asked["state"] in set(State) else None
        found = select(watch, TasksWanted(**{**asked, "state": state}))  # type: ignore[arg-type]
        part, now = numbered(len(found), page), watch.bus.clock.now()
        shown = [showing.task(story, now) for story in found[part["skip"] : part["skip"] + ROWS]]
        operations = sorted({story.operation for story in watch.fold.tasks.newest_first()})
        known = {"states": list(State), "operations": operations}
        return screens.show("tasks", session, watch, tasks=shown, asked=asked, part=part, **known)

    @router.get("/i/{instance}/tasks/{task}")
    async def one(
        instance: str, task: TaskNumber, session: Annotated[Session, Depends(screens.session)]
    ) -> Response:
        watch = find(screens.watches, instance)
        story = watch.fold.tasks.find(task)
        if story is None:
            raise UnknownError(f"there is no task {task}: it never was, or ended too long ago")
        detail = showing.task_detail(story, watch.bus.clock.now())
        drawn = timeline.of_steps(story, watch.bus.clock.now())
        known = {"task": detail, "drawn": drawn, "trace_url": screens.trace_url(story.trace)}
        return screens.show("task", session, watch, screen="tasks", **known)


def _add_others(router: APIRouter, screens: Screens) -> None:

    @router.get("/i/{instance}/events")
    async def events(instance: str, session: Annotated[Session, Depends(screens.session)]) -> Response:
        watch = find(screens.watches, instance)
        told, why = await _asked(watch.ask_events())
        shown = showing.events(watch.fold, told, watch.bus.clock.now()) if told else None
        return screens.show("events", session, watch, events=shown, why=why)

    @router.get("/i/{instance}/workers")
    async def workers(instance: str, session: Annotated[Session, Depends(screens.session)]) -> Response:
        watch = find(screens.watches, instance)
        shown = await workers_of(watch)
        health = [showing.health(one) for one in watch.health]
        return screens.show(
            "workers",
            session,
            watch,
            workers=shown,
            health=health,
            seen=showing.overview(watch),
            version=version("xenops-dashboard"),
        )

    @router.get("/i/{instance}/quarantine")
    async def quarantine(instance: str, session: Annotated[Session, Depends(screens.session)]) -> Response:
        watch = find(screens.watches, instance)
        told, why = await _asked(watch.quarantine())
        shown = showing.quarantine(told) if told else views.QuarantineView(total=0, records=())
        return screens.show("quarantine", session, watch, quarantine=shown, why=why)


def _wanted(vm: str, kind: str) -> Wanted:
    """What of the log: people who name no kind look for what has happened."""
    match kind:
        case "":
            return Wanted(vm, passed_over=ROUTINE)
        case "all":
            return Wanted(vm)
        case _:
            return Wanted(vm, kind)


def _add_log(router: APIRouter, screens: Screens) -> None:

    @router.get("/i/{instance}/log")
    async def log(
        instance: str,
        session: Annotated[Session, Depends(screens.session)],
        *,
        before: Annotated[str, Query(max_length=20)] = "",
        vm: Text = "",
        kind: Text = "",
    ) -> Response:
        watch = find(screens.watches, instance)
        below = int(before) if before.isascii() and before.isdecimal() and int(before) <= OFFSET_MAX else None
        found = watch.feed.newest_first(_wanted(vm, kind), below)
        entries = [showing.entry(one) for one, _ in zip(found, range(ROWS), strict=False)]
        kinds = sorted(watch.fold.kinds)
        asked = {"vm": vm, "kind": kind, "before": before}
        return screens.show(
            "log", session, watch, entries=entries, kinds=kinds, asked=asked, first=watch.feed.first
        )
