"""Framing: QEMU's state in the original's container, checked as it comes; bytes and no I/O of its own.

An image is a signature and records, each after its type and length (`engine.image`): one XENOPS with what the
machine is, any number of QEMU_XEN with pieces of QEMU's own stream, one END. The last four bytes of each
record are the CRC-32 of the signature and of all types, lengths and contents up to there, so that a piece is
known to be whole, and in its place, before anybody gets it.

On a connection that QEMU itself can speak on, its stream follows the first record as it is, and then nothing.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from engine.image import HEADER, SIGNATURE, RecordType
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from zlib_ng.zlib_ng import crc32

from worker_kvm.qemu.machine import Domain
from worker_kvm.qemu.mirrored import Mirrored

PIECE_BYTES = 1 << 18
"""Of QEMU's stream in one record, at most."""

HEAD_BYTES_MAX = 1 << 20
"""Of the record XENOPS: a VM of 256 disks has some 200 kB."""

_CHECK_BYTES = 4
_MACHINE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

Write = Callable[[bytes | memoryview], object]
Read = Callable[[int], bytes]
"""Exactly so many bytes, or an error."""


class Head(BaseModel):
    """What a QEMU must be like that shall read the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1, 2, 3, 4] = 1
    """In 2 and 4 QEMU's stream is not in records: it follows as it is. In 3 and 4 disks go along."""
    machine: str = Field(pattern=f"^{_MACHINE}$")
    """QEMU's name of the kind of machine, as `pc-q35-7.2`."""
    accelerator: Literal["kvm", "tcg"]
    qemu: str = ""
    """The version that has written it, as `7.2`, if it told: a `microvm` is no other's."""
    domain: Domain
    mirrored: tuple[Mirrored, ...] = ()

    @property
    def in_records(self) -> bool:
        """Whether QEMU's stream is."""
        return self.version in {1, 3}


def version_of(*, in_records: bool, has_disks: bool) -> Literal[1, 2, 3, 4]:
    """Of a head: who does not know it refuses what it could not take whole."""
    if has_disks:
        return 3 if in_records else 4
    return 1 if in_records else 2


class Writer:
    """Writes one image; `buffer` is where a piece of QEMU's stream is to be put before `piece`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._check = 0
        self._record = bytearray(HEADER.size + PIECE_BYTES + _CHECK_BYTES)
        self.buffer = memoryview(self._record)[HEADER.size : HEADER.size + PIECE_BYTES]

    def head(self, head: Head) -> None:
        """The image's beginning."""
        self._check = crc32(SIGNATURE)
        self._write(SIGNATURE)
        self._put(RecordType.XENOPS, head.model_dump_json().encode("utf-8", "surrogatepass"))

    def piece(self, size: int) -> None:
        """So many bytes from the beginning of `buffer`."""
        HEADER.pack_into(self._record, 0, RecordType.QEMU_XEN, size + _CHECK_BYTES)
        end = HEADER.size + size
        self._check = crc32(memoryview(self._record)[:end], self._check)
        self._record[end : end + _CHECK_BYTES] = self._check.to_bytes(_CHECK_BYTES, "little")
        self._write(memoryview(self._record)[: end + _CHECK_BYTES])

    def end(self) -> None:
        """The image's end: without it, it is none."""
        self._put(RecordType.END, b"")

    def _put(self, kind: RecordType, payload: bytes) -> None:
        record = HEADER.pack(kind, len(payload) + _CHECK_BYTES) + payload
        self._check = crc32(record, self._check)
        self._write(record + self._check.to_bytes(_CHECK_BYTES, "little"))


class Reader:
    """Reads one image. Errors of its methods: `ValueError` that says what is wrong with it."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._check = 0

    def head(self) -> Head:
        """What the machine is."""
        signature = self._read(len(SIGNATURE))
        if signature != SIGNATURE:
            raise ValueError(f'Not a valid signature: "{signature.decode("ascii", "backslashreplace")}"')
        self._check = crc32(signature)
        kind, payload = self._record(HEAD_BYTES_MAX)
        if kind != RecordType.XENOPS:
            raise ValueError(f"a record {kind.name} where XENOPS should be")
        try:
            return Head.model_validate_json(payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"its record XENOPS is not one of ours: {place}: {first['msg']}") from error

    def pieces(self) -> Iterator[bytes]:
        """QEMU's stream; ends where the image does, and raises where it does not."""
        while True:
            kind, payload = self._record(PIECE_BYTES)
            if kind == RecordType.END:
                return
            if kind != RecordType.QEMU_XEN:
                raise ValueError(f"a record {kind.name} where QEMU_XEN should be")
            yield payload

    def _record(self, bytes_max: int) -> tuple[RecordType, bytes]:
        header = self._read(HEADER.size)
        number, length = HEADER.unpack(header)
        try:
            kind = RecordType(number)
        except ValueError as error:
            raise ValueError(f"Invalid_header_type: {number:#x}") from error
        if not _CHECK_BYTES <= length <= bytes_max + _CHECK_BYTES:
            raise ValueError(f"a record {kind.name} of {length} bytes is not possible")
        payload = self._read(length - _CHECK_BYTES)
        self._check = crc32(payload, crc32(header, self._check))
        if self._read(_CHECK_BYTES) != self._check.to_bytes(_CHECK_BYTES, "little"):
            raise ValueError(f"the checksum of a record {kind.name} is wrong")
        return kind, payload
