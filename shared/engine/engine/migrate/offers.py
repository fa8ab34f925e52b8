"""Offers: the further channels that migrations' sources have opened, for whoever receives the VM to take."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from schema.fault import internal_error
from schema.ids import VmId
from schema.migration import Channel as ChannelName
from schema.records import ChannelOffered

from engine.migrate.channel import Channel
from engine.migrate.connect import TicketError, join

OFFERS_MAX = 1_000
"""Offers that wait; who is offered so many has lost those that nobody took."""

OFFER_TIMEOUT_S = 120.0
"""How long a source may take to open a channel once it may."""

_LOOK_S = 0.2
"""How often one who waits looks whether waiting still makes sense."""


class Offers:
    """All of a worker; safe for any thread."""

    def __init__(self) -> None:
        self._offers: OrderedDict[tuple[VmId, ChannelName], ChannelOffered] = OrderedDict()
        self._more = threading.Condition()

    def put(self, offer: ChannelOffered) -> None:
        """A channel waits; a later one of the same kind replaces it."""
        with self._more:
            self._offers[(offer.vm, offer.channel)] = offer
            while len(self._offers) > OFFERS_MAX:
                self._offers.popitem(last=False)
            self._more.notify_all()

    def forget(self, vm: VmId, channel: ChannelName) -> None:
        """One that waits is of an earlier attempt."""
        with self._more:
            self._offers.pop((vm, channel), None)

    def take(self, vm: VmId, channel: ChannelName, check: Callable[[], None]) -> Channel:
        """Wait for a channel and join it; `check` raises when it shall be waited for no longer.

        Errors: `Internal_error`, none has come in time.
        """
        for _ in range(round(OFFER_TIMEOUT_S / _LOOK_S)):
            check()
            with self._more:
                self._more.wait_for(lambda: (vm, channel) in self._offers, _LOOK_S)
                offer = self._offers.pop((vm, channel), None)
            if offer is not None:
                try:
                    return join(offer.socket, offer.ticket)
                except TicketError:
                    continue  # of an earlier attempt
        raise internal_error(
            f"the source of VM {vm} has not opened its channel {channel!r} within {OFFER_TIMEOUT_S:g} s"
        )
