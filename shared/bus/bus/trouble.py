"""Trouble: where a bug in a handler is reported, so that it neither stops the bus nor goes unseen."""

import logging

_log = logging.getLogger("bus")


def report(error: Exception) -> None:
    """Write a handler's traceback to the log."""
    _log.error("a handler failed; its message is lost, others are not", exc_info=error)
