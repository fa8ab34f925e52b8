"""Marks: what clients and operators have left in the log: barriers, and who asked for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Barrier:
    """A mark in a VM's changes that a client waits for."""

    id: int
    vm: str
    offset: int
    at: float


@dataclass(frozen=True, slots=True)
class ActionSeen:
    """What an operator has asked for."""

    offset: int
    at: float
    who: str
    action: str
    subject: str
