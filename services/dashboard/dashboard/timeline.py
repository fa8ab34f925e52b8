"""Timeline: tasks of a VM, or steps of a task, as bars over time, in thousandths of the whole."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bus.stories.story import State, Story
from schema.overseen import Atom

WIDTH = 1000.0
BAR_MIN = 2.0
"""So wide is the shortest bar, to be seen at all."""

ROWS_MAX = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a row; `kind` is a word that the style sheet knows, `said` tells what it is."""

    x: float
    width: float
    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """A task or step; `took_s` is how long it took, so far."""

    id: str
    label: str
    bars: tuple[Bar, ...]
    took_s: float
    state: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rows between two times, in seconds since the epoch, or since a task's begin."""

    begin: float
    end: float
    rows: tuple[Row, ...]


def of_tasks(stories: Sequence[Story], now: float) -> Timeline:
    """The newest tasks, the oldest of them first."""
    shown = sorted(stories, key=lambda story: story.id)[-ROWS_MAX:]
    begin = min((story.submitted_at for story in shown), default=now)
    end = max((story.ended_at if story.ended_at is not None else now for story in shown), default=now)
    scale = _Scale(begin, max(end, begin + 1e-3))
    return Timeline(scale.begin, scale.end, tuple(_of_story(story, scale, now) for story in shown))


def of_steps(story: Story, now: float) -> Timeline:
    """A task's steps so far, in the order in which they began; the one under way reaches until now."""
    steps = sorted(_told_steps(story, now), key=lambda step: step.atom.began_s)[:ROWS_MAX]
    end = max((step.atom.began_s + step.atom.took_s for step in steps), default=0.0)
    scale = _Scale(0.0, max(end, story.duration_s, 1e-6))
    return Timeline(0.0, scale.end, tuple(_of_step(number, step, scale) for number, step in enumerate(steps)))


@dataclass(frozen=True, slots=True)
class _Step:
    """An atomic, and what has become of it: done, failed, or running."""

    atom: Atom
    state: str


def _told_steps(story: Story, now: float) -> Iterable[_Step]:
    for atom in story.atoms:
        yield _Step(atom, "failed" if atom.failed else "done")
    began_s = story.atom_began_s
    if story.atom and began_s is not None and story.began_at is not None:
        yield _Step(Atom(story.atom, began_s, max(0.0, now - story.began_at - began_s)), "running")


def _of_step(number: int, step: _Step, scale: "_Scale") -> Row:
    atom = step.atom
    bar = scale.bar(atom.began_s, atom.began_s + atom.took_s, step.state, atom.kind)
    return Row(str(number), atom.kind, (bar,), atom.took_s, step.state)


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float

    def bar(self, since: float, until: float, kind: str, said: str) -> Bar:
        factor = WIDTH / (self.end - self.begin)
        x = min(max(0.0, (since - self.begin) * factor), WIDTH - BAR_MIN)
        width = min(max(BAR_MIN, (until - since) * factor), WIDTH - x)
        return Bar(round(x, 2), round(width, 2), kind, f"{said}: {max(0.0, until - since):.3f} s")


def _of_story(story: Story, scale: _Scale, now: float) -> Row:
    end = story.ended_at if story.ended_at is not None else now
    waited_until = story.leased_at if story.leased_at is not None else end
    bars = [scale.bar(story.submitted_at, waited_until, "waiting", "waited")]
    if story.leased_at is not None:
        kind = story.state if story.ended or story.state is State.PARKED else State.RUNNING
        bars.append(scale.bar(story.leased_at, end, kind, f"{kind} at {story.worker}"))
        bars += _steps(story, scale, now)
    return Row(str(story.id), story.operation, tuple(bars), max(0.0, end - story.submitted_at), story.state)


def _steps(story: Story, scale: _Scale, now: float) -> Iterable[Bar]:
    """A task's steps, of which the log tells when they began from the task's begin on."""
    begin = story.steps_at
    if begin is None:
        return
    for step in _told_steps(story, now):
        since = begin + step.atom.began_s
        kind = "step failed" if step.atom.failed else "step"
        yield scale.bar(since, since + step.atom.took_s, kind, step.atom.kind)
