"""Checks: what the doctor makes of what it has seen: fine or not, and what to do about it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from schema.objects.events import Events
from schema.objects.host import Host
from schema.objects.lane import Lanes, Worker
from schema.objects.quarantine import Quarantine

HOUR_S = 3600.0

SLOW_S = 1.0
"""A service that takes longer to answer is behind, or its machine is busy."""

SILENT_S = 15.0
"""Workers are heard of every five seconds; the redirector misses one after 20 s."""

BEHIND_MAX = 1_000
"""A client that waits for news further behind than this sees the past."""

CLOCK_WARN_S, CLOCK_FAIL_S = 1.0, 10.0
"""Requests are accepted for some seconds by the clock of whoever asks."""

FREE_WARN, FREE_FAIL = 0.10, 0.02
"""Of a disk."""

_SECRET = re.compile(r"(?<=://)([^/@:,]*):[^@,]*(?=@)")


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    """It matters to workers' hosts alone, and nothing says that this is one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and the remedy, if one is needed."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """What was looked at of a log; times are by the clocks of those who wrote, in seconds since the epoch.

    `is_whole`: its end was reached. `late_s` is how much later than it was written a record arrived that came
    while we read; None: none came.
    """

    first: int
    last: int
    began_at: float
    is_whole: bool
    late_s: float | None
    warnings: tuple[str, ...] = ()


def masked(url: str) -> str:
    """A broker's URL, or several, without secrets."""
    return _SECRET.sub(r"\1:…", url)


def of_answer(name: str, took_s: float) -> Check:
    """A service that has answered."""
    found = f"answers in {took_s * 1000:.0f} ms"
    if took_s > SLOW_S:
        return Check(name, Verdict.WARN, found, "it is behind, or its machine is busy: look at its log")
    return Check(name, Verdict.OK, found)


def of_workers(workers: tuple[Worker, ...]) -> Check:
    """Who runs tasks."""
    up = [one for one in workers if one.state == "up"]
    silent = [one for one in up if one.silent_s > SILENT_S]
    other = [f"{one.worker} is {one.state}" for one in workers if one.state != "up"]
    if len(silent) == len(up):
        found = ", ".join([f"{one.worker} is silent for {one.silent_s:.0f} s" for one in silent] + other)
        return Check(
            "workers", Verdict.FAIL, found or "none has ever come", "start a worker; its log says why"
        )
    found = ", ".join(
        [
            f"{one.worker} has {one.busy} of {one.capacity} slots taken, heard {one.silent_s:.1f} s ago"
            for one in up
        ]
        + other
    )
    if silent or other:
        remedy = "start what is down, `xenops worker-undrain` what is to work again"
        return Check("workers", Verdict.WARN, found, remedy)
    return Check("workers", Verdict.OK, found)


_MEANING = {
    "kept": "until {where} says whether it runs there",
    "left over": "of one that runs elsewhere, until it can be taken away",
    "overdue": "until it can take its name",
}


def of_stranded(workers: tuple[Worker, ...]) -> Check:
    """What migrations have left, in no list of VMs; workers of one host name the same."""
    stranded = {one.id: one for worker in workers for one in worker.stranded}
    if not stranded:
        return Check("stranded", Verdict.OK, "no VM stands under a temporary id")
    found = "; ".join(
        f"{one.own} as {one.id} {_MEANING.get(one.state, one.state).format(where=one.where)}"
        for one in stranded.values()
    )
    wheres = ", ".join(sorted({one.where for one in stranded.values() if one.state == "kept"}))
    others = any(one.state != "kept" for one in stranded.values())
    remedy = (
        [f"bring the worker of {wheres} back; if it is gone for good, see the runbook XenopsStranded"]
        if wheres
        else []
    )
    remedy += ["the worker's log says why it cannot be done"] if others else []
    return Check("stranded", Verdict.WARN, found, "; ".join(remedy))


def of_lanes(lanes: Lanes) -> Check:
    """What waits, and what an operator holds."""
    held = [lane.vm for lane in lanes.lanes if lane.held]
    found = f"tasks waiting: {lanes.waiting}, lanes: {lanes.total}"
    if held:
        names = ", ".join(held)
        return Check(
            "lanes", Verdict.WARN, f"{found}; held: {names}", "`xenops lane-release VM` lets them go on"
        )
    return Check("lanes", Verdict.OK, found)


