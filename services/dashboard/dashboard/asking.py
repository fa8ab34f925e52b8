"""Asking: questions to services over the bus, as coroutines; one that many ask at once is asked once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from bus.ports import Bus, BusError, Request
from schema.rpc import ResponseError, decode_response, encode_request

ASK_S = 5.0
"""How long a service may take to answer an operator."""

AnswerT = TypeVar("AnswerT")


class UnreachableError(Exception):
    """A service did not answer; the sentence says which, and what to do."""


class Asker:
    """Asks for operators; on the bus's own thread."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def ask(self, queue: str, method: str, *, timeout_s: float = ASK_S, **params: Any) -> Any:
        """What a service says.

        Raises:
            XenopsError: it says no.
            UnreachableError: it says nothing.
        """
        body = encode_request(method, **params)
        answered: asyncio.Future[bytes | BusError] = asyncio.get_running_loop().create_future()

        def on_answer(outcome: bytes | BusError) -> None:
            if not answered.done():
                answered.set_result(outcome)

        self._bus.ask(queue, Request(body), timeout_s, on_answer)
        outcome = await answered
        if isinstance(outcome, BusError):
            raise UnreachableError(f"{method}: {outcome}") from outcome
        try:
            return decode_response(method, outcome)
        except ResponseError as error:
            raise UnreachableError(f"{method}: what answered is no xenops: {error}") from error


class Shared(Generic[AnswerT]):
    """One question's answer, as fresh as `age_s`; whoever asks meanwhile gets the same."""

    def __init__(self, ask: Callable[[], Awaitable[AnswerT]], age_s: float) -> None:
        self._ask = ask
        self._age_s = age_s
        self._asked_at = 0.0
        self._answer: asyncio.Future[AnswerT] | None = None

    async def get(self) -> AnswerT:
        """The answer; raises whatever asking raises."""
        now = asyncio.get_running_loop().time()
        if self._answer is None or now - self._asked_at > self._age_s:
            self._asked_at = now
            self._answer = asyncio.ensure_future(self._ask())
            self._answer.add_done_callback(_retrieve)
        return await asyncio.shield(self._answer)


def _retrieve(done: "asyncio.Future[AnswerT]") -> None:
    """A failure is told to those who wait; if none do, nobody needs to know."""
    if not done.cancelled():
        done.exception()
