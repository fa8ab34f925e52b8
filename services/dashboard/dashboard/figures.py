"""Figures: the present state of one instance as numbers, for Prometheus."""

from collections import Counter

from bus.stories.story import State, Story
from schema.objects.events import Events

from dashboard.fold.instance import InstanceFold
from dashboard.metrics import Figures
from dashboard.pulse import Health

_UP = {"ok": 1.0, "slow": 0.5, "out": 0.0}
_LIVE = (State.WAITING, State.RUNNING, State.PARKED, State.MERGED)


def of_fold(fold: InstanceFold, now: float) -> Figures:
    """What the log tells; `now` is in seconds since the epoch."""
    live = list(fold.tasks.live())
    states = Counter(story.state for story in live)
    workers = fold.workers.all()
    leases = Counter(story.worker for story in live if story.state in (State.RUNNING, State.PARKED))
    figures: Figures = {
        "log_offset": float(fold.offset),
        "log_age_seconds": max(0.0, now - fold.at),
        "lanes": float(len(set(fold.tasks.vms) | set(fold.held))),
        "lanes_held": float(len(fold.held)),
        "tasks": {state: float(states[state]) for state in _LIVE},
        "oldest_waiting_seconds": _oldest(live, State.WAITING, now),
        "oldest_running_seconds": _oldest(live, State.RUNNING, now),
        "leases": {worker.name: float(leases[worker.name]) for worker in workers},
        "worker_capacity": {worker.name: float(worker.capacity) for worker in workers},
        "worker_up": {worker.name: float(worker.up) for worker in workers},
        "worker_draining": {worker.name: float(worker.draining) for worker in workers},
        "worker_stranded": {worker.name: float(len(worker.stranded)) for worker in workers},
        "worker_silent_seconds": {
            worker.name: max(0.0, now - worker.heard_at) for worker in workers if worker.up
        },
        "barriers": float(len(fold.barriers)),
    }
    return figures


def of_health(health: tuple[Health, ...]) -> Figures:
    """How the services do."""
    return {
        "service_up": {one.service: _UP[one.state] for one in health},
        "service_answer_seconds": {one.service: one.took_s for one in health if one.took_s is not None},
    }


def of_events(events: Events) -> Figures:
    """Who waits for news at the event hub."""
    return {
        "long_polls": float(sum(one.count for one in events.readers)),
        "long_polls_behind": float(max((one.behind for one in events.readers), default=0)),
    }


def _oldest(live: list[Story], state: State, now: float) -> float:
    since = (
        story.submitted_at if state is State.WAITING else (story.leased_at or now)
        for story in live
        if story.state is state
    )
    return max(0.0, now - min(since, default=now))
