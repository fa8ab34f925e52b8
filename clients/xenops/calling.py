"""Calling: what is the same of every call, whether its answer is waited for or awaited."""

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from bus.ports import UndeliveredError, UnknownInstanceError
from schema.ids import InstanceName
from schema.rpc import encode_request

_log = logging.getLogger("xenops")

CALL_TIMEOUT_S = 60.0
"""How long a call may take; operations answer at once, with a task."""

GET_WAIT_S_MAX = 300.0
"""How long UPDATES.get may wait when asked to wait for ever: the service's own limit."""

UNSERVED_S = 10.0
"""How long whoever serves an instance may be away: a restart and a broker's failover take some seconds."""

AGAIN_S = 0.2
"""How long after an attempt that reached nobody the next one is made."""


@dataclass(slots=True)
class Attempts:
    """The attempts of one call: what has reached nobody does nothing twice, and is sent again for a while."""

    patience_s: float
    begun: float = field(default_factory=time.monotonic)
    is_first: bool = True

    def pause_s(self, undelivered: UndeliveredError) -> float:
        """How long to wait before the next attempt; raises why the last one failed if there is none."""
        if time.monotonic() - self.begun + AGAIN_S > min(UNSERVED_S, self.patience_s):
            raise undelivered
        return AGAIN_S

    def wait_for(self, instance: InstanceName, undelivered: UndeliveredError, *, is_known: bool) -> None:
        """Say, after the first attempt, what is waited for; raises that there is no such instance."""
        self.is_first = False
        if not is_known:
            sentence = (
                f"there is no instance {instance!r}, and never was (the broker has no log of it): "
                "is its name right, and has its redirector been started once?"
            )
            raise UnknownInstanceError(sentence) from undelivered
        _log.warning("%s (trying for %g s)", undelivered, min(UNSERVED_S, self.patience_s))


@dataclass(frozen=True, slots=True)
class Calling:
    """How a client calls itself in its requests, and how long it waits for answers."""

    dbg: str
    timeout_s: float

    def request(self, method: str, params: dict[str, Any]) -> bytes:
        """The body of a request."""
        name = "dbg" if method.startswith("Observer.") else "debug_info"
        named = {**params, name: self.dbg}
        return encode_request(method, **named)

    def patience_s(self, method: str, params: dict[str, Any]) -> float:
        """How long its answer is waited for."""
        if method != "UPDATES.get":
            return self.timeout_s
        timeout_s = params["timeout"]
        return self.timeout_s + (GET_WAIT_S_MAX if timeout_s is None else max(0, timeout_s))
