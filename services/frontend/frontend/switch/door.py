"""The switch's door: clients' requests to the core; what it says, to clients, instances and the journal."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import count

from bus.ports import Request

from frontend.http.door import Client
from frontend.http.message import HttpRequest, Limits
from frontend.switch.core import Switch
from frontend.switch.effects import Ask, Effect, Note, Now, Reply
from frontend.switch.journal import Journal
from frontend.switch.protocol import MessageId

LIMITS = Limits(idle_s=None, answers_after_end=False)
"""Clients keep connections for as long as they live; one that says no more is gone."""

AskInstance = Callable[[str, Request, Callable[[bytes], None]], None]
"""Ask an instance's queue; the answer, which may be an error of the interface, is handed over later."""


class SwitchDoor:
    """One switch; everything runs on one event loop's thread."""

    def __init__(self, core: Switch, ask: AskInstance, journal: Journal | None = None) -> None:
        self._core = core
        self._ask = ask
        self._journal = journal
        self._connections: dict[int, Client] = {}
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0

    def start(self, may_repeat: Callable[[bytes], bool], lost: bytes) -> None:
        """Take up what a life before has left; see the core."""
        self._perform(self._core.on_start(_now(), may_repeat, lost))

    def on_request(self, connection: Client, request: HttpRequest) -> None:
        """One request, answered now or later."""
        number = connection.state
        if number is None:
            number = connection.state = next(self._numbers)
            self._connections[number] = connection
        self._perform(self._core.on_request(number, request, _now()))
        self._set_timer(connection.loop)

    def on_closed(self, connection: Client) -> bool:
        """A client has gone, and with him what he asked."""
        if connection.state is not None:
            del self._connections[connection.state]
            self._perform(self._core.on_gone(connection.state))
        return False

    def take_over(self, _request: HttpRequest) -> asyncio.Protocol | None:
        """There are no streams on a switch."""
        return None

    def _on_answer(self, id_: MessageId, payload: bytes) -> None:
        self._perform(self._core.on_answer(id_, payload, _now()))

    def _on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._perform(self._core.on_time(_now()))
        self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        due_ns = self._core.due_ns()
        if due_ns is None or (self._timer is not None and self._timer_ns <= due_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, due_ns - time.monotonic_ns()) / 1e9
        self._timer_ns = due_ns
        self._timer = loop.call_later(delay_s, self._on_time, loop)

    def _perform(self, effects: list[Effect]) -> None:
        """Write down first: what a client was told must not be forgotten."""
        if self._journal is not None:
            notes: list[Note] = [effect for effect in effects if not isinstance(effect, Reply | Ask)]
            if notes:
                self._journal.write(notes, self._core.queues)
        for effect in effects:
            if isinstance(effect, Reply):
                self._connections[effect.connection].reply(effect.status, effect.body)
            elif isinstance(effect, Ask):
                self._ask(effect.id.queue, Request(effect.body), partial(self._on_answer, effect.id))


def _now() -> Now:
    return Now(time.time(), time.monotonic_ns())
