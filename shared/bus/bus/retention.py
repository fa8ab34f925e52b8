"""Retention: how much of a log the broker keeps, and when what is about to go is not put away yet."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BYTES_MIN, BYTES_MAX = 100_000_000, 10**15
"""The least is twice what is written between two snapshots."""

SEGMENT_BYTES = 100_000_000
"""The broker drops a log's oldest segment, whole; so a small log, or one kept by age, has smaller ones."""

_SEGMENTS_MIN = 10
_AGED_SEGMENT_BYTES = 10_000_000
_AGE = re.compile(r"[1-9][0-9]{0,5}[YMDh]")

REPLICAS_MAX = 9


class RetentionError(Exception):
    """A setting makes no sense; the sentence says which, and what it may be."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What a log is made with. `age_max` is RabbitMQ's, as 30D; without `replicas` each node has one."""

    bytes_max: int = 20_000_000_000
    age_max: str | None = None
    replicas: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Of the queue that is the log."""
        segment = min(SEGMENT_BYTES, self.bytes_max // _SEGMENTS_MIN)
        if self.age_max is not None:
            segment = min(segment, _AGED_SEGMENT_BYTES)
        chosen = {"x-max-age": self.age_max, "x-initial-cluster-size": self.replicas}
        return {
            "x-queue-type": "stream",
            "x-max-length-bytes": self.bytes_max,
            "x-stream-max-segment-size-bytes": segment,
        } | {name: value for name, value in chosen.items() if value is not None}


USUAL = Retention()


def retention_from(environment: Mapping[str, str]) -> Retention:
    """As `XENOPS_LOG_BYTES_MAX`, `XENOPS_LOG_AGE_MAX` and `XENOPS_LOG_REPLICAS` say.

    Raises:
        RetentionError: one of them makes no sense.
    """
    age = environment.get("XENOPS_LOG_AGE_MAX") or None
    if age is not None and not _AGE.fullmatch(age):
        raise RetentionError(
            f"XENOPS_LOG_AGE_MAX is {age!r}: give hours, days, months or years, as 12h, 30D, 6M, 1Y"
        )
    replicas = environment.get("XENOPS_LOG_REPLICAS", "")
    return Retention(
        bytes_max=_number(environment, "XENOPS_LOG_BYTES_MAX", (BYTES_MIN, BYTES_MAX)) or USUAL.bytes_max,
        age_max=age,
        replicas=_number(environment, "XENOPS_LOG_REPLICAS", (1, REPLICAS_MAX)) if replicas else None,
    )


def _number(environment: Mapping[str, str], name: str, bounds: tuple[int, int]) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    least, most = bounds
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RetentionError(f"{name} is {text!r}: give a whole number from {least} to {most}")
    return int(text)


class Coverage:
    """Up to where each service has put away what it made of a log, as far as is known."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def note(self, service: str, place: int) -> None:
        """A service has put away all before a place."""
        self._next[service] = max(place, self._next.get(service, 0))

    def warnings(self, first: int, end: int) -> Iterator[str]:
        """Who is late, of a log that is kept from `first` to `end`; nobody while nothing was dropped.

        Late is a service whose newest snapshot lies in the oldest quarter of what is kept, for the broker
        drops what is oldest without asking anybody.
        """
        for service, place in sorted(self._next.items()):
            if first == 0 or place >= first + (end - first) // 4:
                continue
            if place < first:
                yield (
                    f"{service} has put away the log up to {place}, and the broker has dropped all before "
                    f"{first}: a start of {service} begins anew, with what there is"
                )
            else:
                yield (
                    f"{service} has put away the log up to {place} only, and the broker keeps {first} to "
                    f"{end} and drops what is oldest: see why there is no newer snapshot, or keep more "
                    "(docs/log.md)"
                )
