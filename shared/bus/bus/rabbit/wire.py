"""Wire: pika's connection, made to write many frames at once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from bus.rabbit.constants import WRITE_BYTES


def batch(channel: Channel) -> AbstractContextManager[None]:
    """Hold back what is written within, to write it together."""
    connection = channel.connection
    return connection.batch() if isinstance(connection, WireConnection) else nullcontext()


class WireConnection(SelectConnection):
    """Writes a message's three frames by one system call instead of three, and a batch by a few.

    Twice as fast with many messages. The method overridden is not pika's public interface: where a later pika
    has it no more, frames go out one by one, as without this class.
    """

    _held: bytearray | None = None

    @contextmanager
    def batch(self) -> Iterator[None]:
        """See the function of this name."""
        self._held = bytearray()
        try:
            yield
        finally:
            held, self._held = self._held, None
            self._write(held)

    def _output_marshaled_frames(self, marshaled_frames: list[bytes]) -> None:
        frames = b"".join(marshaled_frames)
        if self._held is None:
            self._write(frames)
            return
        self._held += frames
        if len(self._held) > WRITE_BYTES:
            held, self._held = self._held, bytearray()
            self._write(held)

    def _write(self, frames: bytes | bytearray) -> None:
        if frames:
            super()._output_marshaled_frames([bytes(frames)])  # type: ignore[misc]  # unknown to its stubs
