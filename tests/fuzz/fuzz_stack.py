"""A whole stack as one process, and a door to its bus in memory: what a broker hands on comes in there.

    python tests/fuzz/fuzz_stack.py DIRECTORY

In the directory are the stack's sockets and `bus`, where a frame is a message to the instance's queue or the
answer to one: the length of its body, a number that the answer has, too, and the body; without a body the
message was not answered. It ends when its standard input does, so with whoever has started it.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

from bus.logs import log_format, write_to_stderr
from bus.ports import Bus, BusError, Request
from bus.topology import door_queue
from fuzz_inputs import INSTANCE
from schema.ids import InstanceName
from stack.layout import Layout
from stack.shape import BusKind, Shape
from stack.single import Single
from typing_extensions import override

BUS = "bus"
PATIENCE_S = 120.0

_HEAD = struct.Struct(">II")


def framed(number: int, body: bytes) -> bytes:
    """A message, or the answer to one."""
    return _HEAD.pack(len(body), number) + body


def frames(held: bytearray) -> Iterator[tuple[int, bytes]]:
    """The numbers and bodies that are whole; they are taken out."""
    while len(held) >= _HEAD.size:
        length, number = _HEAD.unpack_from(held)
        end = _HEAD.size + length
        if len(held) < end:
            return
        body = bytes(held[_HEAD.size : end])
        del held[:end]
        yield number, body


class BusDoor(asyncio.Protocol):
    """One who sends messages to the instance's queue and waits for the answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._held = bytearray()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._held += data
        for number, body in frames(self._held):
            answered = partial(self._answer, number)
            self._bus.ask(door_queue(InstanceName(INSTANCE)), Request(body), PATIENCE_S, answered)

    def _answer(self, number: int, outcome: bytes | BusError) -> None:
        self._transport.write(framed(number, b"" if isinstance(outcome, BusError) else outcome))


def main() -> None:
    """Serve until there is no more to read."""
    write_to_stderr(log_format(os.environ), "fuzz")
    layout = Layout(Path(sys.argv[1]))
    layout.root.mkdir(parents=True)
    stack = Single(layout, Shape(bus=BusKind.MEMORY))
    stack.start()
    bus = stack.bus("fuzz")
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(layout.root / BUS))
    bus.listen(door, lambda: BusDoor(bus))
    sys.stdin.read()
    stack.stop()


if __name__ == "__main__":
    main()
