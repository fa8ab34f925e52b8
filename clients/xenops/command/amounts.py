"""Amounts: numbers of a command line, of which those that make no sense are refused in a sentence."""

import argparse
import math
from contextlib import suppress


def seconds_of(text: str) -> float:
    """A duration.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds: give 0 or more")


def count_of(text: str) -> int:
    """How many of something.

    Raises:
        argparse.ArgumentTypeError: it is no number, or none of them.
    """
    with suppress(ValueError):
        number = int(text)
        if number >= 1:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is too few, or no whole number: give 1 or more")
