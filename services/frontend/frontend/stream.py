"""Stream: a connection whose bytes go to another one, and back, no faster than that one takes them."""

import asyncio
from collections.abc import Callable
from typing import cast

from schema.migration import encode_failure
from typing_extensions import override

from frontend.passing import pass_on

_BUFFER_BYTES = 1 << 20
"""What may wait in this process on its way; a side that does not read stops the other one."""


def nothing() -> None:
    """Nobody wants to know."""


class Stream(asyncio.Protocol):
    """One side. Nothing is read before the other side is there; `on_open` is told when this one is."""

    def __init__(self, on_open: "Callable[[Stream], None]", on_end: Callable[[], None] = nothing) -> None:
        self._on_open = on_open
        self._on_end = on_end
        self._other: Stream | None = None
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.has_ended = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by birth
        self._transport = transport
        transport.set_write_buffer_limits(_BUFFER_BYTES)
        transport.pause_reading()
        self._on_open(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        else:
            self._other.write(data)

    @override
    def eof_received(self) -> bool:
        """This side says nothing more; the other may still have to say why."""
        self.has_ended = True
        if self._other is None:
            return False
        self._other.end()
        return not self._other.has_ended

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._other is not None:
            self._other.close()
        self._on_end()

    @override
    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.let_speak(speak=False)

    @override
    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.let_speak(speak=True)

    def join(self, other: "Stream") -> None:
        """From now on what one says is what the other hears."""
        self.attach(other)
        other.attach(self)

    def is_passed_on(self, worker: "Stream", head: bytes) -> bool:
        """Give this side's connection itself away, behind `head`; answers whether that could be done.

        One that has said something already, or whose end somebody waits for, stays.
        """
        own, other = self._transport, worker._transport  # noqa: SLF001  of the same class
        if self._early or self._on_end is not nothing or own is None or other is None:
            return False
        if not pass_on(own, other, head):
            return False
        own.close()
        other.close()
        return True

    def attach(self, other: "Stream") -> None:
        """What this side says goes there."""
        self._other = other
        early, self._early = self._early, []
        for data in early:
            other.write(data)
        self.let_speak(speak=True)

    def write(self, data: bytes) -> None:
        """Say something to this side; once it is gone nobody hears it."""
        if self._transport is not None:
            self._transport.write(data)

    def fail(self, words: str) -> None:
        """Tell a source why not, and part from it."""
        self.write(encode_failure(words))
        self.close()

    def end(self) -> None:
        """Nothing more is said to this side."""
        if self._transport is None:
            return
        if self.has_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def close(self) -> None:
        """Part from it, once all is said."""
        if self._transport is not None:
            self._transport.close()

    def let_speak(self, *, speak: bool) -> None:
        """Read from this side, or let it wait."""
        if self._transport is None or self._transport.is_closing():
            return
        if speak:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
