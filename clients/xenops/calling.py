"""Calling: what is the same of every call, whether its answer is waited for or awaited."""

import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from bus.ports import (
    BusBlockedError,
    BusError,
    LostError,
    NoConnectionError,
    RequestTimeoutError,
    UndeliveredError,
    UnknownInstanceError,
)
from schema.again import UNDECIDED, is_look, is_undecided, is_undone, once_id
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.rpc import encode_request

from xenops.repeats import is_done_already, may_repeat
from xenops.sentences import sentence

_log = logging.getLogger("xenops")

CALL_TIMEOUT_S = 60.0
"""How long a call may take; operations answer at once, with a task."""

GET_WAIT_S_MAX = 300.0
"""How long UPDATES.get may wait when asked to wait for ever: the service's own limit."""

UNSERVED_S = 10.0
"""How long whoever serves an instance may be away, for calls of a minute: a restart takes some seconds."""

AGAIN_S = 0.2
"""How long after an attempt that came to nothing the next one is made."""

ANSWER_S = 20.0
"""After so long without an answer a call is made again: what a broker held when it died is lost silently."""

Trouble = BusError | XenopsError


def unserved_s(timeout_s: float) -> float:
    """How long services may be away, for whose calls may take so long."""
    return min(timeout_s, UNSERVED_S * max(1.0, timeout_s / CALL_TIMEOUT_S))


def away_s(timeout_s: float) -> float:
    """How long a broker may be away: its restart, a cluster's failover, and the way back take longer."""
    return min(timeout_s, max(UNSERVED_S, timeout_s / 2))


@dataclass(frozen=True, slots=True)
class Calling:
    """How a client calls itself in its requests, and how long it waits for answers."""

    dbg: str
    timeout_s: float

    def request(self, method: str, params: dict[str, Any]) -> bytes:
        """The body of a request, with an id of its own."""
        name = "dbg" if method.startswith("Observer.") else "debug_info"
        named = {**params, name: self.dbg}
        return encode_request(method, request_id=once_id(uuid.uuid4().int), **named)

    def wait_s(self, method: str, params: dict[str, Any]) -> float:
        """How long its service may take by intent, before it answers."""
        if method != "UPDATES.get":
            return 0.0
        timeout_s = params["timeout"]
        return GET_WAIT_S_MAX if timeout_s is None else max(0, timeout_s)


@dataclass(slots=True)
class Attempts:
    """The attempts of one call, and when there are no more.

    All have the same body, by whose id a service knows a repeat, until one is known to have had no effect.
    `tried`: when the last one began; `since`: when the trouble began that lasts; `is_away`: the broker is in
    it; `is_doubtful`: an earlier attempt may have been served; `was_silent`: one has not been answered.
    """

    calling: Calling
    instance: InstanceName
    method: str
    params: dict[str, Any]
    begun: float = field(default_factory=time.monotonic)
    tried: float = 0.0
    since: float | None = None
    is_away: bool = False
    is_doubtful: bool = False
    was_silent: bool = False
    body: bytes = b""

    def __post_init__(self) -> None:
        self.body = self.calling.request(self.method, self.params)

    @property
    def patience_s(self) -> float:
        """How long the call may take in all."""
        return self.calling.timeout_s + self.calling.wait_s(self.method, self.params)

    def answer_s(self) -> float:
        """How long the next attempt's answer is waited for: it begins now."""
        self.tried = time.monotonic()
        left_s = self.patience_s
        if self.since is not None and not is_look(self.method):  # what a look waits for begins anew
            left_s = max(self.begun + self.patience_s - self.tried, AGAIN_S)
        first_s = self.calling.wait_s(self.method, self.params) + ANSWER_S
        may_ask_again = not self.was_silent and may_repeat(self.method, 0.0)
        return first_s if may_ask_again and left_s >= first_s + ANSWER_S else left_s

    def is_done(self, error: XenopsError) -> bool:
        """Whether an error of a repeat says no more than that an earlier attempt was served."""
        return self.is_doubtful and is_done_already(self.method, error.error)

    def after(self, trouble: Trouble) -> float:
        """How long to wait before the next attempt; raises why the last one failed if there is none.

        Says, when it begins, what is waited for.
        """
        now = time.monotonic()
        self._judge(trouble, now)
        is_new = self.since is None or now - self.tried > UNSERVED_S  # somebody was there meanwhile
        since = self.since = now if is_new or self.since is None else self.since
        limit_s = (away_s if self.is_away else unserved_s)(self.calling.timeout_s)
        if now - since + AGAIN_S > limit_s:
            raise self._last(trouble)
        if is_new:
            words = sentence(trouble.error) if isinstance(trouble, XenopsError) else str(trouble)
            is_silence = isinstance(trouble, RequestTimeoutError)
            _log.warning("%s (%s)", words, "asking again" if is_silence else f"trying for {limit_s:g} s")
        return AGAIN_S

    def _judge(self, trouble: Trouble, now: float) -> None:
        """What an attempt that failed means for the next one; raises if there must be none."""
        match trouble:
            case UndeliveredError():
                self.is_away |= isinstance(trouble, NoConnectionError)
            case XenopsError(error=error) if is_undone(error):
                self.body = self.calling.request(self.method, self.params)
                self.is_doubtful = False
            case LostError():
                self.is_away = self.is_doubtful = True
            case XenopsError(error=error) if is_undecided(error):
                self.is_away = self.is_doubtful = True
            case RequestTimeoutError() if (
                not self.was_silent and now - self.begun < self.patience_s - AGAIN_S
            ):
                self.was_silent = self.is_doubtful = True
            case _:
                raise self._last(trouble)
        if self.is_doubtful and not may_repeat(self.method, now - self.begun):
            raise self._last(trouble)

    def _last(self, trouble: Trouble) -> Trouble:
        """What the caller is told: that the last one came to nothing is not all, if one before may have."""
        was_void = isinstance(trouble, UndeliveredError | BusBlockedError)
        if was_void and self.is_doubtful and not is_look(self.method):
            return LostError(f"{trouble}; an earlier attempt may have been accepted: {UNDECIDED}")
        return trouble

    def asks_whether_known(self, trouble: Trouble) -> bool:
        """Whether the first attempt has reached nobody: then there may never have been such an instance."""
        return self.since is None and isinstance(trouble, UndeliveredError)

    def unknown(self) -> UnknownInstanceError:
        """There is no such instance."""
        return UnknownInstanceError(
            f"there is no instance {self.instance!r}, and never was (the broker has no log of it): "
            "is its name right, and has its redirector been started once?"
        )
