"""What is done at once."""

import threading
import time
from contextvars import ContextVar
from functools import partial

import pytest
from engine.branches import IDLE_MAX, ONE_AFTER_THE_OTHER, Branches

PATIENCE_S = 120.0


def test_all_actions_have_ended_when_all_return() -> None:
    done: list[int] = []
    branches = Branches()
    for _ in range(20):
        done.clear()
        branches.run([partial(done.append, number) for number in range(10)])
        assert sorted(done) == list(range(10))


def test_actions_that_wait_for_each_other_meet_again_and_again() -> None:
    branches, met = Branches(), threading.Barrier(5)
    for _ in range(20):
        branches.run([lambda: met.wait(PATIENCE_S)] * 5)


def test_nested_actions_wait_for_nobody_s_thread() -> None:
    branches, met = Branches(), threading.Barrier(16)

    def inner() -> None:
        branches.run([lambda: met.wait(PATIENCE_S)] * 4)

    branches.run([inner] * 4)


def test_more_at_a_time_than_are_kept_idle_still_run_at_once() -> None:
    branches, met = Branches(), threading.Barrier(IDLE_MAX + 5)
    for _ in range(2):
        branches.run([lambda: met.wait(PATIENCE_S)] * (IDLE_MAX + 5))


def test_threads_that_are_idle_are_used_again() -> None:
    branches, met = Branches(), threading.Barrier(3)
    seen: set[threading.Thread] = set()

    def meet() -> None:
        seen.add(threading.current_thread())
        met.wait(PATIENCE_S)

    deadline, known = time.monotonic() + PATIENCE_S, -1
    while len(seen) > known:
        assert time.monotonic() < deadline
        known = len(seen)
        branches.run([meet] * 3)


def test_all_actions_are_done_in_the_context_of_who_asks() -> None:
    branches, met = Branches(), threading.Barrier(3)
    concern: ContextVar[str] = ContextVar("concern", default="")
    for name in ("first", "second"):  # with threads that are new, and with those that are used again
        seen: list[str] = []

        def look(seen: list[str] = seen) -> None:
            seen.append(concern.get())
            met.wait(PATIENCE_S)

        token = concern.set(name)
        branches.run([look] * 3)
        concern.reset(token)
        assert seen == [name] * 3


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_need_no_thread(count: int) -> None:
    here: list[int] = []
    Branches().run([lambda: here.append(threading.get_ident())] * count)
    assert here == [threading.get_ident()] * count


def test_actions_that_wait_for_nothing_are_done_in_order_by_who_asks() -> None:
    seen: list[tuple[int, int]] = []
    ONE_AFTER_THE_OTHER.run([lambda n=n: seen.append((n, threading.get_ident())) for n in range(5)])  # type: ignore[misc]
    assert seen == [(number, threading.get_ident()) for number in range(5)]
