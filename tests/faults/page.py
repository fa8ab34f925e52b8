"""Page: docs/faults.md's tables, made of slices: what a part found is kept in a file until it runs again."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from history import Counts
from pydantic import BaseModel, ConfigDict

BEGIN = "<!-- made by `make faults`: from here -->"
END = "<!-- made by `make faults`: up to here -->"
"""What is between them in a document is a sweep's; all else is its writers'."""

CHANGED = ", changed"
"""How a version's name ends while something is not committed: what is kept of it may be of other code."""

_CODE = ("services", "shared", "clients", "tests/faults")


class Slice(BaseModel):
    """What was found in one part; slices of one title are one table. `counts`, if any, are added up there.

    `version`: of the code, as git names it. `load`: how many processes wanted the machine's processors as it
    began: recovery is slow on a busy one. `every`: of so many crash points one was tried.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    columns: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    complaints: tuple[str, ...]
    counts: tuple[int, ...] | None
    version: str = ""
    day: str
    load: float
    minutes: float
    every: int = 1


class Sheet:
    """A slice as it comes to be."""

    def __init__(self, title: str, columns: str) -> None:
        self._title, self._columns = title, columns
        self._rows: list[tuple[str, ...]] = []
        self._notes: list[str] = []
        self._complaints: list[str] = []
        self._counts: Counts | None = None
        self._began, self._load = time.time(), os.getloadavg()[0]

    def row(self, *cells: object) -> None:
        """A line of the table."""
        self._rows.append(tuple(map(str, cells)))

    def say(self, note: str) -> None:
        """A sentence below it."""
        self._notes.append(note)

    def complain(self, *words: str) -> None:
        """Things that went wrong."""
        self._complaints += words

    def count(self, counts: Counts) -> None:
        """What a verdict on it all says."""
        self._counts = counts if self._counts is None else self._counts + counts

    def done(self, of: str, every: int) -> Slice:
        """All of it, of a version of the code, one of so many points."""
        return Slice(
            title=self._title,
            columns=self._columns,
            rows=tuple(self._rows),
            notes=tuple(self._notes),
            complaints=tuple(self._complaints),
            counts=None if self._counts is None else self._counts.all,
            version=of,
            day=time.strftime("%Y-%m-%d", time.gmtime(self._began)),
            load=self._load,
            minutes=(time.time() - self._began) / 60,
            every=every,
        )


class Kept(NamedTuple):
    """A slice by its name, or None where it has not been run."""

    name: str
    found: Slice | None


def keep(folder: Path, name: str, found: Slice) -> None:
    """Put a slice away."""
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(indent=1) + "\n")


def kept(folder: Path, names: Iterable[str], of: str) -> list[Kept]:
    """What is there of a version of the code."""
    return [Kept(name, _read(_path(folder, name), of)) for name in names]


def not_done(slices: Iterable[Kept], every: int) -> list[str]:
    """Which of them were not tried at one of `every` points, or at more."""
    return [name for name, found in slices if found is None or found.every > every]


def version() -> str:
    """Of the code that is struck and what strikes it, as git names it."""
    name = _git("log", "-1", "--format=%h %cs", "--", *_CODE)
    return name + (CHANGED if _git("status", "--porcelain", "--", *_CODE) else "")


def put_in(document: str, lines: Iterable[str]) -> str:
    """A document with these lines between its marks, and all else as it was.

    Raises:
        ValueError: it has not each mark once, in their order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the document must have {BEGIN!r} and, behind it, {END!r}, each once")
    return "\n".join((before + begin, "", *lines, "", end + after))


def page_of(slices: Iterable[Kept]) -> Iterator[str]:
    """What was found, a line at a time."""
    every = list(slices)
    there = [found for _, found in every if found is not None]
    if there:
        yield _circumstances(there)
    for title in dict.fromkeys(found.title for found in there):
        yield from _table([found for found in there if found.title == title])
    if missing := [f"`{name}`" for name, found in every if found is None]:
        yield f"\n### Not run\n\n{', '.join(missing)}."
    if wrong := [f"- {complaint}" for found in there for complaint in found.complaints]:
        yield "\n### What went wrong\n"
        yield from wrong


def _circumstances(there: list[Slice]) -> str:
    days, loads = sorted(found.day for found in there), [found.load for found in there]
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    minutes = sum(found.minutes for found in there)
    return (
        f"Made on {when}, of the code of {there[0].version}, in {len(there)} slices, {minutes:.0f} minutes "
        f"in all. As they began, {min(loads):.0f} to {max(loads):.0f} processes wanted the machine's "
        "processors."
    )


def _table(slices: list[Slice]) -> Iterator[str]:
    columns = slices[0].columns
    yield f"\n### {slices[0].title}\n\n| {columns} |\n|{'---|' * (1 + columns.count('|'))}"
    yield from ("| " + " | ".join(row) + " |" for found in slices for row in found.rows)
    yield from (f"\n{note}" for found in slices for note in found.notes)
    if counts := [found.counts for found in slices if found.counts is not None]:
        yield f"\nIn all: {words_of(tuple(map(sum, zip(*counts, strict=True))))}."


def times(found_s: list[float]) -> tuple[str, str]:
    """The median and the most, in seconds."""
    if not found_s:
        return "-", "-"
    return f"{statistics.median(found_s):.2f} s", f"{max(found_s):.2f} s"


def words_of(counts: tuple[int, ...]) -> str:
    """All counts, by name."""
    names = ("promised", "lost", "duplicated", "stuck", "invalid", "missed")
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), capture_output=True, text=True, check=True).stdout.strip()


def _read(path: Path, of: str) -> Slice | None:
    if not path.is_file():
        return None
    found = Slice.model_validate_json(path.read_text())
    return found if found.version == of else None


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
