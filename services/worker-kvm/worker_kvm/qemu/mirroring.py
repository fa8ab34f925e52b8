"""Mirroring: disks that go along with their guest: copied while it runs, and all there when it stands still.

QEMU writes them over NBD to a socket of ours, and we carry that to the other host by a line of the migration.
"""

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.backend import Execution
from engine.image import ImageStream
from schema.fault import XenopsError, internal_error

from worker_kvm.qemu.live import Live
from worker_kvm.qemu.machine import Disk
from worker_kvm.qemu.mirrored import job_name, mirror_job, socket_name, target_name, target_node
from worker_kvm.qemu.outgoing import ALONE, HAND_OVER_TIMEOUT_S, Company
from worker_kvm.tunnels import open_tunnel_out
from worker_kvm.watched import Status

GIVE_UP_TIMEOUT_S = 30.0
"""How long QEMU may take to let go of a copy that is not wanted."""

_SHARE = 0.5
"""Of a migration's progress: the rest is memory's."""

_LOOK_S, _POLL_S = 0.1, 0.002
_ENDED = "concluded"


@dataclass(frozen=True, slots=True)
class Way:
    """From QEMU's own directory to the other host; `owner` is QEMU's user and group, None: ours.

    A disk may take `mib_per_s` of it, None: all.
    """

    own: Path
    owner: tuple[int, int] | None
    stream: ImageStream
    mib_per_s: int | None = None


@contextmanager
def mirroring(live: Live, disks: Sequence[Disk], way: Way, execution: Execution) -> Iterator[Company]:
    """Once inside, disks are as at the other host but for what the guest writes, and are kept so.

    What is answered goes along with memory. However it is left, QEMU copies no more. Errors: `Internal_error`
    with QEMU's words, those of `ImageStream.line`, `Cancelled`.
    """
    if not disks:
        yield ALONE
        return
    with ExitStack() as ending:
        ending.callback(give_up_mirrors, live, disks)
        for disk in disks:
            line = way.stream.line(disk.slot.device)
            open_tunnel_out(way.own / socket_name(disk.slot), [line], ending, way.owner)
            live.do("blockdev-add", target_node(disk.slot))
            live.do("blockdev-mirror", mirror_job(disk.slot, way.mib_per_s))
        _await_copies(live, disks, way.stream, execution)
        yield Company(_SHARE, partial(_finish, live, disks))


def give_up_mirrors(live: Live, disks: Sequence[Disk]) -> None:
    """Have QEMU copy no disks any more; it copies none, nothing to do. The guest goes on."""
    with suppress(XenopsError):  # one that is gone copies nothing
        ours = {job_name(disk.slot) for disk in disks} & set(_jobs(live))
        for job in ours:
            live.try_to("block-job-cancel", {"device": job, "force": True})
        _await_end(live, ours, GIVE_UP_TIMEOUT_S)
        for job in ours:
            live.try_to("job-dismiss", {"id": job})
        for disk in disks:
            live.remove_node(target_name(disk.slot), GIVE_UP_TIMEOUT_S)


def _await_copies(live: Live, disks: Sequence[Disk], stream: ImageStream, execution: Execution) -> None:
    wanted = {job_name(disk.slot) for disk in disks}
    while True:
        jobs = _jobs(live)
        _refuse_failed(jobs, wanted)
        if all(jobs[job]["status"] == "ready" for job in wanted):
            return
        execution.progress(_SHARE * _fraction([jobs[job] for job in wanted]))
        if live.wait_ended(execution, _LOOK_S):
            raise internal_error("the guest has ended while its disks were copied")
        if _is_refused(stream):
            raise internal_error("the other side does not take the guest's disks")


def _is_refused(stream: ImageStream) -> bool:
    """Whether the other side has said something, if only by hanging up: it is to hear first."""
    connection = stream.descriptor()
    if connection is None:
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))


def _finish(live: Live, disks: Sequence[Disk]) -> None:
    """The guest stands still: what it has written last goes over, and QEMU lets go."""
    wanted = {job_name(disk.slot) for disk in disks}
    for job in wanted:
        live.do("block-job-cancel", {"device": job})  # one that is ready ends well by that
    _await_end(live, wanted, HAND_OVER_TIMEOUT_S)
    jobs = _jobs(live)
    for job in wanted:
        if words := jobs[job].get("error"):
            raise _failed(words)
        live.do("job-dismiss", {"id": job})
    for disk in disks:
        if not live.remove_node(target_name(disk.slot), GIVE_UP_TIMEOUT_S):
            raise internal_error("QEMU does not let go of a disk's copy")


def _await_end(live: Live, wanted: set[str], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(job in wanted and told["status"] != _ENDED for job, told in _jobs(live).items()):
        if live.status is Status.ENDED or time.monotonic() > deadline:
            raise internal_error(f"QEMU has not ended the copy of a disk within {timeout_s:g} s")
        time.sleep(_POLL_S)


def _refuse_failed(jobs: dict[str, dict[str, Any]], wanted: set[str]) -> None:
    for job in wanted:
        told = jobs.get(job, {"status": _ENDED})
        if told["status"] == _ENDED:
            raise _failed(told.get("error", "QEMU does not say why"))


def _failed(words: str) -> XenopsError:
    return internal_error(f"a disk could not be copied to the other host: {words}")


def _fraction(jobs: Sequence[dict[str, Any]]) -> float:
    total = sum(job["total-progress"] for job in jobs)
    return float(sum(job["current-progress"] for job in jobs) / total) if total else 0.0


def _jobs(live: Live) -> dict[str, dict[str, Any]]:
    return {str(job["id"]): job for job in live.do("query-jobs")}
