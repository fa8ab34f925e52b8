"""Jobs: calls of libvirt that wait for their end; meanwhile the task hears how far they have come."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TypeVar

from engine.backend import Execution
from virt.connection import Connection

_PROGRESS_POLL_S = 0.1

T = TypeVar("T")


def _nothing() -> None:
    """What is done meanwhile unless something is."""


@dataclass(frozen=True, slots=True)
class Job:
    """What libvirt has a domain do; `meanwhile` is called now and then."""

    virt: Connection
    uuid: str
    meanwhile: Callable[[], None] = _nothing


def run_job(job: Job, execution: Execution, act: Callable[[], T]) -> T:
    """Have libvirt do what it counts as a domain's job; a cancel breaks it off.

    Errors: those of `act`, of one that was broken off `AbortedError`.
    """
    come, cancelled = 0.0, threading.Event()
    with (
        ThreadPoolExecutor(1, thread_name_prefix="libvirt-job") as thread,
        execution.cancellable(cancelled.set),
    ):
        doing = thread.submit(act)
        while not _is_done(doing, _PROGRESS_POLL_S):
            if cancelled.is_set():  # again and again: it may not have begun
                job.virt.abort(job.uuid)
            come = max(come, min(1.0, job.virt.job_progress(job.uuid)))
            execution.progress(come)
            job.meanwhile()
    return doing.result()


def _is_done(doing: "Future[T]", timeout_s: float) -> bool:
    try:
        doing.result(timeout_s)
    except FutureTimeoutError:
        return False
    return True
