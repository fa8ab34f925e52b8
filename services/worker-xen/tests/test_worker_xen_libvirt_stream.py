"""What libvirt writes of a saved domain, and how it is given it to read again."""

import io
import os
import struct
from pathlib import Path

import pytest
from virt.seal import seal
from worker_xen.libvirt.feeding import Feed
from worker_xen.libvirt.stream import StreamError, head, is_whole, skip_head


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


LIBXC = b"\xff" * 8 + b"XENF" + bytes(12) + bytes(16) + record(1, b"pages") + record(0)
STREAM = b"LibxlFmt" + bytes(8) + record(1) + LIBXC + record(2, b"xenstore") + record(0)
WHOLE = head("<domain/>") + STREAM


def test_a_saved_domain_is_whole_with_the_last_of_its_bytes() -> None:
    assert is_whole(io.BytesIO(WHOLE))
    assert not any(is_whole(io.BytesIO(WHOLE[:length])) for length in range(len(WHOLE)))
    assert not is_whole(io.BytesIO(WHOLE + b"x"))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"", "ends too early"),
        (b"x" + WHOLE[1:], "libvirt has not written it"),
        (WHOLE[:16] + b"\x09" + WHOLE[17:], "of version 9"),
        (WHOLE[:20] + b"\xff\xff\xff\xff" + WHOLE[24:], "a document of 4294967295 bytes"),
        (WHOLE[:20] + bytes(4) + WHOLE[24:], "a document of 0 bytes"),
        (WHOLE[:70], "ends too early"),
    ],
)
def test_what_is_no_saved_domain_is_told(damaged: bytes, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        skip_head(io.BytesIO(damaged))
    assert not is_whole(io.BytesIO(damaged))


def test_strange_streams_are_not_whole() -> None:
    before = head("<domain/>")
    assert not is_whole(io.BytesIO(before + b"x" * 64))
    assert not is_whole(io.BytesIO(before + b"LibxlFmt" + bytes(8) + record(1) + bytes(64)))


@pytest.fixture(name="image")
def make_image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(head("<old/>") + b"memory" * 400_000)
    seal(path)
    return path


def test_an_image_is_read_with_another_document_and_without_its_seal(tmp_path: Path, image: Path) -> None:
    come: list[float] = []
    feed = Feed(image, "<new/>", tmp_path / "pipe", come.append)
    read = (tmp_path / "pipe").read_bytes()
    feed.close()
    assert read == head("<new/>") + b"memory" * 400_000
    assert (come == sorted(come), come[-1]) == (True, 1.0)
    assert feed.error is None
    assert not (tmp_path / "pipe").exists()


def test_a_reader_that_never_comes_is_not_waited_for(tmp_path: Path, image: Path) -> None:
    feed = Feed(image, "<new/>", tmp_path / "pipe", lambda _: None)
    feed.close()
    assert feed.error is None


def test_a_reader_that_goes_away_ends_it(tmp_path: Path, image: Path) -> None:
    feed = Feed(image, "<new/>", tmp_path / "pipe", lambda _: None)
    with (tmp_path / "pipe").open("rb", buffering=0) as pipe:
        assert pipe.read(16) == head("<new/>")[:16]
    feed.close()
    assert feed.error is None


def test_a_task_that_is_cancelled_breaks_it_off(tmp_path: Path, image: Path) -> None:
    feed = Feed(image, "<new/>", tmp_path / "pipe", lambda _: None)
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY)
    feed.stop()
    read = b""
    while chunk := os.read(pipe, 1 << 16):
        read += chunk
    os.close(pipe)
    feed.close()
    assert len(read) <= len(head("<new/>")) + (1 << 20)


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"nonsense" * 100)
    feed = Feed(path, "<new/>", tmp_path / "pipe", lambda _: None)
    assert (tmp_path / "pipe").read_bytes() == b""
    feed.close()
    assert isinstance(feed.error, StreamError)
