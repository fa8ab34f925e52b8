"""Sockets: connections of this machine, encrypted where the other side wants it."""

import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress

from bus.clock import SYSTEM_CLOCK
from typing_extensions import override

from engine.migrate.address import Endpoint, TcpHost, UnixSocket
from engine.migrate.tls import SYSTEM_TRUST, TlsFiles
from engine.migrate.wire import Network, Wire

CONNECT_TIMEOUT_S = 30.0
_AHEAD_BYTES = 4096


class SocketWire(Wire):
    """A socket that is connected."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clock = SYSTEM_CLOCK
        self.socket = connection

    @override
    def send(self, data: bytes | memoryview) -> None:
        self.socket.sendall(data)

    @override
    def receive(self, size: int) -> bytes:
        return self.socket.recv(size)

    @override
    def receive_with_wire(self, size: int) -> tuple[bytes, Wire | None]:
        data, files, _, _ = socket.recv_fds(self.socket, size, 1, socket.MSG_CMSG_CLOEXEC)
        return data, SocketWire(socket.socket(fileno=files[0])) if files else None

    @override
    def descriptor(self) -> int | None:
        return self.socket.fileno()

    @override
    def receive_into(self, view: memoryview) -> int:
        return self.socket.recv_into(view)

    @override
    def peek(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_PEEK)

    @override
    def ready(self, others: Sequence[Wire], within_s: float) -> list[Wire]:
        wires = [wire for wire in (self, *others) if isinstance(wire, SocketWire)]
        until_s = time.monotonic() + within_s
        while True:
            if found := [wire for wire in wires if wire.holds_something()]:
                return list(found)
            left_s = until_s - time.monotonic()
            heard = select.select([wire.socket for wire in wires], [], [], max(0.0, left_s))[0]
            if found := [wire for wire in wires if wire.socket in heard and wire.has_news()]:
                return list(found)
            if left_s <= 0:
                return []

    def holds_something(self) -> bool:
        """Whether something was read of the socket that nobody has received."""
        return False

    def has_news(self) -> bool:
        """Whether what makes the socket readable is for who receives."""
        return True

    @override
    def set_timeout(self, timeout_s: float) -> None:
        self.socket.settimeout(timeout_s)

    @override
    def shut(self, how: int) -> None:
        socket.socket.shutdown(self.socket, how)  # past TLS, which is not for two threads

    @override
    def close(self) -> None:
        with suppress(OSError):
            self.socket.close()


class TlsWire(SocketWire):
    """A connection that is encrypted.

    TLS cannot look at what is still to be read, and a socket is readable of its own messages, too: so what is
    looked at is read, and kept.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        super().__init__(connection)
        self._tls = connection
        self._ahead = b""

    @override
    def receive(self, size: int) -> bytes:
        if not self._ahead:
            return self._tls.recv(size)
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    @override
    def receive_with_wire(self, size: int) -> tuple[bytes, Wire | None]:
        return self.receive(size), None

    @override
    def descriptor(self) -> int | None:
        return None

    @override
    def receive_into(self, view: memoryview) -> int:
        if not self._ahead:
            return self._tls.recv_into(view)
        taken = self.receive(len(view))
        view[: len(taken)] = taken
        return len(taken)

    @override
    def peek(self, size: int) -> bytes:
        if not self._ahead:
            self._ahead = self._tls.recv(size)
        return self._ahead[:size]

    @override
    def holds_something(self) -> bool:
        return bool(self._ahead) or self._tls.pending() > 0

    @override
    def has_news(self) -> bool:
        patience_s = self._tls.gettimeout()
        self._tls.settimeout(0)
        try:
            self._ahead = self._tls.recv(_AHEAD_BYTES)
        except ssl.SSLWantReadError:
            return False  # it was a message of TLS
        except OSError:
            return True  # its end is news
        finally:
            self._tls.settimeout(patience_s)
        return True


class Sockets(Network):
    """The system's network; other hosts are met with these files, where TLS is spoken."""

    def __init__(self, tls: TlsFiles) -> None:
        self._tls = tls

    @override
    def connect(self, endpoint: Endpoint, *, verify: bool) -> Wire:
        """A connected socket."""
        match endpoint:
            case UnixSocket(path=path):
                return SocketWire(_connect_unix(path))
            case TcpHost(host=host, port=port, tls=tls):
                connection = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
                if not tls:
                    return SocketWire(connection)
                return TlsWire(_encrypted(connection, host, self._tls.context(verify=verify)))


SOCKETS = Sockets(SYSTEM_TRUST)


def _connect_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _encrypted(connection: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise
