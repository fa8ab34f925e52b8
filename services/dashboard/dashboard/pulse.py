"""Pulse: whether this process and the services that it asks still read what is written to the log.

A service that is connected but deaf would show an old picture. So a word of our own is written every few
seconds: we are ready while it comes by. An event hub that is asked about that word's place answers at once
if it has read so far, and after a while if not; a redirector that has heard of workers much longer ago than
we have, is deaf.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bus.ports import BrokerSeen
from schema.objects.lane import Worker

from dashboard.fold.workers import WorkerSeen

PING_S = 5.0
"""How often a word is written."""

DEAF_S = 15.0
"""So long after our last word came by we are not ready: a broker may take as long to start."""

BEHIND_S = 10.0
"""So much longer than we, a redirector has not heard of a worker: it is deaf."""

SLOW_S = 1.0
"""An event hub that takes longer about a place that we have read is behind."""


@dataclass(slots=True)
class Pulse:
    """Our own words in one log; times are monotonic seconds."""

    number: int = 0
    heard: float | None = None
    took_s: float | None = None
    _written: dict[int, float] = field(default_factory=dict)

    def write(self, now: float) -> int:
        """The next word's number."""
        self.number += 1
        self._written = {number: at for number, at in self._written.items() if now - at < 2 * DEAF_S}
        self._written[self.number] = now
        return self.number

    def hear(self, number: int, now: float) -> None:
        """A word of ours has come by."""
        written = self._written.pop(number, None)
        if written is not None:
            self.heard, self.took_s = now, now - written

    def trouble(self, now: float) -> str:
        """Why we are not ready; "" if we are."""
        if self.heard is None:
            return "no word of ours has come by in the log yet"
        if now - self.heard > DEAF_S:
            return f"the last word of ours came by in the log {now - self.heard:.0f} s ago"
        return ""


@dataclass(frozen=True, slots=True)
class Health:
    """How a service does: `state` is ok, slow or out; `said` why, `took_s` how long its answer took.

    `version` is its software's, where it is known.
    """

    service: str
    state: Literal["ok", "slow", "out"]
    said: str = ""
    took_s: float | None = None
    version: str = ""


def of_hub(took_s: float) -> Health:
    """An event hub that has answered about our last word's place."""
    if took_s > SLOW_S:
        return Health(
            "eventhub", "slow", "it has not read the log as far as we have: deaf, or behind", took_s
        )
    return Health("eventhub", "ok", took_s=took_s)


def of_redirector(told: Iterable[Worker], seen: Iterable[WorkerSeen], took_s: float, now: float) -> Health:
    """A redirector that has answered about workers; `now` is in seconds since the epoch."""
    heard = {worker.name: now - worker.heard_at for worker in seen if worker.up}
    deaf = [one.worker for one in told if one.silent_s - heard.get(one.worker, one.silent_s) > BEHIND_S]
    if deaf:
        return Health("redirector", "slow", f"it has not heard of {', '.join(deaf)} as we have: deaf", took_s)
    return Health("redirector", "ok", took_s=took_s)


def of_broker(seen: BrokerSeen) -> Health:
    """The broker, as this process's connection shows it."""
    name = f"{seen.product} at {seen.address}"
    if seen.trouble:
        return Health("broker", "out", f"{name}: no connection ({seen.trouble})")
    if seen.blocked:
        return Health("broker", "slow", f"{name} takes no messages: {seen.blocked}")
    return Health("broker", "ok", name)


def of_workers(seen: Iterable[WorkerSeen], now: float) -> Health:
    """Whether any worker is up and not silent; `now` is in seconds since the epoch."""
    silent = {worker.name: now - worker.heard_at for worker in seen if worker.up}
    if not silent:
        return Health("worker", "out", "no worker is up: start one, or look at its log")
    name, least_s = min(silent.items(), key=lambda item: item[1])
    if least_s > DEAF_S:
        return Health("worker", "slow", f"{name} was heard of {least_s:.0f} s ago, no other one later")
    return Health("worker", "ok", f"{name} is up" if len(silent) == 1 else f"{len(silent)} are up")
