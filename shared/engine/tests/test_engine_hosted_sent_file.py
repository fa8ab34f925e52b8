"""A saved VM's file goes through a stream as it is, and what makes no sense is told."""

from pathlib import Path

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from engine.hosted.sent_file import PIECE_BYTES, receive_image, send_image, size_max
from engine.image import ImageStream
from schema.objects.errors import Cancelled, InternalError
from typing_extensions import override


class Line(ImageStream):
    """What was written is read."""

    def __init__(self) -> None:
        self._carried = bytearray()

    @override
    def write(self, data: bytes | memoryview) -> None:
        self._carried += data

    @override
    def read(self, size: int) -> bytes:
        found = bytes(self._carried[:size])
        del self._carried[:size]
        return found


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
def test_what_is_sent_arrives(tmp_path: Path, size: int) -> None:
    sent, line, execution = tmp_path / "sent", Line(), SuiteExecution()
    sent.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    send_image(sent, line, execution)
    receive_image(tmp_path / "come", line, execution, bytes_max=size)
    assert (tmp_path / "come").read_bytes() == sent.read_bytes()
    assert execution.fractions[-1:] == ([1.0] if size else [])


def test_a_file_of_a_size_that_cannot_be_and_one_without_room_are_told(tmp_path: Path) -> None:
    sent, line = tmp_path / "sent", Line()
    sent.write_bytes(bytes(10))
    for path, bytes_max, words in (
        (tmp_path / "come", 9, "sends 10 bytes, which no VM of that memory has"),
        (sent, 10, "cannot be written to"),
        (tmp_path / "nowhere" / "come", size_max(0), "make room below XENOPS_RUN_DIR"),
    ):
        send_image(sent, line, SuiteExecution())
        error = refusal(lambda path=path, most=bytes_max: receive(path, line, most))
        assert isinstance(error, InternalError)
        assert words in error.message
        line.read(100)


def receive(path: Path, line: Line, bytes_max: int) -> None:
    receive_image(path, line, SuiteExecution(), bytes_max=bytes_max)


def test_a_cancel_breaks_either_side_off(tmp_path: Path) -> None:
    sent, line = tmp_path / "sent", Line()
    sent.write_bytes(bytes(10))
    assert isinstance(refusal(lambda: send_image(sent, line, SuiteExecution(cancel_at=1))), Cancelled)
    send_image(sent, line := Line(), SuiteExecution())
    cancelled = SuiteExecution(cancel_at=1)
    error = refusal(lambda: receive_image(tmp_path / "come", line, cancelled, bytes_max=10))
    assert isinstance(error, Cancelled)