def of_readers(events: Events) -> Check:
    """Who waits for news, and how far behind."""
    count = sum(one.count for one in events.readers)
    behind = max((one.behind for one in events.readers), default=0)
    who = "1 client waits" if count == 1 else f"{count} clients wait"
    found = f"{who} for news, the last {behind} places behind"
    if behind > BEHIND_MAX:
        return Check("readers", Verdict.WARN, found, "a client does not ask again when told: look at it")
    return Check("readers", Verdict.OK, found if count else "no client waits for news")


def of_quarantine(kept: Quarantine) -> Check:
    """What no service takes, and no operator has seen to."""
    seen_to = sum(1 for one in kept.records if one.done)
    if kept.total > seen_to:
        found = f"{kept.total - seen_to} of the log's messages are taken by no service"
        remedy = (
            "`xenops quarantine` shows whose they are, and why; on the operators' page they are retried or "
            "discarded"
        )
        return Check("quarantine", Verdict.WARN, found, remedy)
    found = f"an operator has seen to what is in it, {kept.total} in all" if kept.total else "empty"
    return Check("quarantine", Verdict.OK, found)


def of_hypervisor(host: Host) -> Check:
    """On what the workers run VMs."""
    told = host.hypervisor
    found = f"{told.version} ({told.capabilities})"
    if "tcg" in told.capabilities.split():
        remedy = "VMs are emulated, and slow: give the worker's host /dev/kvm, and restart the worker"
        return Check("hypervisor", Verdict.WARN, found, remedy)
    return Check("hypervisor", Verdict.OK, found)


def of_log(seen: LogSeen, now: float) -> Iterator[Check]:
    """Whether the log is read, what of it is kept, and whose clock differs."""
    since = datetime.fromtimestamp(seen.began_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    found = f"it has records from {seen.first} to {seen.last}, since {since}"
    if not seen.is_whole:
        remedy = "no worker writes: see `workers`; --patience waits longer"
        found = f"it begins at {seen.first}, {since}, and nothing was written to it in the last minute"
        yield Check("log", Verdict.WARN, found, remedy)
        return
    yield Check("log", Verdict.OK, found)
    yield _retention(seen, now)
    yield _clock(seen.late_s)


def _retention(seen: LogSeen, now: float) -> Check:
    if seen.warnings:
        remedy = "keep more (XENOPS_LOG_BYTES_MAX), or look at why that service makes no snapshots"
        return Check("retention", Verdict.WARN, "; ".join(seen.warnings), remedy)
    seconds = now - seen.began_at
    span = f"{seconds / 3600:.1f} hours" if seconds >= HOUR_S else f"{seconds / 60:.0f} minutes"
    return Check("retention", Verdict.OK, f"it goes back {span}, and no service needs more")


def _clock(late_s: float | None) -> Check:
    if late_s is None:
        remedy = "no worker writes: see `workers`; --patience waits longer"
        return Check("clock", Verdict.WARN, "nothing was written while we looked", remedy)
    found = f"a record came {abs(late_s) * 1000:.0f} ms {'after' if late_s >= 0 else 'before'} its time"
    if abs(late_s) > CLOCK_WARN_S:
        verdict = Verdict.FAIL if abs(late_s) > CLOCK_FAIL_S else Verdict.WARN
        return Check("clock", verdict, found, "the clocks of hosts differ: let NTP set them (chrony)")
    return Check("clock", Verdict.OK, found)


def of_echo(took_s: float, place: int) -> Check:
    """An event hub that was asked about the log's newest place, which it answers once it has read so far."""
    if took_s > SLOW_S:
        remedy = "it is connected but deaf, or far behind: start it anew, another replica takes over"
        return Check("echo", Verdict.FAIL, f"the event hub has not read up to {place}", remedy)
    return Check("echo", Verdict.OK, f"the event hub has read up to {place}")


def of_disk(path: str, free_bytes: int, total_bytes: int) -> Check:
    """The disk of a state directory."""
    share = free_bytes / max(1, total_bytes)
    found = f"{path}: {free_bytes / (1 << 30):.1f} GiB free, {share:.0%}"
    if share < FREE_WARN:
        verdict = Verdict.FAIL if share < FREE_FAIL else Verdict.WARN
        return Check(
            "disk", verdict, found, "make room: without any, a worker can note nothing and takes no task"
        )
    return Check("disk", Verdict.OK, found)
