"""Where libxc's record of a guest ends; what is none is refused in words."""

import io
import struct
from collections.abc import Callable

import pytest
from worker_xen.libxc.stream import END, IMAGE_HEADER, MARKER, RECORD_BYTES_MAX, RECORD_HEADER, XENF, pieces

DOMAIN = struct.pack("<IHHII", 1, 12, 0, 4, 17)
LAST = RECORD_HEADER.pack(END, 0)


def head(marker: int = MARKER, word: int = XENF, options: int = 0) -> bytes:
    return IMAGE_HEADER.pack(marker, word, 3, options, 0, 0) + DOMAIN


def record(kind: int, body: bytes) -> bytes:
    return RECORD_HEADER.pack(kind, len(body)) + body + bytes(-len(body) % 8)


def reader(data: bytes) -> tuple[io.BytesIO, Callable[[int], bytes]]:
    file = io.BytesIO(data)

    def read(size: int) -> bytes:
        found = file.read(size)
        if len(found) < size:
            raise ValueError("End_of_file")
        return found

    return file, read


def test_all_of_it_is_read_and_no_byte_more() -> None:
    whole = head() + record(1, b"pages" * 1000) + record(3, b"") + record(2, b"odd") + LAST
    file, read = reader(whole + b"what follows")
    found = list(pieces(read, 512))
    assert b"".join(found) == whole
    assert max(map(len, found)) == 512
    assert file.read() == b"what follows"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (head(marker=7) + LAST, "Invalid marker"),
        (head(word=7) + LAST, "Invalid marker"),
        (head(options=1) + LAST, "the other byte order"),
        (head() + RECORD_HEADER.pack(1, RECORD_BYTES_MAX + 1), "is not possible"),
        (head() + record(1, b"pages"), "End_of_file"),
        (head()[:30], "End_of_file"),
    ],
)
def test_what_is_no_record_of_a_guest_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(pieces(reader(data)[1], 1 << 20))
