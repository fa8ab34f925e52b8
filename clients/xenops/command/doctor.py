"""Doctor: the command that looks whether all that an instance needs is there, and says what to do if not."""

import argparse
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist
from schema.rpc import ResponseError
from schema.wire.value import Dict

from xenops.client import Client
from xenops.command import checks, machine
from xenops.command.checks import Check, Verdict, masked
from xenops.command.screen import Screen, Shown, Table
from xenops.command.survey import survey
from xenops.log import Log
from xenops.sentences import sentence

PATIENCE_S = 15.0
"""How long a log may take until something of it comes: workers write every five seconds."""

ASK_S = 8.0
"""How long a service may take to answer."""

LANES_MAX = 1_000

EPILOG = """\
Each check is ok, warn, fail or skip, which is what matters to workers' hosts alone and was not looked at;
what is not ok has its remedy below it. The exit code is 1 if anything fails. Disk and access are those of
this machine. --instance may name several, divided by commas. Of the log its first entry and its end are read,
by a user of the broker who may.
"""

AnswerT = TypeVar("AnswerT")
Connect = Callable[[str], Client]
OpenLog = Callable[[str], Log]
Command = Callable[[str, str], argparse.ArgumentParser]


@dataclass(frozen=True, slots=True)
class Doors:
    """How an instance is reached by its name: both raise `BusError` if it is not."""

    connect: Connect
    open_log: OpenLog


def add_doctor_command(command: Command) -> None:
    """Declare the command."""
    doctor = command("doctor", "look whether all that is needed is there, and say what to do if not")
    doctor.formatter_class = argparse.RawDescriptionHelpFormatter
    doctor.epilog = EPILOG
    doctor.add_argument(
        "--state-dir",
        type=Path,
        action="append",
        metavar="DIR",
        help="of a worker of this host; default: XENOPS_STATE_DIR",
    )
    doctor.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_S,
        metavar="SECONDS",
        help=f"how long the log may take (default {PATIENCE_S:g})",
    )


def examine(doors: Doors, arguments: Namespace, screen: Screen) -> bool:
    """Do the command; whether nothing has failed."""
    found = list(_all(doors, arguments))
    screen.show(_shown(found))
    count = {verdict: sum(check.verdict is verdict for _, check in found) for verdict in Verdict}
    screen.say(", ".join(f"{number} {verdict}" for verdict, number in count.items()))
    return not count[Verdict.FAIL]


def _shown(found: list[tuple[str, Check]]) -> Shown:
    rows: list[tuple[str, ...]] = []
    for instance, check in found:
        rows.append((check.verdict, check.name, instance, check.found))
        if check.remedy:
            rows.append(("", "", "", f"→ {check.remedy}"))
    value = [
        Dict(
            [
                ("check", check.name),
                ("instance", instance or None),
                ("verdict", str(check.verdict)),
                ("found", check.found),
                ("remedy", check.remedy or None),
            ]
        )
        for instance, check in found
    ]
    return Shown(value, (Table(("", "CHECK", "INSTANCE", "FOUND"), tuple(rows)),))


def _all(doors: Doors, arguments: Namespace) -> Iterator[tuple[str, Check]]:
    reached = False
    for instance in arguments.instance.split(","):
        began = time.monotonic()
        try:
            client = doors.connect(instance)
        except BusError as error:
            remedy = "start the broker, or give another by --broker or XENOPS_BROKER"
            yield "", Check("broker", Verdict.FAIL, f"{masked(arguments.broker)}: {error}", remedy)
            break
        with client:
            if not reached:
                reached = True
                took_s = time.monotonic() - began
                yield (
                    "",
                    Check("broker", Verdict.OK, f"{masked(arguments.broker)}, in {took_s * 1000:.0f} ms"),
                )
            for check in (*_of_services(client), *_of_log(doors, client, instance, arguments.patience)):
                yield instance, check
    given = os.environ.get("XENOPS_STATE_DIR")
    for check in machine.of_state(arguments.state_dir or ([Path(given)] if given else [])):
        yield "", check
    yield "", machine.of_access()


def _of_services(client: Client) -> Iterator[Check]:
    check = _frontend(client)
    yield check
    if check.verdict is Verdict.FAIL:
        return
    yield from _judged("redirector", client.worker.list, checks.of_workers, checks.of_stranded)
    yield from _judged("lanes", lambda: client.lane.list(LANES_MAX), checks.of_lanes)
    yield from _judged("eventhub", client.events.stat, checks.of_readers)
    yield from _judged("quarantine", client.quarantine.list, checks.of_quarantine)
    yield from _judged("worker", client.host.stat, checks.of_hypervisor)


def _frontend(client: Client) -> Check:
    """Whether one answers: also where it only says that nobody behind it does."""
    began = time.monotonic()
    try:
        client.query()
    except XenopsError:
        return Check("frontend", Verdict.OK, "answers")
    except (BusError, ResponseError) as error:
        remedy = "start the frontend of this instance; if it runs, its log says what is wrong"
        return Check("frontend", Verdict.FAIL, str(error), remedy)
    return checks.of_answer("frontend", time.monotonic() - began)


def _judged(name: str, ask: Callable[[], AnswerT], *judges: Callable[[AnswerT], Check]) -> Iterator[Check]:
    """How a service answers, and what is thought of what it says."""
    check, answer = _asked(name, ask)
    if answer is None:
        yield check
        return
    judged = [judge(answer) for judge in judges]
    if judged[0].name != name:
        yield check
    yield from judged


def _asked(name: str, ask: Callable[[], AnswerT]) -> tuple[Check, AnswerT | None]:
    """How a service answers, and what, if it does."""
    began = time.monotonic()
    try:
        answer = ask()
    except (BusError, XenopsError, ResponseError) as error:
        serves = {"lanes": "redirector", "quarantine": "eventhub"}.get(name, name)
        remedy = f"start the {serves} of this instance; if it runs, its log says what is wrong"
        return Check(name, Verdict.FAIL, _words(error), remedy), None
    return checks.of_answer(name, time.monotonic() - began), answer


def _words(error: Exception) -> str:
    return sentence(error.error) if isinstance(error, XenopsError) else str(error)


def _of_log(doors: Doors, client: Client, instance: str, patience_s: float) -> Iterator[Check]:
    try:
        seen = survey(lambda: doors.open_log(instance), patience_s)
    except BusError as error:
        yield _unread(str(error))
        return
    yield from checks.of_log(seen, time.time())
    if seen.is_whole:
        yield _echo(client, seen.last)


def _echo(client: Client, place: int) -> Check:
    began = time.monotonic()
    try:
        client.task.stat(str(place))
    except (BusError, XenopsError) as error:
        # there stands no task, which it knows once it has read so far
        if not (isinstance(error, XenopsError) and isinstance(error.error, DoesNotExist)):
            return Check("echo", Verdict.FAIL, _words(error), "start the eventhub of this instance")
    return checks.of_echo(time.monotonic() - began, place)


def _unread(why: str) -> Check:
    remedy = "clock, retention and echo are unknown: give the URL of the broker's user xenops-operator"
    return Check("log", Verdict.WARN, why, remedy)
