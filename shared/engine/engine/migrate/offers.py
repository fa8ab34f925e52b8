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
from engine.migrate.wire import Network
from engine.threads import Threads

OFFERS_MAX = 1_000
"""Offers that wait; who is offered so many has lost those that nobody took."""

OFFER_TIMEOUT_S = 120.0
"""How long a source may take to open a channel once it may."""

_LOOK_S = 0.2
"""How often one who waits looks whether waiting still makes sense."""


class Offers:
    """All of a worker; safe for any thread."""

    def __init__(self, threads: Threads, network: Network) -> None:
        self._offers: OrderedDict[tuple[VmId, ChannelName, str], ChannelOffered] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = threads
        self._network = network

    def put(self, offer: ChannelOffered) -> None:
        """A channel waits; a later one of the same kind replaces it."""
        with self._lock:
            self._offers[(offer.vm, offer.channel, offer.device)] = offer
            while len(self._offers) > OFFERS_MAX:
                self._offers.popitem(last=False)
        self._threads.stir()

    def forget(self, vm: VmId, channel: ChannelName) -> None:
        """One that waits is of an earlier attempt."""
        self._pop(vm, channel)

    def take(self, vm: VmId, channel: ChannelName, check: Callable[[], None], device: str = "") -> Channel:
        """Wait for a channel and join it; `check` raises when it shall be waited for no longer.

        Errors: `Internal_error`, none has come in time.
        """
        for _ in range(round(OFFER_TIMEOUT_S / _LOOK_S)):
            check()
            self._threads.wait_for(lambda: (vm, channel, device) in self._offers, _LOOK_S)
            offer = self._pop(vm, channel, device)
            if offer is not None:
                try:
                    return join(self._network, offer.socket, offer.ticket)
                except TicketError:
                    continue  # of an earlier attempt
        raise internal_error(
            f"the source of VM {vm} has not opened its channel {channel!r} within {OFFER_TIMEOUT_S:g} s"
        )

    def _pop(self, vm: VmId, channel: ChannelName, device: str = "") -> ChannelOffered | None:
        with self._lock:
            return self._offers.pop((vm, channel, device), None)
