"""Addresses: where a door is opened: a path of a Unix socket, or a port of this machine alone."""

import ipaddress
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

PATH_BYTES_MAX = 107
"""The longest path of a Unix socket on Linux."""

TLS_PREFIX = "tls:"
"""How an address begins at which TLS is spoken."""

PORT_MAX = 65_535
"""The last port of TCP."""


class AddressError(Exception):
    """A text names no place for a door; the sentence says why, and what to write."""


class DoorError(OSError):
    """The door cannot be opened there; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A port, mostly of the loopback interface."""

    host: str
    port: int
    tls: bool = False


Address = Path | TcpAddress


def wants_tls(address: Address) -> bool:
    """Whether TLS is spoken there."""
    return isinstance(address, TcpAddress) and address.tls


def parse_address(text: str, *, loopback: bool = True) -> Address:
    """`/path/of/socket`, or `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; without `loopback`, any host's.

    `tls:0.0.0.0:8443` is of any host's, too: there, clients are asked who they are.

    Raises:
        AddressError: it is none of them.
    """
    if text.startswith("/"):
        return Path(text)
    tls = text.startswith(TLS_PREFIX)
    host, colon, port = text.removeprefix(TLS_PREFIX).rpartition(":")
    if not colon or not port.isdecimal() or int(port) > PORT_MAX:
        raise AddressError(f"{text!r}: write /path/of/socket or 127.0.0.1:8080")
    host = host.removeprefix("[").removesuffix("]")
    if loopback and not tls and not _is_loopback(host):
        raise AddressError(
            f"{text!r}: nobody is asked who he is there, so only this machine's own interface is taken: "
            f"write 127.0.0.1:{port}"
        )
    return TcpAddress(host, int(port), tls)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Place:
    """A bound socket; a Unix socket is its user's alone, and its file goes with it."""

    def __init__(self, address: Address) -> None:
        """Bind it.

        Raises:
            DoorError: it is in use, or cannot be bound.
        """
        self.address = address
        self._inode: int | None = None
        try:
            self.socket = self._bind_path(address) if isinstance(address, Path) else _bind_port(address)
        except DoorError:
            raise
        except OSError as error:
            raise DoorError(f"{self}: no door can be opened there: {error.strerror or error}") from error

    @override
    def __str__(self) -> str:
        if isinstance(self.address, Path):
            return str(self.address)
        host, port = self.socket.getsockname()[:2] if hasattr(self, "socket") else self._wanted()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def remove(self) -> None:
        """Take a Unix socket's file away, unless somebody else has put his there."""
        path = self.address
        if isinstance(path, Path) and path.is_socket() and path.stat().st_ino == self._inode:
            path.unlink()
        self._inode = None

    def _wanted(self) -> tuple[str, int]:
        assert isinstance(self.address, TcpAddress)  # noqa: S101  for the type checker
        return self.address.host, self.address.port

    def _bind_path(self, path: Path) -> socket.socket:
        _make_room(path)
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(path))
            path.chmod(0o600)  # before anybody listens
        except OSError:
            bound.close()
            raise
        self._inode = path.stat().st_ino
        return bound


def _bind_port(address: TcpAddress) -> socket.socket:
    (family, kind, number, _, place), *_ = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM
    )
    bound = socket.socket(family, kind, number)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound


def _make_room(path: Path) -> None:
    """Take away the socket of a process that is no more; nothing else is touched."""
    if len(bytes(path)) > PATH_BYTES_MAX:
        raise DoorError(f"{path}: a socket's path has at most {PATH_BYTES_MAX} bytes, choose a shorter one")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise DoorError(f"{path} is there and no socket: choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise DoorError(f"another process serves at {path}: end it first")
    path.unlink()
