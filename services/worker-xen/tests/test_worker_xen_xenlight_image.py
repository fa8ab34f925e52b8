"""Suspend images on their way to and from libxl; hostile ones are refused in words."""

import io
import os
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.image import HEADER, SIGNATURE, RecordType
from schema.objects.errors import InternalError
from worker_xen.pump import CHUNK_BYTES, Pump
from worker_xen.xenlight.image import (
    FileImage,
    chunks_from,
    chunks_to,
    read_head,
    wipe,
    wipe_draft,
    write_end,
    write_head,
)

WORDS = b'{"vm": "v1", "backend": "xenlight"}'


def written(memory: bytes) -> bytes:
    file = io.BytesIO()
    stream = FileImage(file)
    write_head(stream, "v1")
    pump = Pump(chunks_to(stream, lambda _: None), to_library=False)
    with os.fdopen(os.dup(pump.file), "wb") as libxl:
        libxl.write(memory)
    pump.close()
    assert pump.error is None
    write_end(stream)
    return file.getvalue()


def read(image: bytes) -> tuple[bytes, Exception | None]:
    stream = FileImage(io.BytesIO(image))
    read_head(stream, "v1")
    pump = Pump(chunks_from(stream, "v1", lambda _: None), to_library=True)
    with os.fdopen(os.dup(pump.file), "rb") as libxl:
        memory = libxl.read()
    pump.close()
    return memory, pump.error


@pytest.mark.parametrize("has_usb", [True, False])
def test_an_image_tells_of_a_controller_that_came_while_its_guest_ran(*, has_usb: bool) -> None:
    file = io.BytesIO()
    write_head(FileImage(file), "v1", has_usb=has_usb)
    assert (WORDS in file.getvalue()) is not has_usb
    file.seek(0)
    assert read_head(FileImage(file), "v1") is has_usb


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
def test_what_libxl_wrote_it_reads_again(size: int) -> None:
    memory = os.urandom(size)
    assert read(written(memory)) == (memory, None)


def record(kind: int, length: int, content: bytes = b"") -> bytes:
    return HEADER.pack(kind, length) + content


HEAD = SIGNATURE + record(RecordType.XENOPS, len(WORDS), WORDS)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "End_of_file"),
        (b"XenSavedDomv3-\n", "Not a valid signature"),
        (SIGNATURE, "End_of_file"),
        (SIGNATURE + record(RecordType.LIBXC, 0), "LIBXC where XENOPS should be"),
        (SIGNATURE + record(RecordType.XENOPS, 1 << 40), "1099511627776 bytes is not possible"),
        (SIGNATURE + record(RecordType.XENOPS, -1), "-1 bytes is not possible"),
        (SIGNATURE + record(RecordType.XENOPS, 2, b"[]"), "does not say which backend"),
        (SIGNATURE + record(RecordType.XENOPS, 17, b'{"backend":"qemu"'), "does not say which backend"),
        (SIGNATURE + record(RecordType.XENOPS, 18, b'{"backend":"qemu"}'), "written by 'qemu'"),
        (SIGNATURE + record(0x77, 0), "Invalid_header_type: 0x77"),
    ],
)
def test_what_is_no_image_is_refused(image: bytes, words: str) -> None:
    error = refusal(lambda: read(image))
    assert isinstance(error, InternalError)
    assert words in error.message


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (b"", "End_of_file"),
        (record(RecordType.LIBXL, 4, b"ab"), "End_of_file"),
        (record(RecordType.LIBXL, CHUNK_BYTES + 1), "is not possible"),
        (record(RecordType.LIBXC, 2, b"ab"), "LIBXC where LIBXL should be"),
    ],
)
def test_an_image_that_breaks_off_says_so_once_libxl_has_read_it(rest: bytes, words: str) -> None:
    _, error = read(HEAD + rest)
    assert words in str(error)


def test_a_reader_that_goes_away_ends_the_pump() -> None:
    stream = FileImage(io.BytesIO(record(RecordType.LIBXL, CHUNK_BYTES, bytes(CHUNK_BYTES)) * 3))
    pump = Pump(chunks_from(stream, "v1", lambda _: None), to_library=True)
    pump.close()
    assert isinstance(pump.error, OSError)


def test_a_broken_image_is_wiped(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(written(b"memory"))
    wipe(path)
    assert "Not a valid signature" in str(refusal(lambda: read(path.read_bytes())))
    wipe(tmp_path / "none")


def test_of_a_dead_worker_s_drafts_that_vm_s_is_wiped_whose_it_is(tmp_path: Path) -> None:
    path, image = tmp_path / "image", written(b"memory")
    path.write_bytes(image)
    wipe_draft(path, "another")
    assert path.read_bytes() == image
    wipe_draft(path, "v1")
    assert path.read_bytes() == bytes(len(SIGNATURE)) + image[len(SIGNATURE) :]
    with path.open("wb") as file:
        write_head(FileImage(file), "v1", has_usb=True)
    wipe_draft(path, "v1")
    assert path.read_bytes().startswith(bytes(len(SIGNATURE)))
    path.write_bytes(image[:20])
    wipe_draft(path, "v1")
    assert path.read_bytes() == image[:20]
    wipe_draft(tmp_path / "none", "v1")
