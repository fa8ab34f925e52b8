"""Timeline: a VM's tasks as the log tells them, each with its steps drawn as bars over time."""

import argparse
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from bus.ports import Entry
from bus.stories.story import State, Story
from bus.stories.tasks import Tasks
from schema.wire.value import Dict

from xenops.command.screen import Screen, Shown, Table
from xenops.command.times import HELP as TIMES
from xenops.command.times import time_of
from xenops.lines import harmless, vm_of
from xenops.log import Log

LOOK_BACK_S = 24 * 60 * 60

TASKS = 10
"""So many tasks are shown, the newest, unless told otherwise."""

BAR_MIN, BAR_MAX = 20, 80
_BESIDE = 60
"""Columns beside the bars."""

BLOCKS, LETTERS = ("█", "░", "▒"), ("#", ".", "x")
"""What a step did, what a task waited, what failed; and the same where nothing but ASCII can be shown."""

EPILOG = """\
Each task is a line, and each of its steps another, with a bar from its begin to its end; the picture is as
wide as the whole task takes, from request to end, or until now. Of the log, the
last day is read, or what --since says: the broker's user must be one that may, as xenops-operator.
"""

Command = Callable[[str, str], argparse.ArgumentParser]


class TimelineError(Exception):
    """There is nothing to show; the sentence says what would do."""


def add_timeline_command(command: Command) -> None:
    """Declare the command."""
    timeline = command("timeline", "show a VM's tasks and how long each of their steps took, as a picture")
    timeline.formatter_class = argparse.RawDescriptionHelpFormatter
    timeline.epilog = EPILOG
    timeline.add_argument("vm", metavar="VM", help="its id; it may be gone")
    timeline.add_argument(
        "--last", type=int, default=TASKS, metavar="TASKS", help=f"only so many, the newest (default {TASKS})"
    )
    timeline.add_argument("--task", type=int, metavar="TASK", help="only this one")
    timeline.add_argument(
        "--since",
        type=time_of,
        default=f"{-LOOK_BACK_S}",
        metavar="TIME",
        help=f"tasks that were asked for from then on (default: a day ago): {TIMES}",
    )


def show_timeline(log: Log, arguments: Namespace, screen: Screen) -> None:
    """Do the command.

    Raises:
        TimelineError: the log has no such tasks.
    """
    tasks, now = Tasks(), 0.0
    for one in log.read_since(arguments.since):
        if isinstance(one, Entry) and vm_of(one) in {None, arguments.vm}:
            tasks.on_entry(one)
            now = one.at
    stories = [one for one in tasks.newest_first() if arguments.task in {None, one.id}][
        : max(1, arguments.last)
    ]
    if not stories:
        which = "task" if arguments.task is None else f"task {arguments.task}"
        raise TimelineError(
            f"the log has no {which} of a VM {arguments.vm} since {_at(arguments.since)}: --since looks "
            "further back, `xenops list` and `xenops log` show ids"
        )
    screen.show(of_stories(stories[::-1], now, _width(), _letters()))


def _width() -> int:
    return min(BAR_MAX, max(BAR_MIN, shutil.get_terminal_size().columns - _BESIDE))


def _letters() -> tuple[str, str, str]:
    try:
        "".join(BLOCKS).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return LETTERS
    return BLOCKS


def of_stories(
    stories: Sequence[Story], now: float, width: int, letters: tuple[str, str, str] = BLOCKS
) -> Shown:
    """Tasks in their order; `now` is the end of what has none, in seconds since the epoch."""
    rows = [row for story in stories for row in _rows(story, now, _Pen(width, letters))]
    value = [_value(story) for story in stories]
    return Shown(value, (Table(("TASK", "STEP", "", "TOOK", ""), tuple(rows)),))


class _Pen:
    """Draws bars of a picture of so many columns."""

    def __init__(self, width: int, letters: tuple[str, str, str]) -> None:
        self._width = width
        self.done, self.waited, self.failed = letters

    def bar(self, since: float, until: float, letter: str) -> str:
        """From one time to another, as parts of the whole."""
        begin = min(self._width - 1, max(0, int(since * self._width)))
        end = min(self._width, max(begin + 1, round(until * self._width)))
        return (" " * begin + letter * (end - begin)).ljust(self._width)


def _rows(story: Story, now: float, pen: _Pen) -> Iterator[tuple[str, ...]]:
    end = story.ended_at if story.ended_at is not None else now
    whole_s = max(end - story.submitted_at, story.duration_s, 1e-6)
    waited_s = min(whole_s, max(0.0, story.waited_s if story.waited_s is not None else whole_s))
    state = f"{story.state}, at {story.worker}" if story.worker else str(story.state)
    ran = pen.failed if story.error else pen.done
    bar = pen.bar(0.0, waited_s / whole_s, pen.waited)
    if waited_s < whole_s:
        bar = "".join(
            late if late != " " else early
            for early, late in zip(bar, pen.bar(waited_s / whole_s, 1.0, ran), strict=True)
        )
    yield (str(story.id), story.operation, bar, _took(whole_s), f"{_at(story.submitted_at)} {state}")
    if story.error:
        yield ("", "", "", "", harmless(story.error))
    begin = story.steps_at
    began_s = 0.0 if begin is None else max(0.0, begin - story.submitted_at)
    for atom in sorted(story.atoms, key=lambda atom: atom.began_s):
        since = began_s + atom.began_s
        letter = pen.failed if atom.failed else pen.done
        drawn = pen.bar(since / whole_s, (since + atom.took_s) / whole_s, letter)
        yield ("", f"  {atom.kind}", drawn, _took(atom.took_s), "failed" if atom.failed else "")
    if story.state is State.RUNNING and story.atom:
        since = began_s + (story.atom_began_s or 0.0)
        drawn = "" if story.atom_began_s is None else pen.bar(since / whole_s, 1.0, pen.done)
        took = _took(max(0.0, whole_s - since)) if drawn else ""
        yield ("", f"  {story.atom}", drawn, took, f"runs, {story.progress:.0%} of the task is done")


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _took(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _value(story: Story) -> Dict:
    atoms = [
        Dict([("atom", one.kind), ("began_s", one.began_s), ("took_s", one.took_s), ("failed", one.failed)])
        for one in story.atoms
    ]
    return Dict(
        [
            ("task", str(story.id)),
            ("vm", story.vm),
            ("operation", story.operation),
            ("state", str(story.state)),
            ("worker", story.worker or None),
            ("submitted_at", story.submitted_at),
            ("leased_at", story.leased_at),
            ("ended_at", story.ended_at),
            ("duration_s", story.duration_s),
            ("progress", 1.0 if story.ended else story.progress),
            ("error", story.error or None),
            ("error_kind", story.error_kind or None),
            ("atoms", atoms),
        ]
    )
