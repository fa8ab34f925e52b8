"""Tokens: a place in one life of a log, as the one integer that UPDATES.get gives and takes.

A place is how many entries of the log somebody has seen: the offset of the last one, and one. A log that is
made anew after its broker lost everything counts from zero again, so a place alone could be silently mistaken
for one of the new log; the token's upper bits tell the lives apart.
"""

from bus.ports import Entry

PLACE_BITS = 40
"""A thousand records a second for 35 years."""

LIFE_BITS = 22
"""With the place it makes 62 bits: what OCaml's `int`, which clients keep tokens in, holds without a sign."""

START = 0
"""The place of who has seen nothing."""


def life_of(first: Entry) -> int:
    """What tells a log's lives apart: the second in which its first entry was made, modulo 48 days."""
    return int(first.at) % (1 << LIFE_BITS)


def place_after(offset: int) -> int:
    """The place of who has seen everything up to the entry at `offset`."""
    return offset + 1


def token_of(life: int, place: int) -> int:
    """The token of a place."""
    return life << PLACE_BITS | place if place else 0


def place_of(life: int, token: int) -> int | None:
    """The place that a token stands for, or None when it is from another life or was never given out."""
    if token >= 0 and token >> PLACE_BITS == life:
        return token & ((1 << PLACE_BITS) - 1)
    return None
