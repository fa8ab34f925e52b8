"""Leader: whoever holds an exclusive queue leads; the broker frees it when its holder is gone."""

from collections.abc import Callable

from pika.channel import Channel
from typing_extensions import override

from bus.loop import Loop, guarded
from bus.rabbit.connection import ChannelOwner
from bus.rabbit.constants import LEAD_RETRY_S


class Candidate(ChannelOwner):
    """Stands for one queue, again and again, until it holds it.

    To declare a queue that another holds costs a channel and a line in the broker's log. So a standby first
    sends the queue a message, which the queue drops at once; it comes back when there is no such queue.
    """

    def __init__(self, queue: str, on_change: Callable[[bool], None], loop: Loop) -> None:
        super().__init__()
        self._queue = queue
        self._on_change = on_change
        self._loop = loop
        self._leads = False
        self._is_free = False

    @override
    def set_up(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(lambda _: self._on_probed(channel))
        self._probe(channel)

    @override
    def lose_channel(self) -> None:
        super().lose_channel()
        self._tell(leads=False)

    def _probe(self, channel: Channel) -> None:
        if channel is self._channel and channel.is_open:
            self._is_free = False
            channel.basic_publish("", self._queue, b"", mandatory=True)

    def _on_return(self, *_: object) -> None:
        self._is_free = True  # the confirm follows

    def _on_probed(self, channel: Channel) -> None:
        if not channel.is_open:
            return
        if self._is_free:
            drop_all = {"x-message-ttl": 0}
            channel.queue_declare(
                self._queue, exclusive=True, arguments=drop_all, callback=lambda _: self._on_held()
            )
        else:
            self.mark_ready()
            self._loop.later(LEAD_RETRY_S, lambda: self._probe(channel))

    def _on_held(self) -> None:
        self.mark_ready()
        self._tell(leads=True)

    def _tell(self, *, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            guarded(lambda: self._on_change(leads))
