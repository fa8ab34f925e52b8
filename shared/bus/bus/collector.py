"""Collector: how often Python looks for garbage in a process that keeps very many objects."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

NEW_OBJECTS = 100_000
"""So many more objects, and the young ones are looked at: what a record leaves behind is freed without it."""

YOUNG, MIDDLE = 20, 20
"""So many looks at the younger ones for one at the older: a look at a million tasks takes half a second."""


def be_rare() -> None:
    """Look seldom: tasks, VMs and what is known of them live long, hold no circles, and are many.

    What is there already, the program, is never looked at again.
    """
    gc.set_threshold(NEW_OBJECTS, YOUNG, MIDDLE)
    gc.freeze()


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
