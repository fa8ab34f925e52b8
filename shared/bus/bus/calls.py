"""Calls: questions that wait for their answers, each answered once: by a reply, a failure, or its time."""

import itertools
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Protocol

from bus.loop import Action, guarded
from bus.ports import BusError, OnAnswer, RequestTimeoutError

GRACE_S = 5.0
"""Beyond a question's own time: by then a bus that lives has answered."""


class Timer(Protocol):
    """An action that is due some time."""

    def cancel(self) -> None:
        """Let it not happen."""


class Timers(Protocol):
    """Who does something later: the bus's loop."""

    def later(self, delay_s: float, action: Action, /) -> Timer:
        """Do an action once, after a while, unless it is cancelled."""


class Calls:
    """The questions of one way out; on the loop's thread only."""

    def __init__(self, loop: Timers) -> None:
        self._loop = loop
        self._prefix = f"{uuid.uuid4().hex}."  # nobody else's message is taken for one of ours
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[OnAnswer, Timer]] = {}

    def begin(self, queue: str, timeout_s: float, on_answer: OnAnswer) -> str:
        """Note a question to a queue; answers its correlation id."""
        correlation_id = f"{self._prefix}{next(self._numbers):x}"

        def give_up() -> None:
            sentence = f"no answer from the queue {queue} within {timeout_s:g} s"
            self.end(correlation_id, RequestTimeoutError(sentence))

        self._waiting[correlation_id] = (on_answer, self._loop.later(timeout_s, give_up))
        return correlation_id

    def end(self, correlation_id: str | None, outcome: bytes | BusError) -> bool:
        """Here is an answer, or why there is none; says whether anybody waited for it."""
        waiting = self._waiting.pop(correlation_id, None) if correlation_id is not None else None
        if waiting is None:
            return False
        on_answer, timer = waiting
        timer.cancel()
        guarded(lambda: on_answer(outcome))
        return True

    def fail_all(self, error: BusError) -> None:
        """None of them will be answered."""
        for correlation_id in list(self._waiting):
            self.end(correlation_id, error)


def wait_for(ask: Callable[[OnAnswer], None], queue: str, timeout_s: float) -> bytes:
    """Ask, and wait for the answer in this thread.

    Raises:
        BusError: as the answer says.
    """
    answer: Future[bytes | BusError] = Future()
    ask(answer.set_result)
    try:
        outcome = answer.result(timeout_s + GRACE_S)
    except FutureTimeoutError:
        sentence = f"no answer from the queue {queue} within {timeout_s:g} s: was the bus closed meanwhile?"
        raise RequestTimeoutError(sentence) from None
    if isinstance(outcome, BusError):
        raise outcome
    return outcome
