import threading
from collections.abc import Callable
from typing import Any

import pytest
from engine.backend import Execution
from engine.branches import Branches
from engine.cancellation import Cancellation
from engine.execute import Executor, Perform
from engine.plan import BestEffort, Do, Parallel, Plan, Serial
from schema.atomics import Atomic
from schema.atomics.vm import VmDelay, VmPause, VmRunScript, VmUnpause
from schema.fault import XenopsError, internal_error
from schema.ids import TaskId, VmId
from schema.objects.errors import Cancelled

TASK = TaskId(7)
PATIENCE_S = 120.0


def do(name: str) -> Do:
    return Do(VmPause(vm=VmId(name)))


class Performed:
    """Performs by noting; fails where told to."""

    def __init__(self, *failing: str) -> None:
        self.names: list[str] = []
        self._failing = failing

    def __call__(self, atomic: Atomic, execution: Execution) -> Any:
        assert isinstance(atomic, VmPause | VmUnpause | VmRunScript | VmDelay)
        if atomic.vm in self._failing:
            raise internal_error(f"{atomic.vm} fails")
        self.names.append(atomic.vm)
        execution.progress(0.5)
        return {"rc": 0} if isinstance(atomic, VmRunScript) else None


def executor(
    plan: Serial,
    perform: Perform,
    cancellation: Cancellation | None = None,
    told: Callable[[float], None] = lambda _: None,
) -> Executor:
    return Executor(plan, perform, cancellation or Cancellation(TASK), told, branches=Branches())


def run(performed: Performed, *plans: Plan, cancellation: Cancellation | None = None) -> list[float]:
    told: list[float] = []
    executor(Serial("top", plans), performed, cancellation, told.append).run()
    return told


def test_a_plan_is_run_in_order_and_its_progress_ends_at_one() -> None:
    performed = Performed()
    told = run(performed, do("a"), Serial("inner", (do("b"), do("c"))), do("d"))
    assert performed.names == ["a", "b", "c", "d"]
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_after_a_failure_nothing_more_is_begun() -> None:
    performed = Performed("b")
    with pytest.raises(XenopsError, match="b fails"):
        run(performed, do("a"), do("b"), do("c"))
    assert performed.names == ["a"]


def test_what_is_done_at_best_effort_may_fail() -> None:
    performed = Performed("b")
    assert run(performed, do("a"), BestEffort(do("b")), do("c"))[-1] == 1.0
    assert performed.names == ["a", "c"]


def test_of_several_failures_at_once_the_first_in_order_counts_and_the_others_end() -> None:
    performed = Performed("b", "d")
    with pytest.raises(XenopsError, match="b fails"):
        run(performed, Parallel("together", tuple(map(do, "abcde"))))
    assert sorted(performed.names) == ["a", "c", "e"]


def test_what_goes_on_at_once_really_does_even_when_nested() -> None:
    met = threading.Barrier(10)

    def meet(_atomic: Atomic, _execution: Execution) -> None:
        met.wait(PATIENCE_S)

    nested = Parallel("outer", tuple(Parallel("inner", tuple(map(do, "ab"))) for _ in range(5)))
    executor(Serial("top", (nested,)), meet).run()


def test_a_chunk_ends_before_the_next_begins() -> None:
    performed = Performed("0")
    with pytest.raises(XenopsError):
        run(performed, Parallel("many", tuple(do(str(number)) for number in range(15))))
    assert len(performed.names) == 9


def test_the_value_that_an_atomic_gives_is_the_plans() -> None:
    plan = Serial("top", (do("a"), Do(VmRunScript(vm=VmId("b"), script="true")), do("c")))
    assert executor(plan, Performed()).run() == {"rc": 0}


@pytest.mark.parametrize("point", range(1, 6))
def test_a_plan_is_cancelled_at_each_of_its_points(point: int) -> None:
    performed = Performed()
    cancellation = Cancellation(TASK, trigger=point)
    plans = (do("a"), Serial("inner", (do("b"), do("c"))), Parallel("at once", (do("d"), do("e"))))
    with pytest.raises(XenopsError) as caught:
        run(performed, *plans, cancellation=cancellation)
    assert caught.value.error == Cancelled(task="7")
    assert cancellation.points >= point


def test_what_goes_on_at_once_makes_one_cancel_point_as_in_the_original() -> None:
    cancellation = Cancellation(TASK)
    at_once = Parallel("at once", (do("b"), Serial("inner", (do("c"), do("d"))), BestEffort(do("e"))))
    run(Performed(), do("a"), at_once, BestEffort(do("f")), cancellation=cancellation)
    assert cancellation.points == len(["a", "at once", "best effort", "f"])


def test_a_cancel_stops_what_goes_on_at_once() -> None:
    cancellation = Cancellation(TASK)
    both = threading.Barrier(2)

    def perform(atomic: Atomic, execution: Execution) -> None:
        assert isinstance(atomic, VmPause)
        both.wait(PATIENCE_S)
        if atomic.vm == "a":
            cancellation.cancel()
        else:
            execution.wait(3600.0)

    plan = Serial("top", (Parallel("at once", (do("a"), Serial("inner", (do("b"), do("c"))))),))
    with pytest.raises(XenopsError) as caught:
        executor(plan, perform, cancellation).run()
    assert caught.value.error == Cancelled(task="7")


def test_a_plan_without_cancel_points_left_succeeds() -> None:
    run(Performed(), do("a"), cancellation=Cancellation(TASK, trigger=2))


def test_a_wait_ends_at_once_when_cancelled() -> None:
    cancellation = Cancellation(TASK)
    waiting = threading.Event()

    def wait(_atomic: Atomic, execution: Execution) -> None:
        waiting.set()
        execution.wait(3600.0)

    def cancel() -> None:
        waiting.wait(PATIENCE_S)
        cancellation.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(XenopsError):
        executor(Serial("top", (do("a"),)), wait, cancellation).run()
    canceller.join()


def test_whoever_waits_is_woken_by_a_cancel_also_by_an_earlier_one() -> None:
    cancellation = Cancellation(TASK)
    woken: list[str] = []
    with cancellation.waking(lambda: woken.append("during")):
        cancellation.cancel()
    with cancellation.waking(lambda: woken.append("before")):
        pass
    cancellation.cancel()
    assert woken == ["during", "before"]


def test_a_cancel_that_is_forbidden_comes_too_late_but_a_fence_never_does() -> None:
    cancellation = Cancellation(TASK, trigger=1)
    cancellation.forbid()
    cancellation.cancel()
    cancellation.check()
    assert cancellation.forbidden
    cancellation.fence()
    with pytest.raises(XenopsError):
        cancellation.check()
    with pytest.raises(XenopsError):
        cancellation.forbid()


def test_a_verb_sees_its_task_through_its_execution() -> None:
    cancellation = Cancellation(TASK)
    woken = threading.Event()

    def verb(_atomic: Atomic, execution: Execution) -> None:
        execution.check_cancelled()
        with execution.cancellable(woken.set):
            cancellation.cancel()
        with pytest.raises(XenopsError):
            execution.forbid_cancel()

    executor(Serial("top", (do("a"),)), verb, cancellation).run()
    assert woken.is_set()
