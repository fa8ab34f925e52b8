"""What a running task says."""

import pytest
from bus.clock import SYSTEM_CLOCK
from engine.backend import Execution
from engine.cancellation import Cancellation
from engine.conformance import SuiteExecution
from engine.worker.core import Lease
from engine.worker.reporter import ATOMS_MAX, INTERVAL_S, Reporter, Telling
from schema.atomics import Atomic
from schema.atomics.vm import VmPause, VmUnpause
from schema.fault import XenopsError, internal_error
from schema.ids import LeaseToken, TaskId, VmId, WorkerName
from schema.operations import VmStart
from schema.overseen import Atom
from schema.records import Progress, Record, Started, Submitted

VM = VmId("vm")
WORKER = WorkerName("w")


def reporter(told: list[Record], clock: "Clock | None" = None, running: int = 1) -> Reporter:
    submitted = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=0.0)
    lease = Lease(TaskId(1), LeaseToken(2), submitted, 0.0)
    return Reporter(
        lease, Cancellation(TaskId(1)), Telling(told.append, clock or SYSTEM_CLOCK, lambda: running)
    )


def test_a_task_that_is_over_soon_says_nothing_before_its_end() -> None:
    told: list[Record] = []
    one = reporter(told)
    one.begin(WORKER, tell=False)
    assert one.rest() == ()
    one.tell_if_due()
    assert told == []


def test_a_task_that_goes_on_after_a_pause_says_so_at_once_and_once() -> None:
    told: list[Record] = []
    one = reporter(told)
    one.begin(WORKER, tell=True)
    one.tell_if_due()
    assert told == [Started(vm=VM, task=TaskId(1), token=LeaseToken(2), worker=WORKER)]


def test_each_atomic_is_noted_with_how_it_ended() -> None:
    one = reporter([])
    one.begin(WORKER, tell=False)

    def perform(atomic: Atomic, _: Execution) -> str:
        if isinstance(atomic, VmPause):
            raise internal_error("no")
        return "result"

    noted = one.noted(perform)
    assert noted(VmUnpause(vm=VM), SuiteExecution()) == "result"
    with pytest.raises(XenopsError):
        noted(VmPause(vm=VM), SuiteExecution())
    assert [(atom.kind, atom.failed) for atom in one.atoms()] == [("VM_unpause", False), ("VM_pause", True)]
    assert all(atom.began_s >= 0 and atom.took_s >= 0 for atom in one.atoms())


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_steps_are_told_while_a_task_runs_each_once_and_the_one_under_way() -> None:
    told: list[Record] = []
    clock = Clock()
    one = reporter(told, clock)
    one.begin(WORKER, tell=True)

    def perform(_: Atomic, __: Execution) -> None:
        clock.at += 1.0
        one.tell_if_due()
        one.tell_if_due()  # nothing is new

    noted = one.noted(perform)
    noted(VmUnpause(vm=VM), SuiteExecution())
    noted(VmPause(vm=VM), SuiteExecution())
    progress = [record for record in told if isinstance(record, Progress)]
    assert [(record.atom, record.atom_began_s, record.ran_s) for record in progress] == [
        ("VM_unpause", 0.0, 1.0),
        ("VM_pause", 1.0, 2.0),
    ]
    assert [record.atoms for record in progress] == [(), (Atom("VM_unpause", 0.0, 1.0),)]


@pytest.mark.parametrize(("running", "silent_s"), [(0, 0.1), (1, 0.1), (4, 0.1), (26, 0.5), (1_000, 2.0)])
def test_the_more_tasks_run_the_longer_each_is_silent(running: int, silent_s: float) -> None:
    told: list[Record] = []
    clock = Clock()
    one = reporter(told, clock, running)
    one.begin(WORKER, tell=False)
    one.progress(0.5)
    clock.at += silent_s - 0.001
    one.tell_if_due()
    assert [record.kind for record in told] == (["Started"] if silent_s == INTERVAL_S else [])
    clock.at += 0.002
    one.tell_if_due()
    assert [record.kind for record in told] == ["Started", "Progress"]


def test_of_very_many_atomics_the_first_are_noted() -> None:
    one = reporter([])
    noted = one.noted(lambda *_: None)
    for _ in range(ATOMS_MAX + 3):
        noted(VmUnpause(vm=VM), SuiteExecution())
    assert len(one.atoms()) == ATOMS_MAX
