"""Wire: what a migration asks of a connection, and of the network that it comes from; both block."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from bus.clock import Clock

from engine.migrate.address import Endpoint


class Wire(ABC):
    """One connection's bytes, both ways. One thread reads and writes, any other may `shut` it.

    Every method but `close` raises `OSError` when the connection is lost, or silent for longer than the time
    that `set_timeout` gives it.
    """

    clock: Clock

    @abstractmethod
    def send(self, data: bytes | memoryview) -> None:
        """Send all of it."""

    @abstractmethod
    def receive(self, size: int) -> bytes:
        """Up to so many bytes, at least one; none when the other side says nothing more."""

    def receive_with_wire(self, size: int) -> "tuple[bytes, Wire | None]":
        """As `receive`; and a connection that came with it, where one can."""
        return self.receive(size), None

    def descriptor(self) -> int | None:
        """As of `ImageStream`."""
        return None

    @abstractmethod
    def receive_into(self, view: memoryview) -> int:
        """Fill some of what is given; answers how many bytes, 0 as in `receive`."""

    @abstractmethod
    def peek(self, size: int) -> bytes:
        """As `receive`, and they are still to be read."""

    @abstractmethod
    def ready(self, others: Sequence["Wire"], within_s: float) -> list["Wire"]:
        """Wait until one of these and this one has bytes or its end to tell; answers which have, in time."""

    @abstractmethod
    def set_timeout(self, timeout_s: float) -> None:
        """How long the other side may say nothing, or take nothing."""

    @abstractmethod
    def shut(self, how: int) -> None:
        """Hear or say nothing more, or neither, as `socket.SHUT_RD` and its like say; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


class Network(Protocol):
    """Where connections come from."""

    def connect(self, endpoint: Endpoint, *, verify: bool) -> Wire:
        """A new one; `verify`: an encrypted one must show a certificate that this host trusts.

        Raises:
            OSError: nobody is there, or it cannot be reached.
        """
