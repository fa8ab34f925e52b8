"""Fate: whether a VM is at its destination, asked there when connections were lost at the worst moment."""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

from schema.fault import XenopsError
from schema.ids import VmId
from schema.migration import arrived_id, arriving_id

from engine.threads import Threads

FATE_TIMEOUT_S = 300.0
"""How long a destination that has died may take to come back and say; its worker is restarted meanwhile."""

_ASK_S = 0.05
_ASK_S_MAX = 1.0
"""How long it is waited before it is asked again; at first hardly at all."""

_LOG = logging.getLogger(__name__)

Ask = Callable[..., Any]
"""A call to the destination: the method, then its parameters by name. Raises `XenopsError`."""


class Fate(Enum):
    """What the destination says."""

    ARRIVED = "the VM is there"
    GIVEN_UP = "it was never taken over, and cannot be any more"
    UNKNOWN = "the destination does not answer"


def fate_of(vm: VmId, ask: Ask, threads: Threads, timeout_s: float = FATE_TIMEOUT_S) -> Fate:
    """Ask until the destination has decided, or for so long, however long each question takes.

    Its arriving id is asked for first: there, the new name is whole before the old one goes, and so a VM that
    has neither has been given up, and none of its channels is left. Or it has gone on since: that is what its
    arrived id is asked for, which the original knows nothing of.
    """
    begun, wait_s = threads.clock.monotonic(), _ASK_S
    while True:
        try:
            if not ask("VM.exists", id=arriving_id(vm)):
                names = (vm, arrived_id(vm))
                return Fate.ARRIVED if any(ask("VM.exists", id=name) for name in names) else Fate.GIVEN_UP
        except XenopsError as error:
            _LOG.info("VM %s: whether it has arrived is not known yet: %s", vm, error)
        if threads.clock.monotonic() - begun >= timeout_s:
            return Fate.UNKNOWN
        threads.sleep(wait_s)
        wait_s = min(2 * wait_s, _ASK_S_MAX)
