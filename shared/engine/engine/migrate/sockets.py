"""Sockets: connections of this machine, encrypted where the other side wants it."""

import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from bus.clock import SYSTEM_CLOCK
from typing_extensions import override

from engine.migrate.address import Endpoint, TcpHost, UnixSocket
from engine.migrate.wire import Network, Wire

CONNECT_TIMEOUT_S = 30.0


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
        if self.descriptor() is None:
            return super().receive_with_wire(size)
        data, files, _, _ = socket.recv_fds(self.socket, size, 1, socket.MSG_CMSG_CLOEXEC)
        return data, SocketWire(socket.socket(fileno=files[0])) if files else None

    @override
    def descriptor(self) -> int | None:
        return None if isinstance(self.socket, ssl.SSLSocket) else self.socket.fileno()

    @override
    def receive_into(self, view: memoryview) -> int:
        return self.socket.recv_into(view)

    @override
    def peek(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_PEEK)

    @override
    def ready(self, others: Sequence[Wire], within_s: float) -> list[Wire]:
        wires = {wire.socket: wire for wire in (self, *others) if isinstance(wire, SocketWire)}
        return [wires[found] for found in select.select(list(wires), [], [], within_s)[0]]

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


class Sockets(Network):
    """The system's network."""

    @override
    def connect(self, endpoint: Endpoint, *, verify: bool) -> Wire:
        """A connected socket."""
        match endpoint:
            case UnixSocket(path=path):
                return SocketWire(_connect_unix(path))
            case TcpHost(host=host, port=port, tls=tls):
                connection = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
                return SocketWire(_encrypted(connection, host, verify=verify) if tls else connection)


SOCKETS = Sockets()


def _connect_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _encrypted(connection: socket.socket, host: str, *, verify: bool) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise
