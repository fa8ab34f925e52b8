"""Bridge: an interface of the control domain joined to a bridge, by the kernel's own calls."""

import fcntl
import os
import socket
import struct
from pathlib import Path

from schema.fault import internal_error

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFMTU = 0x8922
_SIOCBRADDIF = 0x89A2
_SIOCBRDELIF = 0x89A3
_IFF_UP = 1
_NAME_BYTES_MAX = 15
_DEVICES = Path("/sys/class/net")


def join(interface: str, bridge: str, mtu: int, *, up: bool) -> None:
    """Make an interface a port of a bridge, of no other, and let it carry, or not.

    Errors: `Internal_error` that names the bridge.
    """
    if not _is_name(bridge) or not (_DEVICES / bridge / "bridge").is_dir():
        raise internal_error(
            f"There is no bridge {bridge!r} on this host: make it, or correct the VIF's backend"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            _set_mtu(handle, interface, mtu)
            _change_port(handle, interface, bridge)
            _set_up(handle, interface, up=up)
        except OSError as error:
            raise internal_error(f"{interface} cannot join the bridge {bridge}: {error.strerror}") from error


def set_up(interface: str, *, up: bool) -> None:
    """Let an interface carry, or not. Errors: `Internal_error` that names it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            _set_up(handle, interface, up=up)
        except OSError as error:
            raise internal_error(f"{interface} cannot be set up or down: {error.strerror}") from error


def exists(interface: str) -> bool:
    """Whether the control domain has such an interface."""
    return _is_name(interface) and (_DEVICES / interface).exists()


def _is_name(word: str) -> bool:
    return 0 < len(word) <= _NAME_BYTES_MAX and word not in {".", ".."} and "/" not in word


def _change_port(handle: socket.socket, interface: str, bridge: str) -> None:
    index = socket.if_nametoindex(interface)
    found = _DEVICES / interface / "master"
    now = os.path.basename(os.readlink(found)) if found.is_symlink() else None  # noqa: PTH119, PTH115  a link's own words
    if now == bridge:
        return
    if now is not None:
        fcntl.ioctl(handle, _SIOCBRDELIF, struct.pack("16si", now.encode(), index))
    fcntl.ioctl(handle, _SIOCBRADDIF, struct.pack("16si", bridge.encode(), index))


def _set_mtu(handle: socket.socket, interface: str, mtu: int) -> None:
    if int((_DEVICES / interface / "mtu").read_text()) != mtu:
        fcntl.ioctl(handle, _SIOCSIFMTU, struct.pack("16si16x", interface.encode(), mtu))


def _set_up(handle: socket.socket, interface: str, *, up: bool) -> None:
    request = struct.pack("16sh22x", interface.encode(), 0)
    flags = struct.unpack_from("h", fcntl.ioctl(handle, _SIOCGIFFLAGS, request), 16)[0]
    wanted = flags | _IFF_UP if up else flags & ~_IFF_UP
    fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh22x", interface.encode(), wanted))
