"""Images: whole ones are read as they were written, all others are refused in words."""

import io
import zlib
from functools import partial

import pytest
from engine.conformance.samples import sample_vm
from engine.image import HEADER, SIGNATURE, RecordType
from hypothesis import given
from hypothesis import strategies as st
from worker_kvm.qemu.framing import HEAD_BYTES_MAX, PIECE_BYTES, Head, Reader, Writer, version_of
from worker_kvm.qemu.machine import Domain

DOMAIN = Domain(domid=7, vm=sample_vm(), created_at=1.0, memory_target_bytes=1 << 20, built=True)
HEAD = Head(machine="pc-q35-7.2", accelerator="tcg", domain=DOMAIN)
PIECES = (b"QEVM", bytes(1000), b"x" * PIECE_BYTES)


def write(*pieces: bytes, head: Head = HEAD) -> bytes:
    image = io.BytesIO()
    writer = Writer(image.write)
    writer.head(head)
    for piece in pieces:
        writer.buffer[: len(piece)] = piece
        writer.piece(len(piece))
    writer.end()
    return image.getvalue()


IMAGE = write(*PIECES)
SMALL = write(b"QEVM", b"state")


def read(image: bytes) -> tuple[Head, tuple[bytes, ...]]:
    reader = Reader(partial(exactly, io.BytesIO(image)))
    return reader.head(), tuple(reader.pieces())


def exactly(file: io.BytesIO, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise ValueError("it ends too early")
    return found


def complaint(image: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        read(image)
    return str(caught.value)


def test_what_was_written_is_read() -> None:
    assert read(IMAGE) == (HEAD, PIECES)


@pytest.mark.parametrize("in_records", [True, False])
def test_a_head_with_disks_is_of_a_version_that_who_knows_no_disks_refuses(*, in_records: bool) -> None:
    without, with_disks = (version_of(in_records=in_records, has_disks=has) for has in (False, True))
    assert (without <= 2, with_disks > 2) == (True, True)
    for version in (without, with_disks):
        assert Head(version=version, machine="q35", accelerator="tcg", domain=DOMAIN).in_records == in_records


def test_nothing_is_read_beyond_the_end() -> None:
    assert read(IMAGE + b"what else is on the disk") == (HEAD, PIECES)


@given(st.integers(0, len(SMALL) - 1))
def test_an_image_that_was_cut_off_is_none(length: int) -> None:
    assert complaint(SMALL[:length]) == "it ends too early"


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 7))
def test_whichever_bit_is_flipped_it_is_found(place: int, bit: int) -> None:
    flipped = bytearray(SMALL)
    flipped[place] ^= 1 << bit
    assert complaint(bytes(flipped))


def test_pieces_in_another_order_are_found() -> None:
    one, two = write(b"one."), write(b"two.")
    swapped = write(b"one.", b"two.").replace(b"one.", b"TMP.").replace(b"two.", b"one.")
    assert one != two
    assert complaint(swapped) == "the checksum of a record QEMU_XEN is wrong"


def test_another_signature_is_named() -> None:
    assert complaint(b"#!/bin/sh\nexit 0\n" + SMALL) == 'Not a valid signature: "#!/bin/sh\nexit "'


@pytest.mark.parametrize("length", [-1, 0, 3, HEAD_BYTES_MAX + 5, 2**63 - 1, -(2**63)])
def test_impossible_lengths_are_refused_before_anything_is_read(length: int) -> None:
    image = SIGNATURE + HEADER.pack(RecordType.XENOPS, length)
    assert complaint(image) == f"a record XENOPS of {length} bytes is not possible"


def test_an_unknown_record_is_named() -> None:
    assert complaint(SIGNATURE + HEADER.pack(0x77, 4)) == "Invalid_header_type: 0x77"


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ((RecordType.END,), "a record END where XENOPS should be"),
        ((RecordType.XENOPS, RecordType.XENOPS), "a record XENOPS where QEMU_XEN should be"),
        ((RecordType.XENOPS, RecordType.LIBXC), "a record LIBXC where QEMU_XEN should be"),
    ],
)
def test_records_have_their_places(kinds: tuple[RecordType, ...], words: str) -> None:
    assert complaint(raw(*kinds)) == words


def raw(*kinds: RecordType) -> bytes:
    """Records with right checksums, whatever their order."""
    image, check = SIGNATURE, zlib.crc32(SIGNATURE)
    for kind in kinds:
        payload = HEAD.model_dump_json().encode() if kind == RecordType.XENOPS else b""
        record = HEADER.pack(kind, len(payload) + 4) + payload
        check = zlib.crc32(record, check)
        image += record + check.to_bytes(4, "little")
    return image


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"machine": "q35,accel=evil"}, "machine: String should match pattern"),
        ({"version": 5}, "version: Input should be 1, 2, 3 or 4"),
        ({"accelerator": "hax"}, "accelerator: Input should be 'kvm' or 'tcg'"),
    ],
)
def test_a_head_of_another_kind_is_refused(fields: dict[str, object], words: str) -> None:
    assert words in complaint(write(b"x", head=HEAD.model_copy(update=fields)))
