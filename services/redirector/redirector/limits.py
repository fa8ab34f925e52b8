"""Limits: how much may wait, and how long silence may last; each limit answers with a clear error."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator may set; the same for all redirectors of an instance, as each may lead."""

    lane_tasks_max: int = 1_000
    """Tasks that wait for one VM."""
    instance_tasks_max: int = 1_000_000
    """Tasks that wait for all VMs together."""
    worker_silence_s: float = 20.0
    """After so much silence it is written down that a worker is missed."""
    worker_answer_s: float = 10.0
    """How long a worker then has to object."""
