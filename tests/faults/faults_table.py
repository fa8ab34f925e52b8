"""Faults, all of them: each crash point of each operation, each scenario under load; docs/faults.md's tables.

python tests/faults/faults_table.py [--every N] [SLICE ...]

Of so many crash points one is tried; usually each. A slice is a part of it, as `start/worker-here` or
`qemu/*`; without any, all are run. What a slice found is kept, and the tables are made of all that is kept of
this version of the code: so it may be ended at any time, and begins again with the slice that it had not
done. `--anew` runs all that is asked for, `--page` nothing.

The tables are printed. Once all slices of one version are there, and nothing went wrong in any, they take the
place of those that stand between two marks in the document; the rest of it is never touched.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from broker_points import sweep_broker
from family import within_family
from forge import Forge
from page import CHANGED, Kept, Sheet, keep, kept, not_done, page_of, put_in, times, version
from qemu_room import OPERATIONS, TARGETS, qemu_sweep, why_not
from room import Part, Room
from stack.broker.node import PrivateNode
from storms import (
    BY_PROXIES,
    COLUMNS,
    ON_A_CLUSTER,
    UNDER_LOAD,
    by_proxies,
    on_a_cluster,
    under_load,
)
from sweep import Operation, Result, Sweep, operations, sweep_parts, targets

FOLDER = Path("var") / "faults"
"""Where slices are kept."""

DOCUMENT = Path("docs") / "faults.md"
"""Where the tables of a whole sweep stand."""

POINTS = "operation | who dies | tried | points | wrong | recovery p50 | max"

Run = Callable[[int], Sheet]
"""Runs a slice, at one of so many points."""


def main(arguments: list[str]) -> int:
    """Run slices, print the tables; answers 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="faults_table", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="of so many crash points one is tried")
    parser.add_argument("--anew", action="store_true", help="also what is kept of this version")
    parser.add_argument("--page", action="store_true", help="run nothing, make the tables of what is kept")
    parser.add_argument("slices", nargs="*", default=["*"], help="which ones; usually all")
    wanted = parser.parse_args(arguments)
    every = slices()
    chosen = [name for name in every if any(fnmatch(name, pattern) for pattern in wanted.slices)]
    if not chosen:
        parser.error(f"no slice has such a name; there are {', '.join(every)}")
    of = version()
    if not wanted.page:
        is_anew = wanted.anew or of.endswith(CHANGED)
        left = chosen if is_anew else not_done(kept(FOLDER, chosen, of), wanted.every)
        for name in left:
            keep(FOLDER, name, every[name](wanted.every).done(of, wanted.every))
    return _tell(kept(FOLDER, every, of))


def _tell(found: list[Kept]) -> int:
    """Print what was found, and put it into the document if it is whole; answers 1 if anything went wrong."""
    lines = list(page_of(found))
    sys.stdout.write("\n".join(lines) + "\n")
    if any(one is not None and one.complaints for _, one in found):
        sys.stderr.write(f"something went wrong: {DOCUMENT} is left as it is\n")
        return 1
    if any(one is None for _, one in found):
        sys.stderr.write(f"not all has been run of this version: {DOCUMENT} is left as it is\n")
        return 0
    DOCUMENT.write_text(put_in(DOCUMENT.read_text(), lines))
    return 0


def slices() -> dict[str, Run]:
    """All of them, in the order of the page."""
    every: dict[str, Run] = {}
    for name in UNDER_LOAD:
        every[f"load/{name}"] = partial(_storm, "Under load", partial(under_load, name=name))
    for name in BY_PROXIES:
        title = "Under load, the broker reached by proxies"
        every[f"proxies/{name}"] = partial(_storm, title, partial(by_proxies, name=name))
    for name in ON_A_CLUSTER:
        title = "Under load, on a cluster of three nodes"
        every[f"cluster/{name}"] = partial(_storm, title, partial(on_a_cluster, name=name))
    for name in ("start", "suspend", "migrate"):
        every[f"broker/{name}"] = partial(_broker, name)
    for operation in OPERATIONS:
        every[f"qemu/{operation.name}"] = partial(_qemu, operation)
    nowhere = Path()
    for operation in operations(nowhere).values():
        for part in dict.fromkeys(target.part for target in targets(sweep_parts(nowhere), operation)):
            every[f"{operation.name}/{part}"] = partial(_service, operation.name, part)
    return every


def _storm(title: str, storm: Callable[..., None], _every: int) -> Sheet:
    sheet = Sheet(title, COLUMNS)
    storm(sheet, own_place)
    return sheet


def _service(name: str, part: str, every: int) -> Sheet:
    """A service dies at its crash points of an operation."""
    sheet = Sheet("Crash points", POINTS)
    with room_of(sweep_parts, "sweep") as (room, _):
        sweep, operation = Sweep(room), operations(room.directory)[name]
        every_target = targets(tuple(room.parts.values()), operation)
        found = [sweep.run(operation, each, every=every) for each in every_target if each.part == part]
        _end(sheet, sweep, (operation.name, part, _share(every)), found)
    return sheet


def _qemu(operation: Operation, every: int) -> Sheet:
    """The same of a worker on QEMU, whose other services are those of the simulator."""
    sheet = Sheet("On QEMU", POINTS)
    reason = why_not()
    if reason is not None:
        sheet.complain(f"QEMU was not swept: {reason}")
        return sheet
    with (
        own_place("qemu") as place,
        PrivateNode(place / "broker") as node,
        qemu_sweep(place, node.url) as sweep,
    ):
        found = [sweep.run(operation, target, every=every) for target in TARGETS]
        _end(sheet, sweep, (operation.name, "worker", _share(every)), found)
    return sheet


def _broker(name: str, _every: int) -> Sheet:
    """The broker is killed at each record."""
    columns = "operation | who dies | points | wrong | recovery, from when it answers again, p50 | max"
    sheet = Sheet("The broker dies at each record", columns)
    with room_of(sweep_parts, "records") as (room, node):
        sweep, operation = Sweep(room), operations(room.directory)[name]
        _end(sheet, sweep, (name, "broker"), [sweep_broker(sweep, node, operation)])
    return sheet


def _end(sheet: Sheet, sweep: Sweep, what: tuple[str, ...], found: list[Result]) -> None:
    """What was found of an operation and who died in it, and the verdict on all of it."""
    complaints = [complaint for one in found for complaint in one.complaints]
    recoveries_s = [each_s for one in found for each_s in one.recoveries_s]
    points = sum(one.points for one in found)
    sheet.row(*what, points, len(complaints), *times(recoveries_s))
    sheet.complain(*complaints)
    sheet.count(sweep.verdict(sheet.complain))
    sweep.close()
    if bug := sweep.room.bug():
        sheet.complain(f"a service met a bug: {what[1]} in {what[0]}: {bug}")


def _share(every: int) -> str:
    return "each" if every == 1 else f"one of {every}"


@contextmanager
def own_place(name: str) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"xenops-{name}-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def room_of(parts: Callable[[Path], tuple[Part, ...]], name: str) -> Iterator[tuple[Room, PrivateNode]]:
    """A room on a broker of its own; all of it is gone afterwards."""
    modules = [part.module for part in parts(Path())]
    with own_place(name) as place, PrivateNode(place / "broker") as node, Forge(modules) as forge:
        room = Room(place, node.url, parts(place), forge)
        try:
            room.open()
            yield room, node
        finally:
            room.close()


if __name__ == "__main__":
    sys.exit(within_family(lambda: main(sys.argv[1:])))
