"""The screen: results as tables, progress as a bar, or all as JSON. The only importer of rich.

Results go to stdout, remarks and progress to stderr. Without a terminal there are plain lines, no bars.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from schema.objects.task import Pending, Task
from schema.wire import json
from typing_extensions import override

OnProgress = Callable[[Task], None]
Draw = Callable[["Shown"], None]
"""Draws a frame over the last one."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A result: for people as tables, for programs as a wire value, one line of JSON."""

    value: Any
    tables: tuple[Table, ...] = ()


class Screen(Protocol):
    """Where a command shows what it does; one that is live may be drawn over."""

    is_live: bool = False

    is_for_people: bool = True
    """Whether anybody reads remarks."""

    @property
    def height(self) -> int | None:
        """How many lines a frame may have, if not any number."""
        return None

    def show(self, shown: Shown) -> None:
        """The result, or a part of it as it comes."""

    def say(self, sentence: str) -> None:
        """A remark for people."""

    def progress(self, title: str) -> AbstractContextManager[OnProgress]:
        """Follow a task while it runs."""

    def live(self) -> AbstractContextManager[Draw]:
        """Draw frames, one over the other, or, where that cannot be, below it."""


class JsonScreen(Screen):
    """For programs: one JSON value a line on stdout, nothing else."""

    is_for_people = False

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @override
    def show(self, shown: Shown) -> None:
        self._out.write(json.dumps(shown.value) + "\n")
        self._out.flush()

    @override
    def say(self, sentence: str) -> None:
        """Nothing: programs read results."""

    @override
    @contextmanager
    def progress(self, title: str) -> Iterator[OnProgress]:
        yield lambda _task: None

    @override
    @contextmanager
    def live(self) -> Iterator[Draw]:
        yield self.show


class PlainScreen(Screen):
    """For people without a terminal: aligned lines, and one line for each step of progress."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err

    @override
    def show(self, shown: Shown) -> None:
        for table in shown.tables:
            lines = (table.headings, *table.rows) if any(table.headings) else table.rows
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            for line in lines:
                cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                self._out.write("  ".join(cells).rstrip() + "\n")
        self._out.flush()

    @override
    def say(self, sentence: str) -> None:
        self._err.write(sentence + "\n")
        self._err.flush()

    @override
    @contextmanager
    def progress(self, title: str) -> Iterator[OnProgress]:
        told = ""

        def on_progress(task: Task) -> None:
            nonlocal told
            if not isinstance(task.state, Pending):
                return  # how it ended is said by whoever waits for it
            percent = f"{title}: {_fraction(task):.0%}"
            if percent != told:
                told = percent
                self.say(percent)

        yield on_progress

    @override
    @contextmanager
    def live(self) -> Iterator[Draw]:
        yield self.show


class RichScreen(Screen):
    """For people at a terminal."""

    is_live = True

    def __init__(self) -> None:
        self._out = Console()
        self._err = Console(stderr=True, highlight=False)

    @property
    @override
    def height(self) -> int | None:
        return self._out.size.height

    @override
    def show(self, shown: Shown) -> None:
        for table in shown.tables:
            self._out.print(_drawn(table))

    @override
    def say(self, sentence: str) -> None:
        self._err.print(_unmarked(sentence))

    @override
    @contextmanager
    def progress(self, title: str) -> Iterator[OnProgress]:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err) as bars:
            bar = bars.add_task(_unmarked(title), total=1.0)
            yield lambda task: bars.update(bar, completed=_fraction(task))

    @override
    @contextmanager
    def live(self) -> Iterator[Draw]:
        with Live(console=self._out, screen=True, auto_refresh=False) as picture:
            yield lambda shown: picture.update(_framed(shown), refresh=True)


def screen_for(*, as_json: bool) -> Screen:
    """The screen that fits: JSON when wanted, drawn at a terminal, plain elsewhere."""
    if as_json:
        return JsonScreen(sys.stdout)
    if sys.stdout.isatty() and sys.stderr.isatty():
        return RichScreen()
    return PlainScreen(sys.stdout, sys.stderr)


def _framed(shown: Shown) -> Group:
    """A frame: each row is one line, however narrow the window is."""
    tables = [_drawn(table) for table in shown.tables]
    for column in (column for table in tables for column in table.columns):
        column.no_wrap = True
    return Group(*tables)


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(*table.headings, box=None, show_header=any(table.headings), pad_edge=False)
    for row in table.rows:
        drawn.add_row(*map(_unmarked, row))
    return drawn


def _fraction(task: Task) -> float:
    return task.state.progress if isinstance(task.state, Pending) else 1.0


def _unmarked(text: str) -> str:
    """A text as itself: rich would take brackets for markup."""
    return text.replace("[", r"\[")
