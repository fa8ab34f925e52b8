"""Throttle: how much a disk may do, from its VBD's backend keys; values and no I/O.

The wire's `qos` has ionice's classes alone, which say who goes first and nothing of how much. The keys are
called as libvirt's `<iotune>` calls them.
"""

from dataclasses import dataclass

from schema.fault import internal_error, unimplemented
from schema.objects.vbd import Vbd

KEYS = (
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
)
"""Of `Vbd.extra_backend_keys`."""

RATE_MAX = 10**15
"""QEMU's own, `THROTTLE_VALUE_MAX`."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """What passes in a second: bytes and requests, together or apart; 0: no limit."""

    total_bytes_sec: int = 0
    read_bytes_sec: int = 0
    write_bytes_sec: int = 0
    total_iops_sec: int = 0
    read_iops_sec: int = 0
    write_iops_sec: int = 0

    @property
    def is_open(self) -> bool:
        """Whether nothing is held back."""
        return self == Throttle()


def throttle_of(vbd: Vbd) -> Throttle:
    """What a VBD's keys say; of a key that is there twice, the last.

    Errors: `Internal_error` that names the key and says what would do.
    """
    keys = dict(vbd.extra_backend_keys)
    wanted = {key: _rate(vbd, key, keys[key]) for key in KEYS if key in keys}
    for unit in ("bytes_sec", "iops_sec"):
        total, *parts = (wanted.get(f"{part}_{unit}", 0) for part in ("total", "read", "write"))
        if total and any(parts):
            raise internal_error(
                f"VBD {vbd.id.device} has total_{unit} and a limit for reads or writes: give one or the other"
            )
    return Throttle(**wanted)


def refuse_scheduling(vbd: Vbd, what: str) -> None:
    """QEMU has no thread of its own for each disk that the kernel could schedule. Errors: `Unimplemented`."""
    if vbd.qos is not None:
        raise unimplemented(f"{what} with an ionice class")


def _rate(vbd: Vbd, key: str, text: str) -> int:
    rate = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(RATE_MAX)) else -1
    if not 0 <= rate <= RATE_MAX:
        raise internal_error(
            f"VBD {vbd.id.device} has the {key} {text!r}: give a whole number from 0, no limit, to {RATE_MAX}"
        )
    return rate
