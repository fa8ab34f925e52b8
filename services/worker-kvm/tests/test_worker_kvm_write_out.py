"""A suspend image that the kernel writes to its medium while it comes."""

import os
from pathlib import Path

import pytest
from engine.hosted.storage.place import local_place
from worker_kvm.qemu.imagefile import drafted
from worker_kvm.qemu.write_out import BEGIN_BYTES, WriteOut


def test_an_image_is_what_was_written_however_large_the_pieces(tmp_path: Path) -> None:
    image = tmp_path / "image"
    pieces = [os.urandom(size) for size in (1, BEGIN_BYTES - 1, 7, 3 * BEGIN_BYTES, BEGIN_BYTES // 2)]
    with drafted(local_place(str(image))) as draft:
        for piece in pieces:
            draft.write(piece)
        draft.commit()
    assert image.read_bytes() == b"".join(pieces)


class Calls(WriteOut):
    """Notes what the kernel would be asked for."""

    def __init__(self) -> None:
        super().__init__(7)
        self.asked: list[tuple[int, int, int, int]] = []
        self._begin = lambda file, at, size, how: self.asked.append((file, at.value, size.value, how))


def test_the_kernel_is_asked_for_what_is_new_once_that_is_worth_it() -> None:
    calls = Calls()
    for size in (BEGIN_BYTES - 1, 1, 5, 2 * BEGIN_BYTES):
        calls.wrote(size)
    assert calls.asked == [(7, 0, BEGIN_BYTES, 2), (7, BEGIN_BYTES, 2 * BEGIN_BYTES + 5, 2)]


def test_where_it_cannot_be_asked_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker_kvm.qemu.write_out.ctypes.CDLL", lambda _: object())
    WriteOut(7).wrote(BEGIN_BYTES)
