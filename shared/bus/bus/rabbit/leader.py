"""Leader: whoever holds an exclusive queue leads; the broker frees it when its holder is gone."""

from collections.abc import Callable

from pika.channel import Channel

from bus.rabbit.constants import LEAD_RETRY_S
from bus.rabbit.loop import Loop, guarded


class Candidate:
    """Stands for one queue, again and again, until it holds it."""

    def __init__(self, queue: str, on_change: Callable[[bool], None], loop: Loop) -> None:
        self._queue = queue
        self._on_change = on_change
        self._loop = loop
        self._leads = False
        self._open: Callable[[], None] | None = None

    def use(self, channel: Channel, reopen: Callable[[], None]) -> None:
        """Ask for the queue over this channel; a refusal closes it, then `reopen` makes another."""
        self._open = reopen
        channel.queue_declare(self._queue, exclusive=True, callback=lambda _: self._tell(leads=True))

    def lose_channel(self, *, connected: bool) -> None:
        """Refused, or the connection is gone and the queue with it."""
        self._tell(leads=False)
        if connected and self._open is not None:
            self._loop.later(LEAD_RETRY_S, self._open)

    def _tell(self, *, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            guarded(lambda: self._on_change(leads))
