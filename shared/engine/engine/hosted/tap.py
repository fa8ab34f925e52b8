"""Tap: the host's end of a guest's network card, which is there as long as somebody holds its open file."""

import fcntl
import struct

TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_IFREQ = struct.Struct("16sH22x")
"""Linux, <linux/if_tun.h>: how a tap is made, without packet information, with virtio-net's headers."""


def attach_to_tap(descriptor: int, name: str) -> None:
    """Let an open file of `TUN` be a tap: make it, or take the one of that name.

    Errors: `OSError`; `EBUSY`, another one holds it.
    """
    fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
