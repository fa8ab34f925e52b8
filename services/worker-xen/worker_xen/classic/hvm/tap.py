"""Tap: the host's end of an emulated network card, which is there as long as its QEMU holds it."""

import fcntl
import os
import struct

from schema.fault import internal_error

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_IFREQ = struct.Struct("16sH22x")
"""Linux, <linux/if_tun.h>: without packet information, with the headers of virtio-net that QEMU knows."""


def tap_name(domid: int, number: int) -> str:
    """As the original names it."""
    return f"tap{domid}.{number}"


def open_tap(name: str) -> int:
    """Make a tap; answers its open file. Errors: `Internal_error` that says what is missing."""
    descriptor = -1
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise internal_error(
            f"The network interface {name} cannot be made: {error.strerror}; `modprobe tun`"
        ) from error
    return descriptor
