"""Log: the command that shows what stands in an instance's log, line by line, or writes it to a file."""

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, get_args

from bus.exported import Standing, exported
from schema.ids import Offset
from schema.log_records import ROUTINE
from schema.records import Record

from xenops.command.screen import Screen
from xenops.command.times import HELP as TIMES
from xenops.command.times import time_of
from xenops.lines import QUARANTINED, kind_of, line_of, tasks_of, vm_of
from xenops.log import Log

EPILOG = """\
Each line: offset, time (UTC, by the clock of whoever wrote it), kind, VM, task, and of the rest what there is
room for. A message that no service takes has the kind QUARANTINED, and says why. A task's id is the offset of
its Submitted. The log of an instance's observers is that of --instance NAME:observers.

What services write every few seconds although nothing happens is shown by --all, --kind and --json alone; an
exported file has it. All of the log is read, but with --since alone: where that begins, a record that its
writer had to repeat just then may be shown as if it counted.

What clients have sent stands in the log with all its parameters, secrets too; so it does in an exported file,
which nobody else may read when this command makes it. The broker's user must be one that may read logs, as
xenops-operator. From an exported file `python -m stack replay` shows what a service made of it.
"""

_KINDS = sorted(get_args(one.model_fields["kind"].annotation)[0] for one in get_args(get_args(Record)[0]))

Command = Callable[[str, str], argparse.ArgumentParser]


class LogFileError(Exception):
    """The file that the log is to be written to; the sentence says what is wrong."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted: None and nothing mean all."""

    vms: frozenset[str]
    tasks: frozenset[int]
    kinds: frozenset[str]
    since: float | None
    until: float | None

    def wants(self, one: Standing) -> bool:
        """Whether a line is shown."""
        if self.kinds and kind_of(one) not in self.kinds:
            return False
        if (self.vms and vm_of(one) not in self.vms) or not self._is_in_time(one.at):
            return False
        return not self.tasks or not self.tasks.isdisjoint(tasks_of(one))

    def _is_in_time(self, at: float | None) -> bool:
        if at is None:
            return self.since is None and self.until is None
        return (self.since is None or at >= self.since) and (self.until is None or at <= self.until)


def add_log_command(command: Command) -> None:
    """Declare the command."""
    log = command("log", "show what stands in the instance's log, or write it to a file")
    log.formatter_class = argparse.RawDescriptionHelpFormatter
    log.epilog = EPILOG
    log.add_argument("--follow", action="store_true", help="go on with what comes, until interrupted")
    log.add_argument("--vm", action="append", default=[], metavar="VM", help="only of this VM, by its id")
    log.add_argument("--task", action="append", default=[], type=int, metavar="TASK", help="only of this one")
    log.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=(*_KINDS, QUARANTINED),
        metavar="KIND",
        help=f"only such: {', '.join(_KINDS)}, or {QUARANTINED}",
    )
    log.add_argument("--all", action="store_true", help=f"also {', '.join(sorted(ROUTINE))}")
    log.add_argument("--since", type=time_of, metavar="TIME", help=f"only from then on: {TIMES}")
    log.add_argument("--until", type=time_of, metavar="TIME", help="only up to then")
    log.add_argument("--from", type=int, default=0, dest="first", metavar="OFFSET", help="begin there")
    log.add_argument("--to", type=int, dest="last", metavar="OFFSET", help="end there")
    log.add_argument(
        "--export", type=Path, metavar="FILE", help="write it there, as --json prints it, and show nothing"
    )


def show_log(log: Log, arguments: Namespace, screen: Screen) -> None:
    """Do the command.

    Raises:
        LogFileError: the file cannot be written.
    """
    found = _found(log, arguments)
    if arguments.export is not None:
        with _file(arguments.export) as file:
            lines = 0
            for one in found:
                _write(file, exported(log.instance, one), flush=arguments.follow)
                lines += 1
        screen.say(f"{lines} lines are in {arguments.export}; what clients sent is in them, secrets too")
    elif arguments.json:
        for one in found:
            _write(sys.stdout, exported(log.instance, one), flush=arguments.follow)
    else:
        _show_people(found, arguments, screen)


def _show_people(found: Iterator[Standing], arguments: Namespace, screen: Screen) -> None:
    passed_over = 0
    for one in found:
        if kind_of(one) in ROUTINE and not (arguments.all or arguments.kind):
            passed_over += 1
            continue
        _write(sys.stdout, line_of(one), flush=arguments.follow)
    if passed_over:
        screen.say(f"{passed_over} more are heartbeats, pings and snapshots: --all shows them")


def _found(log: Log, arguments: Namespace) -> Iterator[Standing]:
    wanted = Wanted(
        vms=frozenset(arguments.vm),
        tasks=frozenset(arguments.task),
        kinds=frozenset(arguments.kind),
        since=arguments.since,
        until=arguments.until,
    )
    for one in _read(log, arguments):
        if arguments.last is not None and one.offset > arguments.last:
            return
        if wanted.wants(one):
            yield one
        if one.offset == arguments.last:
            return


def _read(log: Log, arguments: Namespace) -> Iterator[Standing]:
    """From a time on, if one is given alone; by offset, all is read: what counts hangs on what is before."""
    if arguments.since is not None and not arguments.first:
        return log.read_since(arguments.since, follow=arguments.follow)
    return log.read(Offset(arguments.first), follow=arguments.follow)


@contextmanager
def _file(path: Path) -> Iterator[TextIO]:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            yield file
    except OSError as error:
        raise LogFileError(f"cannot write the log to {path}: {error}") from error


def _write(out: TextIO, line: str, *, flush: bool) -> None:
    out.write(f"{line}\n")
    if flush:
        out.flush()
