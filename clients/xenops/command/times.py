"""Times: how a point in time is given on a command line."""

import argparse
import time
from contextlib import suppress
from datetime import UTC, datetime

HELP = "ISO 8601, in UTC unless it says otherwise; or seconds since the epoch, or, below 0, before now"


def time_of(text: str) -> float:
    """Seconds since the epoch.

    Raises:
        argparse.ArgumentTypeError: it is no time.
    """
    with suppress(ValueError):
        seconds = float(text)
        return seconds if seconds >= 0 else time.time() + seconds
    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        words = f"{text!r} is no time: give one as 2026-11-24T23:04:37, or seconds since the epoch, or -600"
        raise argparse.ArgumentTypeError(words) from error
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
