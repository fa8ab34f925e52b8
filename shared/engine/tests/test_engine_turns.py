"""Who is begun when."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from engine.branches import Action
from engine.turns import AT_ONCE, Turns

PATIENCE_S = 120.0
LONG_S = 3_600.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """As many threads as anybody wants."""
    with ThreadPoolExecutor(max_workers=50) as threads:
        yield threads


def test_few_are_begun_and_who_is_done_goes_on_with_those_that_wait_in_their_order() -> None:
    started: list[Action] = []
    done: list[int] = []
    turns = Turns(started.append, LONG_S)
    for number in range(AT_ONCE + 20):
        turns.begin(partial(done.append, number))
    assert (len(started), turns.waiting()) == (AT_ONCE, 20)
    started[0]()
    assert done == [0, *range(AT_ONCE, AT_ONCE + 20)]
    assert turns.waiting() == 0
    started[1]()
    assert sorted(done) == list(range(AT_ONCE + 20))


def test_once_all_are_done_the_next_ones_are_begun_at_once() -> None:
    started: list[Action] = []
    turns = Turns(started.append, LONG_S)
    for number in range(3 * AT_ONCE):
        turns.begin(lambda: None)
        started[number]()
    assert turns.waiting() == 0


def test_those_that_take_their_time_hold_up_nobody(pool: ThreadPoolExecutor) -> None:
    turns, met = Turns(pool.submit), threading.Barrier(AT_ONCE * 5 + 1)
    for _ in range(3):
        for _ in range(AT_ONCE * 5):
            turns.begin(lambda: met.wait(PATIENCE_S))
        met.wait(PATIENCE_S)


def test_a_bug_in_one_costs_no_other(pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    turns, ended = Turns(pool.submit), threading.Event()

    def fail() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR):
        for _ in range(5 * AT_ONCE):
            turns.begin(fail)
        turns.begin(ended.set)
        assert ended.wait(PATIENCE_S)
    assert "a bug" in caplog.text


def test_those_that_were_cleared_are_not_begun() -> None:
    started: list[Action] = []
    done: list[int] = []
    turns = Turns(started.append, LONG_S)
    for number in range(AT_ONCE + 5):
        turns.begin(partial(done.append, number))
    turns.clear()
    started[0]()
    assert done == [0]
