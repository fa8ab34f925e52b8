"""Repeats: which calls may be made again when nobody knows whether the first attempt was served.

A look changes nothing. An operation is known by its request's id (`schema.again`), so a repeat is told the
task of the first attempt. Of the rest most say how something shall be, and may say so twice.
"""

from schema.again import REPEATED_S, is_look
from schema.objects.errors import DoesNotExist, Error, ObserverError

UNREPEATED = frozenset(
    {
        "DEBUG.trigger",
        "HOST.send_debug_keys",
        "PCI.dequarantine",
        "QUARANTINE.discard",
        "QUARANTINE.retry",
        "UPDATES.inject_barrier",
    }
)
"""What would be done twice, or says after the first time that it cannot be done."""

_ENDINGS = ("Task.destroy", "VBD.remove", "VIF.remove", "PCI.remove", "VGPU.remove", "VUSB.remove")


def may_repeat(method: str, elapsed_s: float) -> bool:
    """Whether a call that may have been served may be made again, so long after its first attempt."""
    return method not in UNREPEATED and (is_look(method) or elapsed_s < REPEATED_S)


def is_done_already(method: str, error: Error | ObserverError) -> bool:
    """Whether what a repeat is told means that the first attempt was served: what it took away is gone."""
    return method in _ENDINGS and isinstance(error, DoesNotExist)
