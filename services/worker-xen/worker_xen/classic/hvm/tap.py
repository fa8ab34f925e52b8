"""Tap: the host's end of an emulated network card, which is there as long as its QEMU holds it."""

import os

from engine.hosted.tap import TUN, attach_to_tap
from schema.fault import internal_error


def tap_name(domid: int, number: int) -> str:
    """As the original names it."""
    return f"tap{domid}.{number}"


def open_tap(name: str) -> int:
    """Make a tap; answers its open file. Errors: `Internal_error` that says what is missing."""
    descriptor = -1
    try:
        descriptor = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
        attach_to_tap(descriptor, name)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise internal_error(
            f"The network interface {name} cannot be made: {error.strerror}; `modprobe tun`"
        ) from error
    return descriptor
