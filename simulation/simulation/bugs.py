"""Bugs: what a service logs of an error that it has not expected, and goes on after, is a finding."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override


class _Ear(logging.Handler):
    """Hears what all services log; that an exception comes with an error makes it a bug."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._complain = complain

    @override
    def emit(self, record: logging.LogRecord) -> None:
        _, error, _ = record.exc_info or (None, None, None)
        if error is not None:
            self._complain(f"{record.getMessage()}: {type(error).__name__}: {error}")


@contextmanager
def bugs_heard(complain: Callable[[str], None]) -> Iterator[None]:
    """Inside, `complain` is told of each."""
    ear, root = _Ear(complain), logging.getLogger()
    root.addHandler(ear)
    try:
        yield
    finally:
        root.removeHandler(ear)


def hush() -> None:
    """Services speak of what is done to them: nothing of it is shown, and little costs time."""
    logging.disable(logging.WARNING)
    logging.getLogger().addHandler(logging.NullHandler())
