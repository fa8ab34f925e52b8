"""How long a guest may stand still for the rest of its memory, by a clock and hypervisors in hand."""

import threading
from dataclasses import dataclass, field
from typing import cast

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from schema.objects.errors import Cancelled
from virt.connection import Connection
from worker_kvm import downtime
from worker_kvm.downtime import DOWNTIME_MS, PATIENCE_S, Downtime
from worker_kvm.libvirt.jobs import Job, run_job


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Libvirt:
    """As much of `Connection` as is asked about a job."""

    aborted: threading.Event = field(default_factory=threading.Event)

    def abort(self, _uuid: str) -> None:
        self.aborted.set()

    def job_progress(self, _uuid: str) -> float:
        return 0.5


def test_more_is_allowed_once_and_only_when_it_is_time() -> None:
    clock, allowed = Clock(), list[int]()
    limit = Downtime(allowed.append, clock)
    limit.look()
    limit.set_out()
    clock.now += PATIENCE_S - 0.001
    limit.look()
    assert allowed == []
    clock.now += 0.001
    for _ in range(2):
        limit.look()
    assert allowed == [DOWNTIME_MS]


def test_a_guest_that_libvirt_moves_is_looked_at_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downtime, "PATIENCE_S", 0.0)
    is_allowed = threading.Event()
    limit = Downtime(lambda _: is_allowed.set())
    limit.set_out()
    job = Job(cast("Connection", Libvirt()), "u", limit.look)
    assert run_job(job, SuiteExecution(), lambda: is_allowed.wait(60))


def test_a_cancel_breaks_off_what_libvirt_does() -> None:
    libvirt, execution = Libvirt(), SuiteExecution()
    execution.cancel()
    assert run_job(Job(cast("Connection", libvirt), "u"), execution, lambda: libvirt.aborted.wait(60))
    assert isinstance(refusal(execution.check_cancelled), Cancelled)
