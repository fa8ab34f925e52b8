"""Broker points: the broker dies at each record of an operation; then all must be right."""

from __future__ import annotations

import time
import uuid

from bus.crash import CrashKind
from room import FLUSHED_S
from stack.broker.node import PrivateNode
from sweep import Operation, Result, Strike, Sweep, Target

BROKER = Target("broker", CrashKind.READ)


def sweep_broker(
    sweep: Sweep, node: PrivateNode, operation: Operation, *, first: int = 1, every: int = 1
) -> Result:
    """Kill the broker at every `every`-th record of an operation, from the `first` on, until it has no more.

    Recovery is from when the broker answers again.
    """
    result, number, run = Result(), first, uuid.uuid4().hex[:8]
    time.sleep(FLUSHED_S)
    while True:
        strike = Strike(sweep, operation, BROKER, f"{run}-{number}")
        if not strike.submit_until(number):
            return result
        node.kill()
        node.start()
        back_at = time.monotonic()
        result.recoveries_s.append(strike.recover() - back_at)
        result.points += 1
        result.complaints += strike.complaints
        sweep.room.await_answers()
        number += every
