"""Collector: how often Python looks for garbage in a process that keeps a million tasks."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 100_000
"""So many more objects, and the young ones are looked at: what decisions leave behind is freed without it."""

YOUNG, MIDDLE = 20, 20
"""So many looks at the younger ones for one at the older: a look at a million tasks takes half a second."""


def be_rare() -> None:
    """Look seldom: tasks live long, hold no circles, and are many."""
    gc.set_threshold(NEW_OBJECTS, YOUNG, MIDDLE)


@contextmanager
def resting() -> Iterator[None]:
    """Do not look meanwhile: all that is made is kept."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
