"""Seen: what is seen of a guest from outside, whoever runs its QEMU."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """What the guest does."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    """It shut down, reset or crashed; QEMU holds what is left of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a guest from outside."""

    status: Status
    memory_bytes: int
    """What it has, its balloon taken off."""
