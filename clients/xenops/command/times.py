"""Times: how a point in time is given on a command line."""

import argparse
import time
from contextlib import suppress
from datetime import UTC, datetime

HELP = "as 90s, 5m, 2h or 7d ago; ISO 8601, in UTC unless it says otherwise; or seconds since the epoch"

AGO_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Units of how long ago something was, in seconds."""


def time_of(text: str) -> float:
    """Seconds since the epoch; below 0, before now.

    Raises:
        argparse.ArgumentTypeError: it is no time.
    """
    with suppress(ValueError):
        seconds = float(text)
        return seconds if seconds >= 0 else time.time() + seconds
    with suppress(ValueError, KeyError):
        return time.time() - float(text[:-1]) * AGO_S[text[-1:]]
    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        words = f"{text!r} is no time: give one as 5m, 2h, 7d, or 2026-11-24T23:04:37"
        raise argparse.ArgumentTypeError(words) from error
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
