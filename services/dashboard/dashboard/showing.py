"""Showing: from the fold, and what services say, to views."""

from typing import Any

from bus.ports import Entry
from bus.retrial import retrial
from bus.stories.story import State, Story
from bus.stories.tasks import vm_of
from schema.objects.events import Events
from schema.objects.lane import Lanes, LaneTasks, Worker
from schema.objects.quarantine import Quarantine, QuarantinedRecord

from dashboard import views
from dashboard.fold.history import Sample
from dashboard.fold.instance import InstanceFold, LaneSeen
from dashboard.fold.marks import ActionSeen
from dashboard.fold.workers import WorkerSeen
from dashboard.pulse import Health
from dashboard.watch import Watch


def task(story: Story, now: float) -> views.TaskView:
    """A task; `now` here and below is in seconds since the epoch."""
    return views.TaskView(**_of_story(story, now))


def task_detail(story: Story, now: float) -> views.TaskDetail:
    """A task with its steps."""
    atoms = tuple(
        views.AtomView(**atom._asdict()) for atom in sorted(story.atoms, key=lambda one: one.began_s)
    )
    return views.TaskDetail(**_of_story(story, now), atoms=atoms, followers=tuple(story.followers))


def _of_story(story: Story, now: float) -> dict[str, Any]:
    names = (name for name in views.TaskView.model_fields if name not in {"age_s", "ran_s"})
    told = {name: getattr(story, name) for name in names}
    return {**told, "age_s": max(0.0, now - story.submitted_at), "ran_s": _ran_s(story, now)}


def _ran_s(story: Story, now: float) -> float | None:
    if story.leased_at is None:
        return None
    return story.duration_s if story.ended else max(0.0, now - story.leased_at)


def lane(fold: InstanceFold, seen: LaneSeen, blocked: str, now: float) -> views.LaneView:
    """A lane; `blocked` is the redirector's word."""
    oldest = seen.oldest_at
    worker = fold.workers.find(seen.running.worker) if seen.running else None
    return views.LaneView(
        vm=seen.vm,
        held_at=seen.held_at,
        blocked=blocked,
        waiting=len(seen.waiting),
        merged=seen.merged,
        oldest_s=None if oldest is None else max(0.0, now - oldest),
        running=None if seen.running is None else task(seen.running, now),
        heard_s=None if worker is None else _silent_s(worker, now),
    )


def lane_detail(fold: InstanceFold, seen: LaneSeen, told: LaneTasks | None, now: float) -> views.LaneDetail:
    """A lane with its tasks, in the redirector's order where it has told it."""
    order = {one.task: place for place, one in enumerate(told.tasks)} if told else {}
    waiting = sorted(seen.waiting, key=lambda story: order.get(str(story.id), len(order)))
    shown = lane(fold, seen, told.lane.blocked if told else "", now)
    return views.LaneDetail(**dict(shown), tasks=tuple(task(story, now) for story in waiting))


def blocked(told: Lanes) -> dict[str, str]:
    """What is in the way of each lane, as the redirector says."""
    return {one.vm: one.blocked for one in told.lanes}


def workers(fold: InstanceFold, told: tuple[Worker, ...] | None, now: float) -> tuple[views.WorkerView, ...]:
    """All workers."""
    said = {one.worker: one for one in told or ()}
    return tuple(_worker(fold, seen, said.get(seen.name), now) for seen in fold.workers.all())


def _worker(fold: InstanceFold, seen: WorkerSeen, said: Worker | None, now: float) -> views.WorkerView:
    leases = sum(story.worker == seen.name and not story.ended for story in fold.tasks.live())
    return views.WorkerView(
        name=seen.name,
        state=said.state if said else "unknown",
        capacity=seen.capacity,
        busy=said.busy if said else leases,
        leases=said.leases if said else leases,
        silent_s=_silent_s(seen, now),
        draining=seen.draining,
        epoch=seen.epoch,
        version=seen.version,
        stranded=tuple(
            views.StrandedView(id=one.vm, vm=one.of, state=one.state, where=one.where)
            for one in seen.stranded
        ),
    )


def _silent_s(seen: WorkerSeen, now: float) -> float | None:
    return max(0.0, now - seen.heard_at) if seen.heard_at else None


def events(fold: InstanceFold, told: Events, now: float) -> views.EventsView:
    """The stream of updates."""
    known = fold.barriers
    barriers = tuple(
        views.BarrierView(
            id=one.id,
            vm=known[one.id].vm if one.id in known else "",
            offset=known[one.id].offset if one.id in known else -1,
            age_s=max(0.0, now - known[one.id].at) if one.id in known else 0.0,
        )
        for one in told.barriers
    )
    readers = tuple(
        views.ReadersView(token=one.token, count=one.count, behind=one.behind) for one in told.readers
    )
    return views.EventsView(
        token=told.token,
        seen=told.seen,
        objects=told.objects,
        behind=max(0, fold.offset + 1 - told.seen),
        readers=readers,
        barriers=barriers,
    )


def health(one: Health) -> views.HealthView:
    """A service."""
    return views.HealthView(
        service=one.service, state=one.state, said=one.said, took_s=one.took_s, version=one.version
    )


def action(seen: ActionSeen) -> views.ActionView:
    """What an operator asked for."""
    return views.ActionView(
        offset=seen.offset,
        at=seen.at,
        who=seen.who,
        action=seen.action,
        subject=seen.subject,
        proved=seen.proved,
    )


def sample(taken: Sample) -> views.SampleView:
    """Some seconds."""
    return views.SampleView(**{name: getattr(taken, name) for name in views.SampleView.model_fields})


def entry(one: Entry) -> views.EntryView:
    """An entry of the log."""
    return views.EntryView(
        offset=one.offset,
        at=one.at,
        producer=one.producer,
        kind=one.record.kind,
        vm=vm_of(one.record),
        record=one.record.model_dump(mode="json"),
    )


def quarantine(told: Quarantine) -> views.QuarantineView:
    """What no service takes."""
    return views.QuarantineView(total=told.total, records=tuple(map(_message, told.records)))


def _message(one: QuarantinedRecord) -> views.QuarantinedView:
    found = retrial(one)
    names = set(views.QuarantinedView.model_fields) - {"no_retry"}
    told = {name: getattr(one, name) for name in names}
    return views.QuarantinedView(**told, no_retry=found if isinstance(found, str) else "")


def overview(watch: Watch) -> views.OverviewView:
    """One instance at a glance."""
    fold, now = watch.fold, watch.bus.clock.now()
    live = list(fold.tasks.live())
    waiting = [story.submitted_at for story in live if story.state is State.WAITING]
    up = [worker for worker in fold.workers.all() if worker.up]
    return views.OverviewView(
        instance=watch.name,
        trouble=watch.trouble,
        leader=fold.leader,
        offset=fold.offset,
        lanes=len(set(fold.tasks.vms) | set(fold.held)),
        held=len(fold.held),
        waiting=len(waiting),
        running=sum(story.state in (State.RUNNING, State.PARKED) for story in live),
        merged=sum(story.state is State.MERGED for story in live),
        oldest_s=max(0.0, now - min(waiting)) if waiting else None,
        capacity=sum(worker.capacity for worker in up),
        workers=len(up),
        stranded=len({one.vm for worker in fold.workers.all() for one in worker.stranded}),
        quarantined=watch.passed_over,
        ping_s=watch.pulse.took_s,
        health=tuple(map(health, watch.health)),
    )
